package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var errAway = errors.New("the database is away")

// bench is a cache over one key of a database that a test changes, on a clock that it moves.
type bench struct {
	*Cache
	t     *testing.T
	now   time.Time
	row   any       // what the database holds; nil: nothing
	hard  time.Time // the hard end of what it holds
	err   error
	loads int
}

func newBench(t *testing.T, o Options) *bench {
	b := &bench{t: t, now: time.Unix(1_000_000, 0), row: "one"}
	o.Clock = func() time.Time { return b.now }
	b.Cache = New(o)
	t.Cleanup(b.Close)
	return b
}

func (b *bench) load(context.Context) (Loaded, error) {
	b.loads++
	return Loaded{Value: b.row, Expires: b.hard}, b.err
}

// get asks for the key and fails unless it gets want by the given number of loads so far.
func (b *bench) get(want any, loads int) {
	b.t.Helper()
	v, err := b.Get(b.t.Context(), "k", b.load)
	if err != nil || v != want || b.loads != loads {
		b.t.Fatalf("got %v, %v after %d loads; want %v after %d", v, err, b.loads, want, loads)
	}
}

// refused asks for the key and fails unless the load's error comes back.
func (b *bench) refused(loads int) {
	b.t.Helper()
	if v, err := b.Get(b.t.Context(), "k", b.load); !errors.Is(err, errAway) || b.loads != loads {
		b.t.Fatalf("got %v, %v after %d loads; want %v after %d", v, err, b.loads, errAway, loads)
	}
}

func (b *bench) peek(want any, found bool) {
	b.t.Helper()
	if v, ok := b.Peek("k"); v != want || ok != found {
		b.t.Fatalf("peek: got %v, %t; want %v, %t", v, ok, want, found)
	}
}

func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

const (
	ttl    = 10 * time.Second
	negTTL = 4 * time.Second
	rise30 = 30 * time.Second
)

func TestRules(t *testing.T) {
	all := Options{TTL: ttl, NegTTL: negTTL, ResurrectTTL: rise30}
	for _, rule := range []struct {
		name string
		o    Options
		then func(b *bench)
	}{
		{"a hit is not loaded again", all, func(b *bench) {
			b.get("one", 1)
			b.row = "two"
			b.get("one", 1)
			b.peek("one", true)
		}},
		{"a miss is remembered", all, func(b *bench) {
			b.row = nil
			b.peek(nil, false)
			b.get(nil, 1)
			b.row = "two"
			b.get(nil, 1)
			b.peek(nil, true)
		}},
		{"a drop forgets a hit", all, func(b *bench) {
			b.get("one", 1)
			b.row = "two"
			b.Drop("other", "k")
			b.peek(nil, false)
			b.get("two", 2)
		}},
		{"a drop forgets a miss", all, func(b *bench) {
			b.row = nil
			b.get(nil, 1)
			b.row = "two"
			b.Drop("k")
			b.get("two", 2)
		}},
		{"a drop of another key does not", all, func(b *bench) {
			b.get("one", 1)
			b.Drop("other")
			b.get("one", 1)
		}},
		{"a purge of all forgets it", all, func(b *bench) {
			b.get("one", 1)
			b.Purge()
			b.get("one", 2)
			b.Purge("other")
			b.get("one", 2)
			b.Purge("k")
			b.get("one", 3)
		}},
		{"a hit lives for its TTL and no longer, however often it is asked for", all, func(b *bench) {
			b.get("one", 1)
			b.row = "two"
			for range 9 {
				b.pass(time.Second)
				b.get("one", 1)
			}
			b.pass(time.Second - 1)
			b.get("one", 1)
			b.pass(1)
			b.peek(nil, false)
			b.get("two", 2)
		}},
		{"a miss lives for its own TTL", all, func(b *bench) {
			b.row = nil
			b.get(nil, 1)
			b.row = "two"
			b.pass(negTTL - 1)
			b.get(nil, 1)
			b.pass(1)
			b.get("two", 2)
		}},
		{"a TTL of 0 is for ever", Options{}, func(b *bench) {
			b.get("one", 1)
			b.pass(100 * 365 * 24 * time.Hour)
			b.get("one", 1)
			b.Drop("k")
			b.row = nil
			b.get(nil, 2)
			b.pass(100 * 365 * 24 * time.Hour)
			b.get(nil, 2)
		}},
		{"a value ends at its own end, before the TTL", all, func(b *bench) {
			b.hard = b.now.Add(3 * time.Second)
			b.get("one", 1)
			b.pass(3*time.Second - 1)
			b.get("one", 1)
			b.row, b.hard = nil, time.Time{}
			b.pass(1)
			b.peek(nil, false)
			b.get(nil, 2)
		}},
		{"a value that ended on its way is a miss", all, func(b *bench) {
			b.hard = b.now
			b.get(nil, 1)
			b.peek(nil, true)
		}},
		{"an expired hit serves while loads fail, with one try each 30 s", all, func(b *bench) {
			b.get("one", 1)
			b.pass(ttl)
			b.err, b.row = errAway, "two"
			b.get("one", 2)
			b.peek(nil, false)
			b.pass(rise30 - 1)
			b.get("one", 2)
			b.pass(1)
			b.get("one", 3)
			b.pass(rise30)
			b.err = nil
			b.get("two", 4)
		}},
		{"so does an expired miss", all, func(b *bench) {
			b.row = nil
			b.get(nil, 1)
			b.pass(negTTL)
			b.err = errAway
			b.get(nil, 2)
			b.get(nil, 2)
		}},
		{"not when resurrection is off", Options{TTL: ttl}, func(b *bench) {
			b.get("one", 1)
			b.pass(ttl)
			b.err = errAway
			b.refused(2)
			b.refused(3)
			b.err = nil
			b.get("one", 4)
		}},
		{"not beyond the value's own end", all, func(b *bench) {
			b.hard = b.now.Add(15 * time.Second)
			b.get("one", 1)
			b.pass(ttl)
			b.err = errAway
			b.get("one", 2)
			b.pass(5 * time.Second)
			b.refused(3)
		}},
		{"what was dropped is not resurrected", all, func(b *bench) {
			b.get("one", 1)
			b.Drop("k")
			b.err = errAway
			b.refused(2)
		}},
		{"what was never known is an error", all, func(b *bench) {
			b.err = errAway
			b.refused(1)
			b.refused(2)
		}},
		{"stale is loaded again", all, func(b *bench) {
			b.get("one", 1)
			b.row = "two"
			b.MarkStale("other")
			b.get("one", 1)
			b.MarkStale("k")
			b.peek(nil, false)
			b.get("two", 2)
			b.get("two", 2)
			b.MarkStale()
			b.peek(nil, false)
			b.get("two", 3)
			b.get("two", 3)
		}},
		{"stale serves while loads fail", all, func(b *bench) {
			b.get("one", 1)
			b.MarkStale()
			b.err = errAway
			b.get("one", 2)
			b.get("one", 2)
			b.MarkStale("k") // a sign that the database is back: try at once
			b.get("one", 3)
			b.MarkStale()
			b.err, b.row = nil, "two"
			b.get("two", 4)
		}},
		{"what was put is a hit", all, func(b *bench) {
			b.Put("k", "put")
			b.get("put", 0)
			b.pass(ttl)
			b.get("one", 1)
		}},
		{"what was read before a drop is not put", all, func(b *bench) {
			for _, drop := range []func(){
				func() { b.Drop("k") }, b.DropAll, func() { b.MarkStale("k") }, func() { b.MarkStale() },
			} {
				b.DropAll()
				token := b.Token()
				drop()
				b.PutAt(token, "k", "old")
				b.peek(nil, false)
			}
			token := b.Token()
			b.Drop("other")
			b.PutAt(token, "k", "good")
			b.peek("good", true)
		}},
		{"what was read earlier does not replace what was read later", all, func(b *bench) {
			token := b.Token()
			b.get("one", 1)
			b.PutAt(token, "k", "older")
			b.get("one", 1)
			b.PutAt(b.Token(), "k", "newer")
			b.get("newer", 1)
		}},
		{"a forgotten history of drops refuses what is older", Options{}, func(b *bench) {
			token := b.Token()
			for i := range maxDropped + 1 {
				b.Drop(fmt.Sprint(i))
			}
			b.PutAt(token, "k", "old")
			b.peek(nil, false)
		}},
		{"a closed cache keeps nothing", all, func(b *bench) {
			b.Close()
			b.Put("k", "v")
			b.peek(nil, false)
			if _, err := b.Get(b.t.Context(), "k", b.load); !errors.Is(err, errClosed) {
				b.t.Errorf("got %v", err)
			}
		}},
		{"a panic in a load is an error", all, func(b *bench) {
			_, err := b.Get(b.t.Context(), "k", func(context.Context) (Loaded, error) { panic("no") })
			if err == nil || err.Error() != "load k: panic: no" {
				b.t.Errorf("got %v", err)
			}
			b.get("one", 1)
		}},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.then(newBench(t, rule.o)) })
	}
}

func TestDefects(t *testing.T) {
	for _, rule := range []struct {
		name string
		d    Defects
		then func(b *bench)
	}{
		{"misses never cached", Defects{NoMisses: true}, func(b *bench) {
			b.row = nil
			b.get(nil, 1)
			b.get(nil, 2)
		}},
		{"one drop drops all", Defects{PurgeAll: true}, func(b *bench) {
			b.get("one", 1)
			b.Drop("other")
			b.get("one", 2)
		}},
		{"nothing expires", Defects{NoTTL: true}, func(b *bench) {
			b.get("one", 1)
			b.pass(time.Hour)
			b.get("one", 1)
		}},
		{"a hit prolongs", Defects{SlidingTTL: true}, func(b *bench) {
			b.get("one", 1)
			b.pass(ttl - 1)
			b.get("one", 1)
			b.pass(ttl - 1)
			b.get("one", 1)
		}},
		{"misses live as long as hits", Defects{MissTTL: true}, func(b *bench) {
			b.row = nil
			b.get(nil, 1)
			b.pass(ttl - 1)
			b.get(nil, 1)
		}},
		{"a purge by hand does nothing", Defects{NoPurge: true}, func(b *bench) {
			b.get("one", 1)
			b.Purge()
			b.Purge("k")
			b.get("one", 1)
			b.Drop("k")
			b.get("one", 2)
		}},
		{"no resurrection", Defects{NoResurrect: true}, func(b *bench) {
			b.get("one", 1)
			b.pass(ttl)
			b.err = errAway
			b.refused(2)
		}},
		{"nothing is kept", Defects{Forgetful: true}, func(b *bench) {
			b.get("one", 1)
			b.get("one", 2)
		}},
	} {
		t.Run(rule.name, func(t *testing.T) {
			rule.then(newBench(t, Options{TTL: ttl, NegTTL: negTTL, ResurrectTTL: rise30, Defects: rule.d}))
		})
	}
}

// held is a load that a test lets go.
type held struct {
	began, end chan struct{}
	result     chan any
}

// hold begins a Get of "k" whose load returns v once it is let go. It returns when the load runs.
func hold(t *testing.T, c *Cache, v any, err error) held {
	h := held{began: make(chan struct{}), end: make(chan struct{}), result: make(chan any, 1)}
	go func() {
		got, err := c.Get(t.Context(), "k", func(context.Context) (Loaded, error) {
			close(h.began)
			<-h.end
			return Loaded{Value: v}, err
		})
		if err != nil {
			got = err
		}
		h.result <- got
	}()
	<-h.began
	return h
}

func (h held) finish() any {
	close(h.end)
	return <-h.result
}

func TestALoadThatRacedADropIsNotKept(t *testing.T) {
	for name, drop := range map[string]func(c *Cache){
		"drop":      func(c *Cache) { c.Drop("k") },
		"purge":     func(c *Cache) { c.Purge() },
		"stale":     func(c *Cache) { c.MarkStale("k") },
		"all stale": func(c *Cache) { c.MarkStale() },
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Options{})
			defer c.Close()
			first := hold(t, c, "old", nil)
			drop(c)
			second := hold(t, c, "new", nil) // does not wait for the first
			if got := first.finish(); got != "old" {
				t.Errorf("its own request got %v", got)
			}
			if v, found := c.Peek("k"); found {
				t.Errorf("kept %v", v)
			}
			if got := second.finish(); got != "new" {
				t.Errorf("the request after it got %v", got)
			}
			if v, _ := c.Peek("k"); v != "new" {
				t.Errorf("kept %v, want new", v)
			}
		})
	}
	t.Run("also when it ends last", func(t *testing.T) {
		c := New(Options{})
		defer c.Close()
		first := hold(t, c, "old", nil)
		c.Drop("k")
		second := hold(t, c, "new", nil)
		second.finish()
		first.finish()
		if v, _ := c.Peek("k"); v != "new" {
			t.Errorf("kept %v, want new", v)
		}
	})
	t.Run("the defect keeps it", func(t *testing.T) {
		c := New(Options{Defects: Defects{KeepRaced: true}})
		defer c.Close()
		first := hold(t, c, "old", nil)
		c.Drop("k")
		first.finish()
		if v, _ := c.Peek("k"); v != "old" {
			t.Errorf("kept %v, want old", v)
		}
	})
}

func TestOneLoadForAll(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	var loads atomic.Int32
	var wg sync.WaitGroup
	first := hold(t, c, "v", nil)
	for range 50 {
		wg.Go(func() {
			v, err := c.Get(t.Context(), "k", func(context.Context) (Loaded, error) {
				loads.Add(1)
				return Loaded{}, nil
			})
			if v != "v" || err != nil {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
	first.finish()
	wg.Wait()
	if loads.Load() != 0 {
		t.Errorf("%d further loads", loads.Load())
	}
}

func TestWhileOneTriesAgainTheOldValueServes(t *testing.T) {
	b := newBench(t, Options{TTL: ttl, ResurrectTTL: rise30})
	b.get("one", 1)
	b.pass(ttl)
	b.err = errAway
	b.get("one", 2)
	b.pass(rise30)
	trying := hold(t, b.Cache, nil, errAway)
	b.get("one", 2) // neither waits nor tries
	if got := trying.finish(); got != "one" {
		t.Errorf("the one that tried got %v", got)
	}
}

func TestARequestMayGoAway(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	began, end := make(chan struct{}), make(chan struct{})
	gone := make(chan error)
	go func() {
		_, err := c.Get(ctx, "k", func(ctx context.Context) (Loaded, error) {
			close(began)
			<-end
			return Loaded{Value: "v"}, ctx.Err()
		})
		gone <- err
	}()
	<-began
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(end)
	v, err := c.Get(t.Context(), "k", func(context.Context) (Loaded, error) { return Loaded{Value: "other"}, nil })
	if v != "v" || err != nil {
		t.Errorf("got %v, %v; want what the first request's load found", v, err)
	}
}

func TestCloseEndsLoads(t *testing.T) {
	c := New(Options{})
	began, result := make(chan struct{}), make(chan error)
	go func() {
		_, err := c.Get(t.Context(), "k", func(ctx context.Context) (Loaded, error) {
			close(began)
			<-ctx.Done()
			return Loaded{}, ctx.Err()
		})
		result <- err
	}()
	<-began
	c.Close()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestBounded(t *testing.T) {
	c := New(Options{MaxEntries: 100})
	defer c.Close()
	for i := range 10_000 {
		c.Put(fmt.Sprint(i), i)
	}
	c.entries.CleanUp()
	if n := c.Len(); n > 100 {
		t.Errorf("%d entries, want at most 100", n)
	}
}

// A client may make up keys as long as a header: they count for what they take.
func TestLongKeysCountForMore(t *testing.T) {
	c := New(Options{MaxEntries: 100})
	defer c.Close()
	for i := range 1000 {
		c.Put(fmt.Sprintf("%05000d", i), nil) // 10 entries' worth
		c.entries.CleanUp()
	}
	if n := c.Len(); n < 5 || n > 10 {
		t.Errorf("%d entries of long keys, want about 10", n)
	}
}

func BenchmarkHit(b *testing.B) {
	c := New(Options{TTL: time.Hour})
	defer c.Close()
	c.Put("k", "v")
	b.ReportAllocs()
	for b.Loop() {
		if v, _ := c.Get(b.Context(), "k", nil); v != "v" {
			b.Fatal(v)
		}
	}
}
