package cache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what a cache is allowed to know, one step after the other.
type model struct {
	now     time.Time
	entries map[string]*known
	flights map[string]*started // the load that a request for the key would wait for
	moment  int
	dropped map[string]int
}

// known is one entry of the model.
type known struct {
	value           any
	read            int // the moment at which its load began
	cached          time.Time
	hard, riseUntil time.Time
	stale, risen    bool
}

// started is a load under way in both worlds.
type started struct {
	key    string
	read   int
	loaded Loaded // what the database held when it began
	end    chan error
	result chan outcome
}

type outcome struct {
	value any
	err   error
}

var modelOptions = Options{TTL: ttl, NegTTL: negTTL, ResurrectTTL: rise30}

func (m *model) ended(e *known) bool { return !e.hard.IsZero() && !m.now.Before(e.hard) }

func (m *model) fresh(key string) (e *known, fresh bool) {
	e = m.entries[key]
	if e == nil {
		return nil, false
	}
	life := ttl
	if e.value == nil {
		life = negTTL
	}
	return e, !e.stale && !m.ended(e) && m.now.Sub(e.cached) < life
}

// served is what a request for the key gets without a load.
func (m *model) served(key string) (any, bool) {
	e, fresh := m.fresh(key)
	if fresh {
		return e.value, true
	}
	if e != nil && e.risen && !m.ended(e) && (m.now.Before(e.riseUntil) || m.flights[key] != nil) {
		return e.value, true
	}
	return nil, false
}

func (m *model) drop(key string, keep bool) {
	m.moment++
	m.dropped[key] = m.moment
	delete(m.flights, key)
	if !keep {
		delete(m.entries, key)
	} else if e := m.entries[key]; e != nil {
		e.stale, e.risen = true, false
	}
}

func (m *model) keep(key string, read int, l Loaded) {
	if e := m.entries[key]; read < m.dropped[key] || e != nil && e.read > read {
		return
	}
	m.entries[key] = &known{value: l.Value, read: read, cached: m.now, hard: l.Expires}
}

// land ends a load and says what its requests get.
func (m *model) land(s *started, err error) outcome {
	current := m.flights[s.key] == s
	if current {
		delete(m.flights, s.key)
	}
	if err == nil {
		l := s.loaded
		if !l.Expires.IsZero() && !m.now.Before(l.Expires) {
			l = Loaded{}
		}
		m.keep(s.key, s.read, l)
		return outcome{l.Value, nil}
	}
	e := m.entries[s.key]
	if e == nil || m.ended(e) {
		return outcome{nil, err}
	}
	if current {
		e.risen, e.riseUntil = true, m.now.Add(rise30)
	}
	return outcome{e.value, nil}
}

// world runs a cache and its model side by side over a database of a few keys.
type world struct {
	m       model
	c       *Cache
	rows    map[string]Loaded
	floor   map[string]int // of the versions that a request begun now may see, unless its load fails
	version int
	flying  []*started
	tokens  []pair
}

// pair is one moment in both worlds and what the database held then.
type pair struct {
	token Token
	read  int
	rows  map[string]Loaded
}

const keys = "abc"

func drawKey(t *rapid.T) string {
	return string(rapid.SampledFrom([]byte(keys)).Draw(t, "key"))
}

func newWorld() *world {
	w := &world{rows: map[string]Loaded{}, floor: map[string]int{}}
	w.m = model{now: time.Unix(1_000_000, 0), entries: map[string]*known{}, flights: map[string]*started{}, dropped: map[string]int{}}
	o := modelOptions
	o.Clock = func() time.Time { return w.m.now }
	w.c = New(o)
	return w
}

// begin starts a request; it returns nil when no load was needed.
func (w *world) begin(t *rapid.T, key string) {
	s := &started{key: key, loaded: w.rows[key], end: make(chan error, 1), result: make(chan outcome, 1)}
	began := make(chan struct{})
	go func() {
		v, err := w.c.Get(context.Background(), key, func(context.Context) (Loaded, error) {
			close(began)
			err := <-s.end
			return s.loaded, err
		})
		s.result <- outcome{v, err}
	}()
	want, known := w.m.served(key)
	if known {
		if got := <-s.result; got != (outcome{want, nil}) {
			t.Fatalf("get %s: got %v without a load, want %v", key, got, want)
		}
		return
	}
	select {
	case <-began:
	case got := <-s.result:
		t.Fatalf("get %s: got %v without a load", key, got)
	case <-time.After(time.Second):
		t.Fatalf("get %s: waits for a load that began before its key was dropped", key)
	}
	w.m.moment++
	s.read = w.m.moment
	w.m.flights[key] = s
	w.flying = append(w.flying, s)
}

// finish ends one load that is under way.
func (w *world) finish(t *rapid.T, err error) {
	if len(w.flying) == 0 {
		t.Skip("nothing is being loaded")
	}
	w.let(t, rapid.IntRange(0, len(w.flying)-1).Draw(t, "load"), err)
}

// let ends the i-th load that is under way.
func (w *world) let(t *rapid.T, i int, err error) {
	s := w.flying[i]
	w.flying = append(w.flying[:i], w.flying[i+1:]...)
	want := w.m.land(s, err)
	s.end <- err
	if got := <-s.result; got != want {
		t.Fatalf("load of %s: its request got %v, want %v", s.key, got, want)
	}
}

// check compares all that can be seen, and holds the promise without the model's help: what was
// dropped is never seen again.
func (w *world) check(t *rapid.T) {
	for _, key := range strings.Split(keys, "") {
		e, fresh := w.m.fresh(key)
		got, found := w.c.Peek(key)
		if found != fresh || fresh && got != e.value {
			t.Fatalf("peek %s: got %v, %t; want %v, %t", key, got, found, e, fresh)
		}
		if v, _ := got.(int); found && got != nil && v < w.floor[key] {
			t.Fatalf("peek %s: saw version %d again, dropped at %d", key, v, w.floor[key])
		}
	}
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": w.check,
		"write": func(t *rapid.T) {
			w.version++
			l := Loaded{Value: w.version}
			if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
				l.Expires = w.m.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			}
			if rapid.IntRange(0, 2).Draw(t, "gone") == 0 {
				l = Loaded{}
			}
			w.rows[drawKey(t)] = l
		},
		"begin": func(t *rapid.T) {
			key := drawKey(t)
			if w.m.flights[key] == nil { // waiting requests are another test's
				w.begin(t, key)
			} else if want, known := w.m.served(key); known {
				if got, err := w.c.Get(context.Background(), key, nil); err != nil || got != want {
					t.Fatalf("get %s: got %v, %v; want %v", key, got, err, want)
				}
			}
		},
		"get": func(t *rapid.T) {
			if key := drawKey(t); w.m.flights[key] == nil {
				w.begin(t, key)
				if w.m.flights[key] != nil {
					w.let(t, len(w.flying)-1, nil)
				}
			}
		},
		"succeed": func(t *rapid.T) { w.finish(t, nil) },
		"fail":    func(t *rapid.T) { w.finish(t, errAway) },
		"drop": func(t *rapid.T) {
			key := drawKey(t)
			w.c.Drop(key)
			w.m.drop(key, false)
			w.floor[key] = w.version + 1
			if l, ok := w.rows[key]; ok && l.Value != nil {
				w.floor[key] = l.Value.(int)
			}
		},
		"drop all": func(*rapid.T) {
			w.c.DropAll()
			w.all(false)
		},
		"stale": func(t *rapid.T) {
			key := drawKey(t)
			w.c.MarkStale(key)
			w.m.drop(key, true)
		},
		"all stale": func(*rapid.T) {
			w.c.MarkStale()
			w.all(true)
		},
		"read for a put": func(*rapid.T) {
			w.m.moment++
			rows := map[string]Loaded{}
			for k, l := range w.rows {
				rows[k] = Loaded{Value: l.Value}
			}
			w.tokens = append(w.tokens, pair{w.c.Token(), w.m.moment, rows})
		},
		"put": func(t *rapid.T) {
			if len(w.tokens) == 0 {
				t.Skip("nothing was read")
			}
			p := rapid.SampledFrom(w.tokens).Draw(t, "read")
			key := drawKey(t)
			w.c.PutAt(p.token, key, p.rows[key].Value)
			w.m.keep(key, p.read, p.rows[key])
		},
		"wait": func(t *rapid.T) {
			w.m.now = w.m.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * time.Second)
		},
	}
}

func (w *world) all(keep bool) {
	for _, key := range strings.Split(keys, "") {
		w.m.drop(key, keep)
	}
}

// end lets go of every load that is still held.
func (w *world) end() {
	for _, s := range w.flying {
		s.end <- fmt.Errorf("the test is over")
		<-s.result
	}
	w.c.Close()
}

func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		defer w.end()
		for range 8 { // one Repeat is too short for an entry to live, be prolonged and die
			t.Repeat(w.actions())
		}
	})
}
