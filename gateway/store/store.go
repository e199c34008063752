// Package store keeps the entities in PostgreSQL and tells the cluster of every change.
//
// A change and its events are one transaction on the primary: either the other nodes can learn of
// it, or it did not happen. The keys that a change makes stale are computed from locked rows, so two
// changes of one entity never hide each other's keys. A write returns after its commit and after
// this node has applied it.
//
// The Admin API reads the primary. The data plane reads the replica where there is one, except what
// this node wrote or saw on the primary and the replica has not replayed yet: the fence. A node
// polls events from the server from which it loads.
//
// Every statement has a deadline, on the server and here, and no transaction waits for anything but
// the database.
//
// It is one package although it is a long one: write, read, poll and fence share the pools and the
// positions, and nobody else is to see these. SQL stands here and nowhere else in the gateway.
package store

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/entity"
)

// A Server is one PostgreSQL server.
type Server struct {
	Host                     string
	Port                     int
	User, Password, Database string
	// SSL demands an encrypted connection, SSLVerify also a certificate that the system trusts.
	SSL, SSLVerify bool
	// Timeout bounds a connect, a wait for a lock and a statement, and a whole write; default 5 s.
	Timeout time.Duration
	// MaxConns bounds the pool; default 16. A statement that hangs behind a fault keeps its
	// connection for Timeout, so there is room for several.
	MaxConns int32
}

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	LateEvents    bool // events are a second transaction, after the answer
	NoEvents      bool // changes write no events
	OwnByPoll     bool // a node's own change is applied by its poll only
	ForgetCascade bool // what a deletion takes along is deleted, but its keys are not told
	IgnoreReplica bool // the data plane reads the primary although there is a replica
	NoFence       bool // the writer reloads from the replica what it has just changed
	PollPrimary   bool // events come from the primary, entities from the replica
	AdminReplica  bool // the Admin API reads the replica
	DeleteParent  bool // a service that still has routes is deleted, and its routes with it

	SilentChanges   bool // PATCH, DELETE and a PUT of what exists write no events; a creation does
	PutKeeps        bool // PUT of what exists leaves it as it is
	PutOwn          bool // the writer of a PUT learns of it by its poll only
	AsyncOwn        bool // a node's own change is applied a moment after the answer
	SnapshotPrimary bool // the router is built from the primary although there is a replica
	NoKeyFence      bool // what another node's change showed on the primary may be unseen on the replica
	KeepServices    bool // the deletion of a service is refused, whether it has routes or not
	DisableFirst    bool // a service is disabled before its deletion is tried, and stays so when that is refused
}

// Options are what Open needs.
type Options struct {
	Primary Server
	Replica *Server // nil: none
	NodeID  string  // a UUID, written into events
	// Propagation is the delay after which other nodes act on an event; 0: at once.
	Propagation time.Duration
	// PollDeadline bounds one read of the events.
	PollDeadline time.Duration
	Catalog      *entity.Catalog
	Log          *slog.Logger
	// Applied runs after a known commit and before the write returns: the node's own caches. Its
	// context ends Primary.Timeout later, whatever became of the client. May be nil.
	Applied func(ctx context.Context, c Change)
	// Doubtful runs when the answer to a COMMIT was lost: the change may have happened. May be nil.
	Doubtful func(c Change)
	Defects  Defects
}

// An LSN is a position in a server's write-ahead log. 0 is unknown.
type LSN uint64

// A Change is what a write did, or may have done.
type Change struct {
	Kind   *entity.Kind
	Object entity.Object // the new state; nil after a deletion
	Found  bool          // false: a deletion found nothing, and nothing was written
	Keys   []entity.Invalidation
	// EventIDs are the ids of the event rows, one a key: whoever applied Keys need not run them.
	EventIDs []string
	// Position is at or behind the commit in the primary's log; 0 when it could not be read.
	Position LSN
}

// A Store is safe for concurrent use.
type Store struct {
	o                Options
	log              *slog.Logger
	primary, replica *pgxpool.Pool // replica is nil where there is none
	tables           map[string]*table
	workspace        atomic.Pointer[string] // the default workspace's id, once it was read
	late             sync.WaitGroup         // LateEvents
	fence            fence                  // fence.go
}

// Open prepares the pools. It does no I/O: a database that is away is found by the first use.
func Open(o Options) (*Store, error) {
	if o.Primary.Timeout <= 0 {
		o.Primary.Timeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{o: o, log: o.Log, tables: map[string]*table{}}
	for _, k := range o.Catalog.Kinds() {
		s.tables[k.Name] = newTable(k)
	}
	var err error
	if s.primary, err = o.Primary.pool(); err != nil {
		return nil, fmt.Errorf("open primary: %w", err)
	}
	if o.Replica == nil {
		return s, nil
	}
	if s.replica, err = o.Replica.pool(); err != nil {
		s.primary.Close()
		return nil, fmt.Errorf("open replica: %w", err)
	}
	return s, nil
}

// Close waits for what is under way and closes every connection.
func (s *Store) Close() {
	s.late.Wait()
	s.primary.Close()
	if s.replica != nil {
		s.replica.Close()
	}
}

// Ready says whether the primary answers and its schema is the one that this program needs.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Primary.Timeout)
	defer cancel()
	var version int32
	err := s.primary.QueryRow(ctx, "SELECT version FROM "+versionTable).Scan(&version)
	switch {
	case isUndefinedTable(err):
		return ErrSchema
	case err != nil:
		return fmt.Errorf("reach the database: %w", err)
	case version < schemaVersion:
		return ErrSchema
	}
	return nil
}

// Workspace is the id of the default workspace, remembered after the first answer.
func (s *Store) Workspace(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Primary.Timeout)
	defer cancel()
	if s.replica != nil {
		return s.workspaceOn(ctx, s.replica)
	}
	return s.workspaceOn(ctx, s.primary)
}

// workspaceOn asks the server that is being talked to anyhow: nobody waits for another one.
func (s *Store) workspaceOn(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	if id := s.workspace.Load(); id != nil {
		return *id, nil
	}
	var id string
	if err := pool.QueryRow(ctx, workspaceSQL).Scan(&id); err != nil {
		return "", fmt.Errorf("read the default workspace: %w", err)
	}
	s.workspace.Store(&id)
	return id, nil
}

const workspaceSQL = "SELECT id::text FROM workspaces WHERE name = 'default'"

// config is the pool's configuration: nothing of it comes from the process's environment.
func (v Server) config() (*pgxpool.Config, error) {
	timeout := v.Timeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	mode := "disable"
	switch {
	case v.SSL && v.SSLVerify:
		mode = "verify-full"
	case v.SSL:
		mode = "require"
	}
	words := []string{
		"host=" + quote(v.Host), "port=" + strconv.Itoa(v.Port), "user=" + quote(v.User),
		"dbname=" + quote(v.Database), "sslmode=" + mode,
		// the server gives up first, so that a slow statement is an error and not a lost connection
		"statement_timeout=" + milliseconds(timeout*9/10), "lock_timeout=" + milliseconds(timeout*8/10),
		"idle_in_transaction_session_timeout=" + milliseconds(timeout),
		"timezone=UTC", "application_name=tidemark",
	}
	c, err := pgxpool.ParseConfig(strings.Join(words, " "))
	if err != nil {
		return nil, err
	}
	c.ConnConfig.Password = v.Password
	c.ConnConfig.ConnectTimeout = timeout
	c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, address)
		return hurried{conn, timeout}, err
	}
	c.MaxConns = v.MaxConns
	if c.MaxConns <= 0 {
		c.MaxConns = 16
	}
	c.MinConns, c.MinIdleConns = 0, 0
	c.PingTimeout = timeout / 2
	return c, nil
}

// A hurried connection takes no deadline further away than longest. pgx gives a connection that it has
// given up 15 s to say goodbye, for which the node's stop would wait.
type hurried struct {
	net.Conn
	longest time.Duration
}

// SetDeadline is what pgx calls when it closes a connection, and to interrupt what goes on on it.
func (h hurried) SetDeadline(t time.Time) error {
	if latest := time.Now().Add(h.longest); t.After(latest) {
		t = latest
	}
	return h.Conn.SetDeadline(t)
}

func (v Server) pool() (*pgxpool.Pool, error) {
	c, err := v.config()
	if err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(context.Background(), c)
}

// connect opens one connection without the limits of the pool's, for work that may wait long.
func (v Server) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := v.config()
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		delete(c.ConnConfig.RuntimeParams, name)
	}
	return pgx.ConnectConfig(ctx, c.ConnConfig)
}

// quote writes a value of a connection string.
func quote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10)
}
