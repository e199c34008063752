package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/event"
)

const (
	writers     = 12
	writingTime = 5 * time.Second
	latest      = 1500 * time.Millisecond // between an event's insert and its commit
	pollEvery   = 50 * time.Millisecond
)

// No event is lost and none is repeated, however late and in whatever order transactions commit, on
// the primary and on a streaming replica. A reader that remembers a time instead of a horizon loses
// some of the very same events: the test can tell.
func TestTheHorizonLosesNothing(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	onPrimary := node(t, p, func(o *Options) { o.Replica = nil })
	onReplica := node(t, p, nil)

	readers := []*reader{
		read(t, "primary", onPrimary, event.Defects{}),
		read(t, "replica", onReplica, event.Defects{}),
		read(t, "time marker", onPrimary, event.Defects{TimeMarker: true}),
	}
	written := writeLate(t, p)
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		lost, repeated, invented := r.compare(written)
		t.Logf("%s: %d events written, %d lost, %d repeated, %d polls", r.name, len(written), lost, repeated, r.Status().Polls)
		marker := r.name == "time marker"
		if lost > 0 != marker || repeated > 0 || invented > 0 {
			t.Errorf("%s: lost %d, repeated %d, delivered %d that were rolled back", r.name, lost, repeated, invented)
		}
		if s := r.Status(); s.Failures > 0 || s.Resyncs > 0 {
			t.Errorf("%s: %+v", r.name, s)
		}
	}
}

// reader is a Poller that counts what it was given.
type reader struct {
	*event.Poller
	name string
	stop func()
	mu   sync.Mutex
	got  map[string]int
}

// read starts a Poller on s.
func read(t *testing.T, name string, s *Store, d event.Defects) *reader {
	t.Helper()
	r := &reader{name: name, got: map[string]int{}}
	r.Poller = event.NewPoller(event.Options{
		Log: s, Interval: pollEvery, Phase: 0.5, Deadline: time.Second, Retention: time.Hour, Defects: d,
		Handle: func(_ context.Context, events []event.Event) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, e := range events {
				r.got[e.ID]++
			}
			return nil
		},
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Run(ctx, nil)
	}()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(r.stop)
	return r
}

// compare lets the reader poll a few times more and judges what it was given.
func (r *reader) compare(written map[string]bool) (lost, repeated, invented int) {
	for enough := r.Status().Polls + 4; r.Status().Polls < enough; {
		<-time.After(pollEvery)
	}
	r.stop()
	for id := range written {
		if r.got[id] == 0 {
			lost++
		}
	}
	for id, times := range r.got {
		if times > 1 {
			repeated++
		}
		if !written[id] {
			invented++
		}
	}
	return lost, repeated, invented
}

// writeLate lets writers commit for a while and returns the ids of all events that they committed.
func writeLate(t *testing.T, p *postgres.Pair) map[string]bool {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	written := map[string]bool{}
	until := time.Now().Add(writingTime)
	for n := range writers {
		w := &lateWriter{chance: rand.New(rand.NewPCG(1, uint64(n)))}
		all.Go(func() {
			ids, err := w.run(t.Context(), p.Primary().URL(), until)
			if err != nil {
				t.Errorf("writer %d: %v", n, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				written[id] = true
			}
		})
	}
	all.Wait()
	return written
}

// lateWriter writes events in transactions that take their time.
type lateWriter struct {
	chance *rand.Rand
	conn   *pgx.Conn
}

func (w *lateWriter) run(ctx context.Context, url string, until time.Time) (committed []string, err error) {
	if w.conn, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	defer w.conn.Close(ctx)
	for time.Now().Before(until) {
		ids, err := w.transaction(ctx)
		if err != nil {
			return committed, err
		}
		committed = append(committed, ids...)
	}
	return committed, nil
}

// transaction writes a few events, some below savepoints and some of these rolled back, waits, and
// commits, or rolls back. It returns what others can see of it.
func (w *lateWriter) transaction(ctx context.Context) (visible []string, err error) {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	for range 1 + w.chance.IntN(4) {
		ids, err := w.insert(ctx, tx)
		if err != nil {
			return nil, err
		}
		visible = append(visible, ids...)
		w.wait(latest / 250)
	}
	if w.chance.IntN(24) == 0 {
		w.wait(latest)
	}
	if w.chance.IntN(8) == 0 {
		return nil, tx.Rollback(ctx)
	}
	return visible, tx.Commit(ctx)
}

// insert writes one event: plainly, or below a savepoint that is kept or rolled back.
func (w *lateWriter) insert(ctx context.Context, tx pgx.Tx) ([]string, error) {
	id, kind := uuid.NewString(), w.chance.IntN(4)
	inner := tx
	if kind > 1 {
		var err error
		if inner, err = tx.Begin(ctx); err != nil {
			return nil, err
		}
	}
	_, err := inner.Exec(ctx, `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
		VALUES ($1, $1, clock_timestamp(), clock_timestamp() + interval '1 hour', 'invalidations', $2)`, id, "key of "+id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("insert: %w", err)
	case kind == 2:
		return nil, inner.Rollback(ctx)
	case kind == 3:
		err = inner.Commit(ctx)
	}
	return []string{id}, err
}

// wait lets at most d pass.
func (w *lateWriter) wait(d time.Duration) { <-time.After(time.Duration(w.chance.Int64N(int64(d)))) }
