package store

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/entity"
	"tidemark/gateway/event"
)

func TestReplayable(t *testing.T) {
	const page = 8192
	for _, rule := range []struct {
		name        string
		insert, out LSN
	}{
		{"in the middle of a page", 5*page + 1000, 5*page + 1000},
		{"at a page's start", 5 * page, 5 * page},
		{"just behind a page's header", 5*page + 24, 5 * page},
		{"just behind a segment's header", 128*page + 40, 128 * page},
		{"one record further", 5*page + 48, 5*page + 48},
		{"unknown", 0, 0},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if got := replayable(rule.insert); got != rule.out {
				t.Errorf("got %d, want %d", got, rule.out)
			}
		})
	}
}

// standby is a replica that has replayed so far.
func standby(position uint64) event.Server {
	return event.Server{System: "7001", InRecovery: true, Timeline: 1, Position: position}
}

// fenced is a store without servers, whose replica stood at 1000 at the last poll.
type fenced struct {
	*Store
	t *testing.T
}

func newFenced(t *testing.T) fenced {
	f := fenced{&Store{}, t}
	f.fence.seen(standby(1000))
	return f
}

// load loads key, which the primary shows at position at, and fails unless it went there or not.
func (f fenced) load(key string, primary bool, at LSN) {
	f.t.Helper()
	if p := f.enter(key, primary); p.primary {
		f.fence.leave(p, at)
	}
}

func (f fenced) enter(key string, primary bool) passage {
	f.t.Helper()
	p, err := f.fence.enter(key, true)
	if err != nil || p.primary != primary {
		f.t.Fatalf("load %s: from the primary %t, %v; want %t", key, p.primary, err, primary)
	}
	return p
}

func TestFence(t *testing.T) {
	for _, rule := range []struct {
		name string
		then func(f fenced)
	}{
		{"who wrote nothing reads the replica", func(f fenced) {
			f.load("k", false, 0)
			f.load(routerKey, false, 0)
		}},
		{"an own write counts for every key until it is replayed", func(f fenced) {
			f.raise(1500)
			f.load("k", true, 1500)
			f.load(routerKey, true, 1500)
			f.fence.seen(standby(1499))
			f.load("never asked for", true, 1500)
			f.fence.seen(standby(1500))
			f.load("k", false, 0)
			f.load(routerKey, false, 0)
		}},
		{"one that is replayed already is none", func(f fenced) {
			f.raise(900)
			f.load("k", false, 0)
		}},
		{"what was seen on the primary is not unseen", func(f fenced) {
			f.raise(1500)
			f.load("k", true, 2000) // another node's change is in it
			f.fence.seen(standby(1500))
			f.load("k", true, 2100)
			f.load("other", false, 0)
			f.fence.seen(standby(2000))
			f.load("k", true, 2100)
			f.fence.seen(standby(2100))
			f.load("k", false, 0)
		}},
		{"nor while it is being read", func(f fenced) {
			f.raise(1500)
			first := f.enter("k", true)
			f.fence.seen(standby(1500))
			second := f.enter("k", true)
			f.fence.leave(first, 0) // failed
			third := f.enter("k", true)
			f.fence.leave(second, 1400)
			f.fence.leave(third, 1400)
			f.load("k", false, 0)
		}},
		{"a failed load leaves no mark", func(f fenced) {
			f.raise(1500)
			f.load("k", true, 0)
			f.fence.seen(standby(1500))
			f.load("k", false, 0)
		}},
		{"a write of unknown position counts until one was read behind it", func(f fenced) {
			f.enter("k", false)
			f.raise(0)
			f.fence.seen(standby(1 << 40))
			f.load("k", true, 0)
			f.load("k", true, 1<<40+5)
			f.load("other", true, 1<<40+5) // the position stands for the write
			f.fence.seen(standby(1<<40 + 5))
			f.load("other", false, 0)
		}},
		{"a load that began before the doubt does not settle it", func(f fenced) {
			f.raise(1500)
			early := f.enter("k", true)
			f.raise(0)
			f.fence.leave(early, 2000)
			f.fence.seen(standby(2000))
			f.load("k", true, 2000)
			f.load("k", false, 0)
		}},
		{"a promotion lifts it", func(f fenced) {
			f.raise(1500)
			f.fence.seen(event.Server{System: "7001", Timeline: 2, Position: 1200})
			f.load("k", false, 0)
		}},
		{"another system lifts it", func(f fenced) {
			f.raise(1500)
			f.fence.seen(event.Server{System: "7002", InRecovery: true, Timeline: 1, Position: 10})
			f.load("k", false, 0)
		}},
		{"a restart does not", func(f fenced) {
			f.raise(1500)
			again := standby(1200)
			again.Table = 17
			f.fence.seen(again)
			f.load("k", true, 1500)
		}},
		{"behind an older replica nothing is loaded, except by the fence", func(f fenced) {
			f.fence.seen(standby(800))
			if _, err := f.fence.enter("k", true); !errors.Is(err, event.ErrBehind) {
				f.t.Errorf("got %v", err)
			}
			f.raise(1500)
			f.load("k", true, 1500)
			f.fence.seen(standby(1500))
			f.load("k", false, 0)
		}},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.then(newFenced(t)) })
	}
}

// A resync forgets positions, which may be of another server; a node that stood behind the fence asks
// the primary anew.
// Keys that clients make up behind a replica that stands still leave one fence, not one mark each.
func TestTheMarksAreBounded(t *testing.T) {
	f := newFenced(t)
	f.raise(1500)
	reading := f.enter("reading", true)
	for i := range 2*maxMarks + 1 {
		f.load(strconv.Itoa(i), true, LSN(2000+i))
	}
	if n := len(f.fence.keys); n > maxMarks {
		t.Errorf("%d marks, want at most %d", n, maxMarks)
	}
	f.fence.seen(standby(1999)) // the own write is replayed, what was read is not
	f.load("0", true, 2000)
	f.load("reading", true, 2000)
	f.fence.leave(reading, 2000)
	f.fence.seen(standby(2000 + 2*maxMarks))
	f.load("0", false, 0)
	if n := len(f.fence.keys); n > 0 || f.fence.node != 0 {
		t.Errorf("%d marks and a fence at %d after all was replayed", n, f.fence.node)
	}
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	s := node(t, p, nil)
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	from := func(key string) (pool *pgxpool.Pool) {
		t.Helper()
		err := s.from(t.Context(), key, func(_ context.Context, used *pgxpool.Pool) error { pool = used; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return pool
	}
	since(t, s, 0)
	s.Reconnect()
	if from("k") != s.replica {
		t.Error("a node without a fence loads from the replica after a reconnect")
	}
	s.raise(1 << 60)
	s.Reconnect()
	if from("k") != s.primary {
		t.Error("a node behind a fence loads from the primary after a reconnect")
	}
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	since(t, s, 0)
	if from("k") != s.replica {
		t.Error("the replica has replayed all that the primary had")
	}
}

// While the replica stands still, what the writer saw of another node's change on the primary stays
// seen after its own write was replayed.
func TestWhatWasSeenIsNotUnseen(t *testing.T) {
	t.Parallel()
	p := withReplica(t)
	writer, other := node(t, p, nil), node(t, p, nil)
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := writer.o.Catalog.Kind("services")
	if err := p.PauseReplay(t.Context()); err != nil {
		t.Fatal(err)
	}
	insert(t, writer, "services", entity.Object{"name": "mine", "host": "h"})
	theirs := insert(t, other, "services", entity.Object{"name": "theirs", "host": "h"})
	seen := func(s *Store) bool {
		o, err := s.Load(t.Context(), k, byID(theirs), "services:theirs")
		if err != nil {
			t.Fatal(err)
		}
		return o != nil
	}
	if !seen(writer) || !seen(other) {
		t.Fatal("both wrote: both read the primary")
	}
	writer.fence.mu.Lock()
	writer.fence.node = 0 // as if the replica had replayed its own write, and stopped again
	writer.fence.mu.Unlock()
	if !seen(writer) {
		t.Error("a change that was seen is unseen again")
	}
	if err := p.ResumeReplay(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	since(t, writer, 0)
	if writer.fence.lift() {
		t.Errorf("a fence still stands although all is replayed: %+v", &writer.fence.keys)
	}
}
