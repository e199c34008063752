package store

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tidemark/fixtures/postgres"
	"tidemark/gateway/event"
)

const insertEvent = `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
	VALUES ($1, $1, clock_timestamp(), clock_timestamp() + interval '1 hour', 'invalidations', 'k')`

func add(t testing.TB, p *postgres.Pair) string {
	t.Helper()
	id := uuid.NewString()
	do(t, p, insertEvent, id)
	return id
}

// since polls from a horizon with nothing seen.
func since(t testing.TB, s *Store, horizon uint64) event.Batch {
	t.Helper()
	b, err := s.Since(t.Context(), event.Cursor{Horizon: horizon})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// session opens a connection of its own to one server.
func session(t testing.TB, a postgres.Addr) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), a.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// Both servers of a pair say who they are, to a user without any privilege but reading the tables.
func TestAPollSaysWhoAnswers(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	do(t, p, "CREATE ROLE plain LOGIN")
	do(t, p, "GRANT SELECT ON cluster_events, cluster_event_deletions TO plain")
	id := add(t, p)
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	plain := func(o *Options) {
		o.Primary.User = "plain"
		if o.Replica != nil {
			o.Replica.User = "plain"
		}
	}
	a := since(t, node(t, p, func(o *Options) { plain(o); o.Replica = nil }), 1)
	b := since(t, node(t, p, plain), 1)
	if a.Server.InRecovery || !b.Server.InRecovery {
		t.Errorf("in recovery: primary %t, replica %t", a.Server.InRecovery, b.Server.InRecovery)
	}
	if a.Server.System == "" || a.Server.System != b.Server.System || a.Server.Table == 0 || a.Server.Table != b.Server.Table {
		t.Errorf("primary %+v and replica %+v are of one system", a.Server, b.Server)
	}
	if a.Server.Timeline != 1 || b.Server.Timeline != 1 {
		t.Errorf("timelines %d and %d, want 1", a.Server.Timeline, b.Server.Timeline)
	}
	for name, got := range map[string]event.Batch{"primary": a, "replica": b} {
		if got.Server.Started.IsZero() || got.Server.StatsReset.IsZero() || got.Server.Position == 0 || got.Now.IsZero() || got.Xmin < 3 || got.Xmax < got.Xmin {
			t.Errorf("%s: %+v", name, got)
		}
		if len(got.Events) != 1 || got.Events[0].ID != id || got.Events[0].NodeID != id || got.Events[0].Channel != "invalidations" ||
			got.Events[0].Data != "k" || got.Events[0].At.IsZero() || !got.Events[0].NotBefore.IsZero() || got.Events[0].XID != got.Listed[id] {
			t.Errorf("%s: events %+v", name, got.Events)
		}
	}
}

// A cursor without a horizon takes a place and reads nothing; what was seen is listed, not fetched.
func TestACursorIsHonoured(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	one, two := add(t, p), add(t, p)
	if b := since(t, s, 0); len(b.Listed)+len(b.Events) != 0 || b.Xmin == 0 {
		t.Errorf("a first poll found %+v", b)
	}
	b, err := s.Since(t.Context(), event.Cursor{Horizon: 1, Seen: func(id string) bool { return id == one }})
	if err != nil || len(b.Listed) != 2 || len(b.Events) != 1 || b.Events[0].ID != two {
		t.Errorf("got %+v, %v", b, err)
	}
	if b := since(t, s, b.Xmin); len(b.Listed) != 0 {
		t.Errorf("listed below the horizon: %+v", b.Listed)
	}
}

// Whatever somebody wrote into one row, the others are read.
func TestARowOfNonsenseStopsNoOthers(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	for _, values := range []string{
		"'infinity', 'infinity', 'infinity', 'c', 'd'",
		"'-infinity', '-infinity', 'now', 'c', 'd'",
		"'290000-01-01', '4000-01-01 BC', 'now', 'c', 'd'",
		"'now', NULL, 'now', NULL, NULL",
	} {
		do(t, p, "INSERT INTO cluster_events (id, node_id, at, nbf, expire_at, channel, data) SELECT gen_random_uuid(), gen_random_uuid(), "+values)
	}
	add(t, p)
	b := since(t, s, 1)
	if len(b.Events) != 5 || len(b.Gone) != 0 {
		t.Fatalf("read %d of 5 events", len(b.Events))
	}
	for _, e := range b.Events[:3] {
		if !e.At.IsZero() || !e.NotBefore.IsZero() {
			t.Errorf("%+v: a time out of all bounds is none", e)
		}
	}
	if e := b.Events[3]; e.Channel != "" || e.Data != "" {
		t.Errorf("%+v: NULL is empty", e)
	}
}

// A node that was away for long reads everything, in portions.
func TestManyEvents(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	const many = 2*fetchSize + 1
	do(t, p, `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
		SELECT gen_random_uuid(), gen_random_uuid(), now(), now() + interval '1 hour', 'c', n::text FROM generate_series(1, $1) n`, many)
	began := time.Now()
	b := since(t, s, 1)
	if len(b.Events) != many || len(b.Gone) != 0 {
		t.Errorf("read %d of %d events, %d gone", len(b.Events), many, len(b.Gone))
	}
	t.Logf("%d events in %s", many, time.Since(began).Round(time.Millisecond))
}

// resyncs makes each thing happen and polls once after it, or as often as it takes for a good poll. It
// returns the reasons of the resyncs.
func resyncs(t *testing.T, s *Store, between ...func()) []string {
	t.Helper()
	var got []string
	ctx, cancel := context.WithCancel(t.Context())
	tick, polled, done := make(chan time.Time), make(chan struct{}), make(chan struct{})
	p := event.NewPoller(event.Options{
		Log: s, Interval: time.Minute, Deadline: time.Second, Retention: time.Hour,
		Handle: func(context.Context, []event.Event) error { return nil },
		Resync: func(_ context.Context, reason string) { got = append(got, reason); s.Reconnect() },
		Polled: func(context.Context) { polled <- struct{}{} },
	})
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(done); _ = p.Run(ctx, tick) }()
	<-polled
	for _, happens := range between {
		happens()
		for good := false; !good; good = p.Status().FailingSince.IsZero() {
			tick <- time.Now()
			<-polled
		}
	}
	cancel()
	<-done
	return got
}

func TestEventsDeletedUnreadAreAResync(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	unread := []string{"events were deleted before they were read"}
	for _, rule := range []struct {
		name string
		sql  []string
		want []string
	}{
		{"deleted", []string{"DELETE FROM cluster_events"}, unread},
		{"truncated", []string{"TRUNCATE cluster_events"}, unread},
		{"with triggers suppressed nobody can know", []string{"SET LOCAL session_replication_role = replica", "DELETE FROM cluster_events"}, nil},
		{"there was nothing to delete", []string{"DELETE FROM cluster_events WHERE false"}, nil},
		{"made anew", []string{
			"ALTER TABLE cluster_events RENAME TO old_events", "CREATE TABLE cluster_events (LIKE old_events INCLUDING ALL)",
			"GRANT SELECT ON cluster_events TO PUBLIC",
		}, []string{"the event log was made anew"}},
	} {
		t.Run(rule.name, func(t *testing.T) {
			var statements []postgres.Statement
			for _, sql := range rule.sql {
				statements = append(statements, postgres.Statement{SQL: sql})
			}
			got := resyncs(t, s, func() {}, func() {
				add(t, p)
				if _, _, err := p.Transaction(t.Context(), statements...); err != nil {
					t.Fatal(err)
				}
			}, func() {})
			if !slices.Equal(got, rule.want) {
				t.Errorf("resyncs %q, want %q", got, rule.want)
			}
		})
	}
}

// Events that were read and then expired may go: that is no resync.
func TestCleaningIsNoResync(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	got := resyncs(t, s, func() { add(t, p) }, func() {}, func() {
		do(t, p, "UPDATE cluster_events SET expire_at = at")
		if err := s.CleanEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, func() {})
	if len(got) != 0 || count(t, p, "cluster_events") != "0" {
		t.Errorf("resyncs %q, %s events left", got, count(t, p, "cluster_events"))
	}
}

// What goes: what has expired, unless somebody may not have read it yet, in more than one portion;
// and old notes of deletions.
func TestCleanEvents(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	const many = `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
		SELECT gen_random_uuid(), gen_random_uuid(), now(), now() - interval '1 second', 'c', 'd' FROM generate_series(1, 2500)`
	do(t, p, many)
	fresh := add(t, p)
	do(t, p, "INSERT INTO cluster_events SELECT gen_random_uuid(), node_id, at, nbf, at, channel, data, '99999999' FROM cluster_events WHERE id = $1", fresh)
	do(t, p, "INSERT INTO cluster_event_deletions (highest, at) VALUES ('3', now() - interval '61 minutes'), ('3', now() - interval '59 minutes')")
	open := session(t, p.Primary())
	tx, err := open.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	do(t, p, many) // a reader that waits for the open transaction may want these again
	if err := s.CleanEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := count(t, p, "cluster_events"); got != "2501" {
		t.Errorf("%s events left, want the fresh one and 2500 above the open transaction", got)
	}
	if got := count(t, p, "cluster_event_deletions WHERE at < now() - interval '1 minute'"); got != "1" {
		t.Errorf("%s old notes of deletions left, want the one of 59 minutes", got)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.CleanEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := count(t, p, "cluster_events"); got != "1" {
		t.Errorf("%s events left, want the fresh one", got)
	}
}

// A crash of one backend restarts the server under the same start time, and transaction numbers may
// step back.
func TestACrashIsAResync(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	const resetSQL = "SELECT stats_reset::text FROM pg_stat_bgwriter"
	got := resyncs(t, s, func() { add(t, p) }, func() {
		victim := session(t, p.Primary())
		before, err := p.Value(t.Context(), resetSQL)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(int(victim.PgConn().PID()), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for victim.Ping(t.Context()) == nil {
			<-time.After(time.Millisecond)
		}
		// the others are answered until the postmaster has noticed, and a poll among them is as good as any
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
			if reset, err := p.Value(t.Context(), resetSQL); err == nil && reset != before {
				break
			}
		}
	}, func() {})
	if len(got) != 1 || got[0] != "the database server recovered from a crash" {
		t.Errorf("resyncs %q", got)
	}
}

// A promotion is a resync, and lifts the fence: positions of the old primary mean nothing any more.
func TestAPromotionIsAResync(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	s := node(t, p, nil)
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := resyncs(t, s, func() { s.raise(1 << 60) }, func() {
		if stood, err := s.fence.enter("k", true); err != nil || !stood.primary {
			t.Fatalf("before the promotion: %+v, %v", stood, err)
		}
		if _, err := p.ReplicaValue(t.Context(), "SELECT pg_promote()::text"); err != nil {
			t.Fatal(err)
		}
	}, func() {})
	if len(got) != 1 || !strings.Contains(got[0], "promoted") {
		t.Errorf("resyncs %q", got)
	}
	if stands, err := s.fence.enter("k", true); err != nil || stands.primary {
		t.Errorf("after the promotion: %+v, %v", stands, err)
	}
}

// The poll shows the events of the server from which the node loads, and of no other.
func TestANodePollsWhereItLoads(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	sound := node(t, p, nil)
	defect := node(t, p, func(o *Options) { o.Defects.PollPrimary = true })
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.PauseReplay(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, p)
	if b := since(t, sound, 1); len(b.Events) != 0 {
		t.Errorf("saw %d events that the replica has not replayed", len(b.Events))
	}
	if b := since(t, defect, 1); len(b.Events) != 1 {
		t.Errorf("the defect saw %d events, want 1", len(b.Events))
	}
	if err := p.ResumeReplay(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b := since(t, sound, 1); len(b.Events) != 1 {
		t.Errorf("saw %d events after the replay, want 1", len(b.Events))
	}
}

// A deadline holds although the server hangs.
func TestAPollHasADeadline(t *testing.T) {
	t.Parallel()
	p := primary(t)
	s := node(t, p, nil)
	c := session(t, p.Primary())
	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE cluster_events IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = s.Since(t.Context(), event.Cursor{Horizon: 1, Deadline: 200 * time.Millisecond})
	if took := time.Since(began); err == nil || took > time.Second {
		t.Errorf("got %v after %s", err, took)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	since(t, s, 1)
}

// BenchmarkPollPinned polls while a transaction that has been open for long keeps 20 000 events that
// were all seen above the horizon.
func BenchmarkPollPinned(b *testing.B) {
	p := primary(b)
	s := node(b, p, nil)
	do(b, p, `INSERT INTO cluster_events (id, node_id, at, expire_at, channel, data)
		SELECT gen_random_uuid(), gen_random_uuid(), now(), now() + interval '1 hour', 'c', n::text FROM generate_series(1, 20000) n`)
	do(b, p, "ANALYZE cluster_events")
	c := event.Cursor{Horizon: 1, Seen: func(string) bool { return true }, Deadline: 5 * time.Second}
	for b.Loop() {
		if got, err := s.Since(b.Context(), c); err != nil || len(got.Listed) != 20_000 {
			b.Fatal(len(got.Listed), err)
		}
	}
}
