package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/entity"
)

// A tx is one write transaction. BEGIN travels with its first batch and every batch is one round
// trip; what a later statement depends on is looked at in between.
type tx struct {
	s         *Store
	ctx       context.Context
	conn      *pgxpool.Conn
	workspace string
	begun     bool
	silent    bool // SilentChanges
}

// write runs work in a transaction, commits it and applies it to this node. It does not stop when
// the client goes away: a COMMIT that nobody waits for would be a doubt for no reason. work runs
// again when PostgreSQL ends a deadlock by choosing it, a row vanished between two statements, or the
// connection was lost, as those are that sat in the pool through an outage.
func (s *Store) write(ctx context.Context, verb string, k *entity.Kind, work func(t *tx) (Change, error)) (Change, error) {
	if err := ctx.Err(); err != nil {
		return Change{}, fmt.Errorf("%s %s: %w", verb, k.Singular, err)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Primary.Timeout)
	defer cancel()
	var c Change
	err := errAgain
	for range 4 {
		if c, err = s.attempt(bounded, k, work); !again(err) {
			break
		}
	}
	if silent(bounded, err) {
		s.primary.Reset()
	}
	var refused *Error
	switch {
	case err == nil:
		s.apply(ctx, verb, c)
		return c, nil
	case errors.As(err, &refused):
		return Change{}, refused
	}
	return Change{}, fmt.Errorf("%s %s: %w", verb, k.Singular, err)
}

// apply tells this node of its own change, for at most Primary.Timeout.
func (s *Store) apply(ctx context.Context, verb string, c Change) {
	tell := func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Primary.Timeout)
		defer cancel()
		s.o.Applied(bounded, c)
	}
	switch d := s.o.Defects; {
	case !c.Found, s.o.Applied == nil, d.OwnByPoll, d.PutOwn && verb == "upsert":
	case d.AsyncOwn:
		s.late.Go(func() { <-time.After(lateBy / 4); tell() })
	default:
		tell()
	}
	if c.Found && s.o.Defects.LateEvents {
		s.late.Go(func() { s.announce(c) })
	}
}

// errAgain says that what a statement found was gone at the next one, errLost that a connection broke
// before COMMIT was sent on it: nothing happened.
var (
	errAgain = errors.New("the entity kept changing")
	errLost  = errors.New("the connection was lost before the commit")
)

func again(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, errAgain) || errors.Is(err, errLost) ||
		errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}

func (s *Store) attempt(ctx context.Context, k *entity.Kind, work func(t *tx) (Change, error)) (Change, error) {
	workspace, err := s.workspaceOn(ctx, s.primary)
	if err != nil {
		return Change{}, err
	}
	conn, err := s.primary.Acquire(ctx)
	if err != nil {
		return Change{}, err
	}
	defer conn.Release()
	t := &tx{s: s, ctx: ctx, conn: conn, workspace: workspace}
	c, err := work(t)
	switch {
	case err != nil && conn.Conn().IsClosed() && ctx.Err() == nil:
		s.primary.Reset() // the others of its age are as dead, and found out one by one
		return Change{}, fmt.Errorf("%w: %w", errLost, err)
	case err != nil || !c.Found:
		t.rollback()
		return c, err
	}
	c.Kind = k
	return t.commit(c)
}

// batch begins a round trip, and the transaction with the first one.
func (t *tx) batch() *pgx.Batch {
	b := &pgx.Batch{}
	if !t.begun {
		b.Queue("BEGIN")
	}
	return b
}

// send makes the round trip. The callbacks of the queries run in order, up to the first error.
func (t *tx) send(b *pgx.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	t.begun = true
	return t.conn.SendBatch(t.ctx, b).Close()
}

// rollback gives locks back at once; a connection that cannot is closed by its release.
func (t *tx) rollback() {
	if t.begun && !t.conn.Conn().IsClosed() {
		_ = t.conn.Conn().PgConn().Exec(t.ctx, "ROLLBACK").Close()
	}
}

// commit ends the transaction and reads the position behind it in the same round trip. Only an
// answer that never came is a doubt: an ERROR, a ROLLBACK and a COMMIT that could not be sent are not.
func (t *tx) commit(c Change) (Change, error) {
	tag, position, err := t.end()
	switch {
	case tag.String() == "COMMIT":
		if err != nil {
			t.s.log.Warn("position of a commit unknown", "kind", c.Kind.Name, "error", err)
		}
		c.Position = position
		t.s.raise(c.Position)
		return c, nil
	case tag.String() != "":
		return Change{}, fmt.Errorf("commit answered %s: %w", tag, ErrRefused)
	case pgconn.SafeToRetry(err) || answered(err):
		return Change{}, fmt.Errorf("commit: %w", err)
	}
	t.s.raise(0)
	if t.s.o.Doubtful != nil {
		t.s.o.Doubtful(c)
	}
	return Change{}, fmt.Errorf("commit: %w: %w", ErrDoubtful, err)
}

// positionSQL reads how far the log goes, as a number; endSQL does so right after the commit.
const (
	positionSQL = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8"
	endSQL      = "COMMIT; " + positionSQL
)

// end sends endSQL in the simple protocol: one round trip on any connection, nothing to prepare. tag
// is empty as long as COMMIT was not answered.
func (t *tx) end() (tag pgconn.CommandTag, position LSN, err error) {
	results := t.conn.Conn().PgConn().Exec(t.ctx, endSQL)
	for first := true; results.NextResult(); first = false {
		r := results.ResultReader().Read()
		if r.Err != nil {
			continue // Close says it, too
		}
		if first {
			tag = r.CommandTag
		} else if len(r.Rows) == 1 {
			n, _ := strconv.ParseUint(string(r.Rows[0][0]), 10, 64)
			position = LSN(n)
		}
	}
	return tag, position, results.Close()
}

// answered says that the server itself refused a COMMIT. A FATAL may follow a commit that was made.
func answered(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Severity == "ERROR" && pg.Code != "40003"
}

// lateBy is how long after the answer the defect LateEvents writes its events. AsyncOwn is faster.
const lateBy = 200 * time.Millisecond

// announce writes c's events after the fact: the defect LateEvents.
func (s *Store) announce(c Change) {
	<-time.After(lateBy)
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Primary.Timeout)
	defer cancel()
	_, err := s.primary.Exec(ctx, eventSQL, s.eventArguments(c)...)
	if err != nil {
		s.log.Error("could not insert events", "error", err)
	}
}

// eventSQL writes one row a key. The clock is the database's at the statement, not at BEGIN: the
// transaction may have waited for its locks.
const eventSQL = `INSERT INTO cluster_events (id, node_id, at, nbf, expire_at, channel, data)
SELECT unnest($1::uuid[]), $4::uuid, statement_timestamp(), statement_timestamp() + make_interval(secs => $5),
	statement_timestamp() + make_interval(secs => $6), unnest($2::text[]), unnest($3::text[])`

// queueEvents adds c's events to a batch and refuses when not all of them are stored.
func (t *tx) queueEvents(b *pgx.Batch, c *Change, keys []entity.Invalidation) {
	c.Keys = distinct(keys)
	c.EventIDs = make([]string, len(c.Keys))
	for i := range c.EventIDs {
		c.EventIDs[i] = uuid.NewString()
	}
	if len(c.Keys) == 0 || t.silent || t.s.o.Defects.LateEvents || t.s.o.Defects.NoEvents {
		return
	}
	want := int64(len(c.Keys))
	b.Queue(eventSQL, t.s.eventArguments(*c)...).Exec(func(ct pgconn.CommandTag) error {
		if got := ct.RowsAffected(); got != want {
			return fmt.Errorf("%d of %d events stored: %w", got, want, ErrRefused)
		}
		return nil
	})
}

func (s *Store) eventArguments(c Change) []any {
	channels, data := make([]string, len(c.Keys)), make([]string, len(c.Keys))
	for i, k := range c.Keys {
		channels[i], data[i] = k.Channel, k.Key
	}
	var delay any // no delay is no nbf
	if s.o.Propagation > 0 {
		delay = s.o.Propagation.Seconds()
	}
	return []any{c.EventIDs, channels, data, s.o.NodeID, delay, s.o.retention().Seconds()}
}

// distinct keeps the first of equal keys: a cascade names router:version once a child.
func distinct(keys []entity.Invalidation) []entity.Invalidation {
	seen := make(map[entity.Invalidation]bool, len(keys))
	return slices.DeleteFunc(keys, func(k entity.Invalidation) bool {
		known := seen[k]
		seen[k] = true
		return known
	})
}
