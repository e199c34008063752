package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/event"
)

// fetchSize bounds how many events one statement fetches.
const fetchSize = 5000

// pollSQL reads the place in the log, who answers, and the names of all events at or above the
// horizon, in one statement and so in one snapshot. Its comment lets whoever watches the wire count
// polls. On a standby the snapshot's list of open transactions is empty, its xmin and xmax are right.
// During recovery the timeline cannot be told from a position; what the control file says is late by
// up to a restart point. No privilege is needed for any of it.
const pollSQL = `/* poll */ SELECT
	pg_snapshot_xmin(pg_current_snapshot())::text,
	pg_snapshot_xmax(pg_current_snapshot())::text,
	(SELECT system_identifier::text FROM pg_control_system()),
	pg_postmaster_start_time(),
	(SELECT stats_reset FROM pg_stat_bgwriter),
	pg_is_in_recovery(),
	CASE WHEN pg_is_in_recovery()
		THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
		ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
	'cluster_events'::regclass::oid,
	((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END) - '0/0')::bigint,
	clock_timestamp(),
	e.ids, e.xids, d.xids, d.highest
FROM (SELECT array_agg(id::text) ids, array_agg(xid::text) xids FROM cluster_events WHERE xid >= $1::xid8) e,
	(SELECT array_agg(xid::text) xids, array_agg(highest::text) highest FROM cluster_event_deletions WHERE xid >= $1::xid8) d`

// fetchSQL reads events by id. A time out of all bounds counts as none: whatever somebody wrote into
// one row, the others must be read.
const fetchSQL = `/* events */ SELECT id::text, node_id::text, coalesce(channel, ''), coalesce(data, ''),
	CASE WHEN at > '0001-01-01' AND at < '9999-01-01' THEN at END,
	CASE WHEN nbf > '0001-01-01' AND nbf < '9999-01-01' THEN nbf END, xid::text
FROM cluster_events WHERE id = ANY($1::uuid[]) ORDER BY xid, id`

// Since reads what the cursor has not seen from the server from which this node loads: the replica
// where there is one. A drop is then never followed by a reload of the old row. It takes one round
// trip, and one more for each 5000 events that are new, each within the cursor's deadline or else
// the store's.
func (s *Store) Since(ctx context.Context, c event.Cursor) (event.Batch, error) {
	pool := s.polled()
	if s.o.Defects.PollPrimary {
		pool = s.primary
	}
	if c.Deadline <= 0 {
		c.Deadline = s.o.PollDeadline
	}
	b, err := poll(ctx, pool, c)
	if err == nil {
		s.fence.seen(b.Server)
		err = fetch(ctx, pool, c, &b)
	}
	switch {
	case err == nil:
		return b, nil
	case isUndefinedTable(err):
		err = fmt.Errorf("%w: %w", ErrSchema, err)
	case ctx.Err() == nil && unheard(err):
		pool.Reset() // the idle ones are likely to be as dead, and each would cost a poll
	}
	return event.Batch{}, err
}

// unheard says that the server did not answer at all, not even with a refusal.
func unheard(err error) bool {
	var pg *pgconn.PgError
	return err != nil && !errors.As(err, &pg)
}

// polled is the server that serves this node's polls, and its loads where no fence stands.
func (s *Store) polled() *pgxpool.Pool {
	if s.replica != nil {
		return s.replica
	}
	return s.primary
}

// poll runs the statement that every poll is.
func poll(ctx context.Context, pool *pgxpool.Pool, c event.Cursor) (event.Batch, error) {
	ctx, cancel := within(ctx, c.Deadline)
	defer cancel()
	horizon := c.Horizon
	if horizon == 0 {
		horizon = math.MaxUint64 // a place, no events
	}
	var (
		b                         event.Batch
		xmin, xmax                string
		reset                     *time.Time
		timeline                  int32
		position                  int64
		ids, xids, deleters, tops []string
	)
	err := pool.QueryRow(ctx, pollSQL, pgx.QueryExecModeExec, strconv.FormatUint(horizon, 10)).Scan(
		&xmin, &xmax, &b.Server.System, &b.Server.Started, &reset, &b.Server.InRecovery, &timeline,
		&b.Server.Table, &position, &b.Now, &ids, &xids, &deleters, &tops)
	if err != nil {
		return b, fmt.Errorf("poll: %w", err)
	}
	if reset != nil {
		b.Server.StatsReset = *reset
	}
	b.Server.Timeline, b.Server.Position = uint32(timeline), uint64(position)
	b.Xmin, b.Xmax = xid(xmin), xid(xmax)
	b.Listed = make(map[string]uint64, len(ids))
	for i, id := range ids {
		b.Listed[id] = xid(xids[i])
	}
	for i := range deleters {
		b.Deletions = append(b.Deletions, event.Deletion{XID: xid(deleters[i]), Highest: xid(tops[i])})
	}
	return b, nil
}

// fetch reads the listed events that the cursor has not seen.
func fetch(ctx context.Context, pool *pgxpool.Pool, c event.Cursor, b *event.Batch) error {
	var unseen []string
	for id := range b.Listed {
		if c.Seen == nil || !c.Seen(id) {
			unseen = append(unseen, id)
		}
	}
	for len(unseen) > 0 {
		some := unseen[:min(len(unseen), fetchSize)]
		unseen = unseen[len(some):]
		events, err := fetchSome(ctx, pool, c.Deadline, some)
		if err != nil {
			return fmt.Errorf("fetch events: %w", err)
		}
		b.Events = append(b.Events, events...)
		b.Gone = append(b.Gone, missing(some, events)...)
	}
	return nil
}

func fetchSome(ctx context.Context, pool *pgxpool.Pool, deadline time.Duration, ids []string) ([]event.Event, error) {
	ctx, cancel := within(ctx, deadline)
	defer cancel()
	rows, err := pool.Query(ctx, fetchSQL, pgx.QueryExecModeExec, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e event.Event, err error) {
		var at, nbf *time.Time
		var number string
		err = row.Scan(&e.ID, &e.NodeID, &e.Channel, &e.Data, &at, &nbf, &number)
		if at != nil {
			e.At = *at
		}
		if nbf != nil {
			e.NotBefore = *nbf
		}
		e.XID = xid(number)
		return e, err
	})
}

// missing lists the ids of which there is no event.
func missing(ids []string, events []event.Event) (gone []string) {
	if len(ids) == len(events) {
		return nil
	}
	there := make(map[string]bool, len(events))
	for _, e := range events {
		there[e.ID] = true
	}
	for _, id := range ids {
		if !there[id] {
			gone = append(gone, id)
		}
	}
	return gone
}

// cleanSQL delete what nobody will need: events that have expired and whose transaction no reader
// can be waiting for (or which come from another server's dump), and the notes of deletions that
// every reader has judged or is too late for.
const (
	cleanEventsSQL = `DELETE FROM cluster_events WHERE id = ANY(ARRAY(
	SELECT id FROM cluster_events WHERE expire_at < clock_timestamp()
		AND (xid < pg_snapshot_xmin(pg_current_snapshot()) OR xid >= pg_snapshot_xmax(pg_current_snapshot()))
	LIMIT 1000 FOR UPDATE SKIP LOCKED))`
	cleanDeletionsSQL = `DELETE FROM cluster_event_deletions WHERE id = ANY(ARRAY(
	SELECT id FROM cluster_event_deletions WHERE at < clock_timestamp() - $1::bigint * interval '1 microsecond'
		AND (xid < pg_snapshot_xmin(pg_current_snapshot()) OR xid >= pg_snapshot_xmax(pg_current_snapshot()))
	LIMIT 1000 FOR UPDATE SKIP LOCKED))`
	cleanSize = 1000
)

// CleanEvents deletes events that have expired, in short statements that wait for no lock. Call it
// every 300 s; several nodes may at once.
func (s *Store) CleanEvents(ctx context.Context) error {
	if err := s.clean(ctx, cleanEventsSQL); err != nil {
		return fmt.Errorf("clean events: %w", err)
	}
	if err := s.clean(ctx, cleanDeletionsSQL, s.o.retention().Microseconds()); err != nil {
		return fmt.Errorf("clean notes of deletions: %w", err)
	}
	return nil
}

// clean repeats a statement until there is less than a full portion left to delete.
func (s *Store) clean(ctx context.Context, sql string, args ...any) error {
	for {
		one, cancel := within(ctx, s.o.Primary.Timeout)
		tag, err := s.primary.Exec(one, sql, args...)
		cancel()
		if err != nil || tag.RowsAffected() < cleanSize {
			return err
		}
	}
}

// within bounds ctx by d; zero: not at all.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// xid reads a transaction's number as PostgreSQL prints it.
func xid(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}
