package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/entity"
)

// ListOptions select and page a list.
type ListOptions struct {
	Size   int    // of a page, 1..1000; 0: 100
	After  string // the id that the page before ended with
	Tags   []string
	AnyTag bool              // one of Tags is enough; otherwise all are needed
	Where  map[string]string // field -> value; of a foreign field the id
}

// Get reads one entity from the primary, or ErrNotFound.
func (s *Store) Get(ctx context.Context, k *entity.Kind, by entity.Key) (entity.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Primary.Timeout)
	defer cancel()
	var o entity.Object
	err := reading(ctx, s.forAdmin(), func(ctx context.Context, pool *pgxpool.Pool) (err error) {
		o, err = s.read(ctx, pool, s.tables[k.Name], by)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", k.Singular, err)
	}
	if o == nil {
		return nil, ErrNotFound
	}
	return s.tables[k.Name].whole(o), nil
}

// forAdmin is the server that the Admin API reads: always the primary (CLU-25).
func (s *Store) forAdmin() *pgxpool.Pool {
	if s.o.Defects.AdminReplica && s.replica != nil {
		return s.replica
	}
	return s.primary
}

// read reads one row; nil when there is none.
func (s *Store) read(ctx context.Context, pool *pgxpool.Pool, tab *table, by entity.Key) (entity.Object, error) {
	sql, args, err := s.selection(ctx, pool, tab, by)
	if sql == "" || err != nil {
		return nil, err
	}
	o, err := tab.scan(pool.QueryRow(ctx, sql, args...))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return o, err
}

// selection is the statement that reads one entity; "" when nothing can match.
func (s *Store) selection(ctx context.Context, pool *pgxpool.Pool, tab *table, by entity.Key) (string, []any, error) {
	if impossible(by) {
		return "", nil, nil
	}
	workspace, err := s.workspaceOn(ctx, pool)
	if err != nil {
		return "", nil, err
	}
	where, args := tab.match(by, workspace)
	return "SELECT " + tab.list + " FROM " + tab.name + " WHERE " + where + tab.alive(), args, nil
}

// List reads a page in the order of ids from the primary, and the id after which the next page
// begins, "" at the end.
func (s *Store) List(ctx context.Context, k *entity.Kind, o ListOptions) (objects []entity.Object, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Primary.Timeout)
	defer cancel()
	tab := s.tables[k.Name]
	size := o.Size
	if size <= 0 {
		size = 100
	}
	where, args := tab.filter(o)
	args = append(args, size+1)
	sql := "SELECT " + tab.list + " FROM " + tab.name + " WHERE " + where + tab.alive() +
		fmt.Sprintf(" ORDER BY id LIMIT $%d", len(args))
	err = reading(ctx, s.forAdmin(), func(ctx context.Context, pool *pgxpool.Pool) error {
		rows, err := pool.Query(ctx, sql, args...)
		if err == nil {
			objects, err = tab.all(rows)
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", k.Name, tab.refusal(err, entity.Object{}))
	}
	for _, o := range objects {
		tab.whole(o)
	}
	if len(objects) > size {
		objects = objects[:size]
		next, _ = objects[size-1]["id"].(string)
	}
	return objects, next, nil
}

// filter is the condition of a list and its arguments.
func (t *table) filter(o ListOptions) (string, []any) {
	conditions, args := []string{"true"}, []any{}
	add := func(condition string, arg any) {
		args = append(args, arg)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if o.After != "" {
		add("id > $%d", o.After)
	}
	if len(o.Tags) > 0 && t.byField["tags"] != nil {
		if o.AnyTag {
			add("tags && $%d", o.Tags)
		} else {
			add("tags @> $%d", o.Tags)
		}
	}
	for field, value := range o.Where {
		c := t.byField[field]
		switch {
		case c == nil, c.form == foreign && uuid.Validate(value) != nil:
			conditions = append(conditions, "false")
		default:
			add(c.name+" = $%d", value)
		}
	}
	return strings.Join(conditions, " AND "), args
}

// all scans every row and closes rows.
func (t *table) all(rows pgx.Rows) ([]entity.Object, error) {
	defer rows.Close()
	objects := []entity.Object{}
	for rows.Next() {
		o, err := t.scan(rows)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, rows.Err()
}

// A Snapshot is what a router and a list of plugins are built from, all of one moment.
type Snapshot struct {
	Services, Routes, Plugins []entity.Object
	Workspace                 string
}

// Snapshot reads all that a build needs in one snapshot and one round trip, from where the fence
// lets the data plane read.
func (s *Store) Snapshot(ctx context.Context) (Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Primary.Timeout)
	defer cancel()
	var snap Snapshot
	err := s.load(ctx, routerKey, func(ctx context.Context, pool *pgxpool.Pool) error {
		snap = Snapshot{}
		b := &pgx.Batch{}
		b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
		s.queueAll(b, "services", &snap.Services)
		s.queueAll(b, "routes", &snap.Routes)
		s.queueAll(b, "plugins", &snap.Plugins)
		b.Queue(workspaceSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&snap.Workspace) })
		b.Queue("COMMIT")
		// what an error leaves open ends with its connection: the pool does not take it back
		return pool.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("read the configuration: %w", err)
	}
	s.workspace.Store(&snap.Workspace)
	return snap, nil
}

func (s *Store) queueAll(b *pgx.Batch, kind string, into *[]entity.Object) {
	tab := s.tables[kind]
	b.Queue("SELECT " + tab.list + " FROM " + tab.name).Query(func(rows pgx.Rows) (err error) {
		*into, err = tab.all(rows)
		return err
	})
}

// Load reads one entity for the data plane; nil, nil says that there is none. cacheKey is what it
// will be cached as: the fence judges by it. A lifetime keeps its fraction of a second, unlike in
// what the Admin API reads.
func (s *Store) Load(ctx context.Context, k *entity.Kind, by entity.Key, cacheKey string) (o entity.Object, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Primary.Timeout)
	defer cancel()
	err = s.load(ctx, cacheKey, func(ctx context.Context, pool *pgxpool.Pool) error {
		o, err = s.read(ctx, pool, s.tables[k.Name], by)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", k.Singular, err)
	}
	return o, nil
}

// load is from, with a second try for a connection that was dead in its pool.
func (s *Store) load(ctx context.Context, key string, read func(ctx context.Context, pool *pgxpool.Pool) error) error {
	return s.from(ctx, key, func(ctx context.Context, pool *pgxpool.Pool) error {
		return reading(ctx, pool, read)
	})
}

// reading runs read, and once more when a connection turned out to be dead: after an outage the pool
// is full of these. Where one gave no sign until the time was up, only others profit.
func reading(ctx context.Context, pool *pgxpool.Pool, read func(ctx context.Context, pool *pgxpool.Pool) error) error {
	err := read(ctx, pool)
	if silent(ctx, err) {
		pool.Reset()
		return err
	}
	if ctx.Err() != nil || !dead(err) {
		return err
	}
	pool.Reset()
	return read(ctx, pool)
}

// silent says that the time was up before the server said anything: the connections of this one's age
// are likely to be as dead, and each would cost somebody as long. Who went away has learned nothing.
func silent(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) && unheard(err)
}

// dead says that an open connection broke; one that could not be opened is no such thing.
func dead(err error) bool {
	var pg *pgconn.PgError
	var dial *pgconn.ConnectError
	var network net.Error
	switch {
	case err == nil, errors.As(err, &dial):
		return false
	case errors.As(err, &pg):
		return pg.Severity == "FATAL"
	}
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
