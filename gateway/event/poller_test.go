package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("the database is away")

// memory is a Log of one server. A test changes it while the Poller waits, and holds mu while it does.
type memory struct {
	mu         sync.Mutex
	server     Server
	xmin, xmax uint64
	events     []Event
	deletions  []Deletion
	err        error
	skew       time.Duration // of the database's clock
	slow       time.Duration // what a read takes
	polls      []time.Time
}

func (m *memory) Since(ctx context.Context, c Cursor) (Batch, error) {
	m.mu.Lock()
	m.polls = append(m.polls, time.Now())
	slow := m.slow
	m.mu.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return Batch{}, m.err
	}
	b := Batch{Server: m.server, Xmin: m.xmin, Xmax: m.xmax, Now: time.Now().Add(m.skew), Deletions: m.deletions, Listed: map[string]uint64{}}
	for _, e := range m.events {
		if c.Horizon == 0 || e.XID < c.Horizon {
			continue
		}
		b.Listed[e.ID] = e.XID
		if !c.Seen(e.ID) {
			b.Events = append(b.Events, e)
		}
	}
	return b, nil
}

// commit writes one event per id in a transaction of its own.
func (m *memory) commit(ids ...string) {
	for _, id := range ids {
		m.add(Event{ID: id, XID: m.xmax})
	}
	m.xmax++
	m.xmin = m.xmax
}

// add shows an event as it is, with a channel, a key and a time where it has none.
func (m *memory) add(e Event) {
	e.At = time.Now().Add(m.skew)
	if e.Channel == "" && e.Data == "" {
		e.Channel, e.Data = "keys", "key of "+e.ID
	}
	m.events = append(m.events, e)
}

// rig is a running Poller and what it did. Ticks come each second, the second after half of one.
type rig struct {
	*memory
	*Poller
	t       *testing.T
	handled []string
	resyncs []string
	retries int
	handle  func(ids []string) error // nil: good
	logs    bytes.Buffer
	began   time.Time
}

// run starts a Poller in a bubble, lets scenario happen and stops it.
func run(t *testing.T, d Defects, scenario func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, memory: &memory{server: replica(), xmin: 700, xmax: 700}, began: time.Now()}
		r.Poller = NewPoller(Options{
			Log: r.memory, Interval: time.Second, Phase: 0.5, Retention: time.Hour, Defects: d,
			Handle: r.take, Resync: func(_ context.Context, reason string) { r.resyncs = append(r.resyncs, reason) },
			Polled: r.polled,
			Logger: slog.New(slog.NewTextHandler(&r.logs, &slog.HandlerOptions{Level: notice})),
		})
		ctx, cancel := context.WithCancel(t.Context())
		if err := r.Start(ctx); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- r.Run(ctx, nil) }()
		synctest.Wait()
		r.memory.mu.Lock()
		scenario(r)
		r.memory.mu.Unlock()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func (r *rig) take(_ context.Context, events []Event) error {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	if r.handle != nil {
		if err := r.handle(ids); err != nil {
			return err
		}
	}
	r.handled = append(r.handled, ids...)
	return nil
}

func (r *rig) polled(context.Context) {
	r.memory.mu.Lock()
	defer r.memory.mu.Unlock()
	r.retries++
}

// pass lets time go by, and the Poller work.
func (r *rig) pass(d time.Duration) {
	r.memory.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
	r.memory.mu.Lock()
}

func (r *rig) wantHandled(ids ...string) {
	r.t.Helper()
	if !slices.Equal(r.handled, ids) {
		r.t.Errorf("handled %v, want %v", r.handled, ids)
	}
}

func (r *rig) wantResyncs(reasons ...string) {
	r.t.Helper()
	if !slices.Equal(r.resyncs, reasons) {
		r.t.Errorf("resyncs %q, want %q", r.resyncs, reasons)
	}
}

func (r *rig) wantLogged(text string, times int) {
	r.t.Helper()
	if got := strings.Count(r.logs.String(), text); got != times {
		r.t.Errorf("%q logged %d times, want %d:\n%s", text, got, times, r.logs.String())
	}
}

func TestPollsAtAFixedRate(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.slow = 300 * time.Millisecond // must not make the rate drift
		r.pass(4 * time.Second)
		var at []time.Duration
		for _, p := range r.polls {
			at = append(at, p.Sub(r.began).Round(time.Millisecond))
		}
		want := []time.Duration{0, 0, 500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 3500 * time.Millisecond}
		if !slices.Equal(at, want) { // the first is Start's
			t.Errorf("polled at %v, want %v", at, want)
		}
	})
}

func TestAPollThatOverlapsTicksRunsOnceAfterThem(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.slow = 2700 * time.Millisecond
		r.pass(1200 * time.Millisecond)
		r.slow = 0
		r.pass(3 * time.Second)
		var at []time.Duration
		for _, p := range r.polls[2:] {
			at = append(at, p.Sub(r.began))
		}
		want := []time.Duration{500 * time.Millisecond, 3200 * time.Millisecond, 3500 * time.Millisecond}
		if !slices.Equal(at, want) {
			t.Errorf("polled at %v, want %v", at, want)
		}
	})
}

func TestEveryEventIsHandledOnce(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.commit("a", "b")
		r.pass(time.Second)
		r.wantHandled("a", "b")
		late := r.xmax // begins now, commits after others
		r.xmax++
		r.xmin = late
		r.add(Event{ID: "c", XID: r.xmax})
		r.xmax++
		r.pass(3 * time.Second)
		r.wantHandled("a", "b", "c")
		r.add(Event{ID: "late", XID: late})
		r.xmin = r.xmax
		r.pass(3 * time.Second)
		r.wantHandled("a", "b", "c", "late")
		r.wantResyncs()
	})
}

func TestATimeMarkerStepsOverLateCommits(t *testing.T) {
	run(t, Defects{TimeMarker: true}, func(r *rig) {
		late := Event{ID: "late", XID: r.xmax, Channel: "keys", Data: "k", At: time.Now()}
		r.xmax++
		r.pass(2 * time.Second)
		r.commit("on time")
		r.xmin = late.XID
		r.events = append(r.events, late)
		r.pass(2 * time.Second)
		r.wantHandled("on time")
	})
}

func TestOwnEventsDoNotRunAgain(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.Applied([]string{"mine"})
		r.commit("mine", "with my node id")
		r.pass(3 * time.Second)
		r.wantHandled("with my node id")
		if len(r.applied) != 0 {
			t.Errorf("still remembered: %v", r.applied)
		}
		r.Applied([]string{"never seen"})
		r.commit("x")
		r.pass(61 * time.Minute)
		if len(r.applied) != 0 {
			t.Errorf("remembered beyond the retention of events: %v", r.applied)
		}
	})
}

func TestAnEventIsDeliveredOnlyOnceItWasHandled(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		tries := 0
		r.handle = func([]string) error {
			if tries++; tries < 3 {
				return errAway
			}
			return nil
		}
		r.commit("a")
		r.pass(500 * time.Millisecond)
		r.commit("b")
		r.pass(3 * time.Second)
		r.wantHandled("a", "b")
		if s := r.Status(); s.Failures != 2 || !s.FailingSince.IsZero() {
			t.Errorf("status %+v, want 2 failures, recovered", s)
		}
	})
}

func TestAPanicCostsALogLineAndAResync(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.handle = func(ids []string) error {
			if slices.Contains(ids, "poison") {
				panic("poison")
			}
			return nil
		}
		r.commit("poison")
		r.pass(3 * time.Second)
		r.commit("b")
		r.pass(time.Second)
		r.wantHandled("b")
		r.wantResyncs("an event handler panicked")
		r.wantLogged("recovered from a panic", 1)
		r.wantLogged("stack=", 1)
	})
}

func TestRowsThatNameNothingStopNoOthers(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.add(Event{ID: "no channel", XID: r.xmax, Data: "k"})
		r.add(Event{ID: "no data", XID: r.xmax, Channel: "keys"})
		r.commit("good")
		r.pass(3 * time.Second)
		r.wantHandled("good")
		r.wantLogged("passed over", 2)
	})
}

func TestNotBefore(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.skew = -time.Hour // the database's clock decides, and it is wrong
		r.add(Event{ID: "delayed", XID: r.xmax, NotBefore: time.Now().Add(r.skew + 2345*time.Millisecond)})
		r.commit("at once")
		r.pass(2844 * time.Millisecond) // read after 0.5 s; the delay runs from a timer, not from polls
		r.wantHandled("at once", "delayed")
	})
	run(t, Defects{}, func(r *rig) {
		r.add(Event{ID: "delayed", XID: r.xmax, NotBefore: time.Now().Add(2345 * time.Millisecond)})
		r.commit("at once")
		r.pass(2340 * time.Millisecond)
		r.wantHandled("at once")
		if s := r.Status(); s.Delayed != 1 {
			t.Errorf("status says %d delayed, want 1", s.Delayed)
		}
		r.handle = func([]string) error { return errAway }
		r.pass(10 * time.Millisecond)
		r.handle = nil
		r.pass(time.Second)
		r.wantHandled("at once", "delayed")
		r.pass(5 * time.Second)
		r.wantHandled("at once", "delayed")
	})
	run(t, Defects{IgnoreNotBefore: true}, func(r *rig) {
		r.add(Event{ID: "delayed", XID: r.xmax, NotBefore: time.Now().Add(2 * time.Second)})
		r.pass(600 * time.Millisecond)
		r.wantHandled("delayed")
	})
}

func TestFailureIsLoggedOnceAndRecoveryOnce(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.err = errAway
		r.commit("missed")
		r.pass(10 * time.Second)
		if s := r.Status(); s.FailingSince.IsZero() || s.Failures != 10 || s.LastError == "" || !errors.Is(s.Err, errAway) {
			t.Errorf("status %+v", s)
		}
		r.err = nil
		r.pass(3 * time.Second)
		if s := r.Status(); s.Err != nil || s.LastError == "" {
			t.Errorf("status after the recovery %+v", s)
		}
		r.wantHandled("missed")
		r.wantLogged("poll failed", 1)
		r.wantLogged("poll recovered", 1)
		r.wantResyncs()
		if r.retries != len(r.polls)-1 {
			t.Errorf("Polled ran %d times in %d polls", r.retries, len(r.polls)-1)
		}
	})
	run(t, Defects{DeafAfterFailure: true}, func(r *rig) {
		r.err = errAway
		r.pass(time.Second)
		r.err = nil
		r.commit("missed")
		r.pass(10 * time.Second)
		r.wantHandled()
	})
}

func TestLongAbsenceIsJudgedAtTheFirstGoodPoll(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.err = errAway
		r.pass(61 * time.Minute)
		r.wantResyncs()
		r.err = nil
		r.commit("x")
		r.pass(2 * time.Second)
		r.wantResyncs("no poll succeeded for 1h1m1s, longer than events are kept")
		r.wantHandled() // the resync covers it
	})
}

func TestAnOlderReplicaIsWaitedFor(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.commit("a")
		r.server.Position = 2000
		r.pass(time.Second)
		r.server.Position, r.server.Started = 1500, noon
		r.xmin, r.xmax = 600, 600
		r.pass(5 * time.Second)
		r.wantResyncs()
		if s := r.Status(); s.FailingSince.IsZero() || !strings.Contains(s.LastError, ErrBehind.Error()) {
			t.Errorf("status %+v, want it to say that the replica is behind", s)
		}
		r.server.Position, r.xmin, r.xmax = 2100, 702, 702
		r.pass(time.Second)
		r.wantResyncs("the database server was restarted")
		r.wantHandled("a")
	})
}

func TestDeletionsAreJudgedOnce(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.xmax = 720 // 700 stays open
		r.deletions = []Deletion{{XID: 710, Highest: 705}}
		r.pass(5 * time.Second)
		r.wantResyncs("events were deleted before they were read")
	})
}

func TestAResyncThatPanicsIsOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{server: replica(), xmin: 700, xmax: 700}
		tries := 0
		p := NewPoller(Options{Log: m, Handle: func(context.Context, []Event) error { return nil }, Resync: func(context.Context, string) {
			if tries++; tries == 1 {
				panic("once")
			}
		}})
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.server.Started = noon
		for range 3 {
			p.poll(t.Context())
		}
		if tries != 2 {
			t.Errorf("resynced %d times, want one more after the panic and no further", tries)
		}
	})
}

func TestStartWaitsForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{server: replica(), xmin: 700, xmax: 700, err: errAway}
		p := NewPoller(Options{Log: m, Interval: time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := p.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || len(m.polls) < 90 {
			t.Errorf("Start returned %v after %d tries", err, len(m.polls))
		}
		m.err = nil
		if err := p.Start(t.Context()); err != nil || p.place.xmin != 700 {
			t.Errorf("Start returned %v at horizon %d", err, p.place.xmin)
		}
	})
}

func TestSkipEventsSkipsTheFirst(t *testing.T) {
	run(t, Defects{SkipEvents: true}, func(r *rig) {
		for i := range 4 {
			r.commit(fmt.Sprint(i))
		}
		r.pass(time.Second)
		r.wantHandled("1", "2", "3")
	})
}

func TestAnOldTransactionIsWarnedAboutOnce(t *testing.T) {
	run(t, Defects{}, func(r *rig) {
		r.xmax = 720 // 700 stays open
		r.pass(5 * time.Minute)
		r.wantLogged("open for long", 1)
		if age := r.Status().HorizonAge; age < 4*time.Minute {
			t.Errorf("status says %s", age)
		}
	})
}

func TestGivenTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{server: replica(), xmin: 700, xmax: 700}
		p := NewPoller(Options{Log: m, Interval: time.Second, Handle: func(context.Context, []Event) error { return nil }})
		ctx, cancel := context.WithCancel(t.Context())
		tick, done := make(chan time.Time), make(chan error)
		go func() { done <- p.Run(ctx, tick) }()
		tick <- time.Now()
		tick <- time.Now()
		synctest.Wait()
		cancel()
		<-done
		if len(m.polls) != 3 {
			t.Errorf("%d polls, want one at once and one a tick", len(m.polls))
		}
	})
}
