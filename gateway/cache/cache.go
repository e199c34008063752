// Package cache remembers what the database said, that something exists and that it does not, until
// an event or a TTL says otherwise.
//
// What is dropped is never seen again: a value whose load began before the drop of its key is given
// to the requests that were waiting for it and is not kept, and a request that arrives after the
// drop starts a load of its own. The TTL of an entry counts from when it was cached; requests do not
// prolong it. While loads fail, an entry that has expired or was marked stale goes on serving, and
// asks again only once in a while.
package cache

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// Loaded is what a load found.
type Loaded struct {
	Value   any       // nil: there is no such thing, a miss
	Expires time.Time // the hard end of this value, after which it is never served; zero: none
}

// Options are what a Cache is made of. All of them may be zero.
type Options struct {
	TTL          time.Duration // of hits; 0: for ever
	NegTTL       time.Duration // of misses; 0: for ever
	ResurrectTTL time.Duration // between two tries while loads fail and the old value serves; 0: it does not serve
	MaxEntries   int           // beyond it the least useful entry goes; 0: 500 000
	Clock        func() time.Time
	Logger       *slog.Logger
	Defects      Defects
}

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	NoMisses    bool // misses are never cached
	KeepRaced   bool // a load that raced a drop of its key is kept
	PurgeAll    bool // a drop of one key drops all
	NoTTL       bool // nothing ever expires
	SlidingTTL  bool // a hit prolongs the life of its entry
	MissTTL     bool // misses live as long as hits
	NoPurge     bool // a purge by hand does nothing
	NoResurrect bool // while loads fail, expired entries do not serve
	Forgetful   bool // nothing is kept at all
	DropForGood bool // a key that was dropped once is never kept again
}

const (
	defaultMaxEntries = 500_000
	// maxDropped bounds how many drops are remembered by key; see Cache.dropped.
	maxDropped = 1 << 16
)

// A Token is a moment in the life of a Cache: what was read after it may be kept unless it was
// dropped meanwhile.
type Token uint64

// A Cache is safe for concurrent use. Create one with [New], end it with [Cache.Close].
type Cache struct {
	o       Options
	entries *otter.Cache[string, *entry]
	base    context.Context // ends with Close, and all loads with it
	cancel  context.CancelFunc
	loads   sync.WaitGroup
	clock   atomic.Uint64 // of tokens: moments, not time
	staleAt atomic.Uint64 // entries of an older token are stale: MarkStale of all

	mu      sync.Mutex // held for every change of entries and of what follows, never during a load
	flights map[string]*flight
	dropped map[string]Token // the last drop of each key since floor
	floor   Token            // before it, any key may have been dropped
	closed  bool
}

// entry is one remembered value. Only its atomics change after it was stored.
type entry struct {
	value  any
	token  Token     // its load began then
	hard   time.Time // zero: none
	ttl    time.Duration
	cached atomic.Int64 // unix nanoseconds
	stale  atomic.Bool
	risen  atomic.Pointer[rise]
}

// rise lets the value of an entry serve on after a load failed.
type rise struct {
	token Token     // the failed load began then
	until time.Time // then the next request tries again
}

// flight is one load under way and who waits for it.
type flight struct {
	token Token
	done  chan struct{} // closed when value and err are set
	value any
	err   error
}

// New returns an empty Cache.
func New(o Options) *Cache {
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultMaxEntries
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	base, cancel := context.WithCancel(context.Background())
	return &Cache{
		o: o, base: base, cancel: cancel,
		entries: otter.Must(&otter.Options[string, *entry]{MaximumWeight: uint64(o.MaxEntries), Weigher: weight}),
		flights: make(map[string]*flight),
		dropped: make(map[string]Token),
	}
}

// weight counts a long key as several entries: keys come from clients, who may make up any.
func weight(key string, _ *entry) uint32 { return 1 + uint32(len(key)>>9) }

// Get returns the value of key, nil when it is known that there is none. What is not known is loaded,
// once for all who ask at the same time; load outlives the request that began it and ends with
// Close. Get blocks as long as load does or until ctx ends. Its errors are load's, ctx's, and
// those of a load that panicked.
func (c *Cache) Get(ctx context.Context, key string, load func(ctx context.Context) (Loaded, error)) (any, error) {
	if v, found := c.hit(key); found {
		return v, nil
	}
	f, mine, old := c.join(key)
	if old != nil {
		return old.value, nil
	}
	if mine {
		go c.fly(ctx, key, f, load)
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Peek returns what the cache holds of key without loading it: nil and true is a cached miss. What
// has expired or is stale is not found.
func (c *Cache) Peek(key string) (v any, found bool) {
	e, ok := c.entries.GetIfPresent(key)
	if !ok || !c.fresh(e, c.o.Clock()) {
		return nil, false
	}
	return e.value, true
}

// Token returns the present moment, to be taken before a read whose results are to be put.
func (c *Cache) Token() Token { return Token(c.clock.Add(1)) }

// Put keeps v, nil for a miss, as the value of key now. Where it was read a while ago, use PutAt.
func (c *Cache) Put(key string, v any) { c.PutAt(c.Token(), key, v) }

// PutAt keeps v as the value of key, unless the key was dropped or marked stale since the token was
// taken, or a value that was read later is there already.
func (c *Cache) PutAt(t Token, key string, v any) { c.keep(t, key, Loaded{Value: v}) }

// Drop forgets keys, hits and misses alike.
func (c *Cache) Drop(keys ...string) {
	if c.o.Defects.PurgeAll && len(keys) > 0 {
		c.DropAll()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		c.invalidate(key)
		c.entries.Invalidate(key)
	}
}

// DropAll forgets everything.
func (c *Cache) DropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invalidateAll()
	c.entries.InvalidateAll()
}

// Purge forgets keys, or everything when there are none: a person's Drop.
func (c *Cache) Purge(keys ...string) {
	switch {
	case c.o.Defects.NoPurge:
	case len(keys) == 0:
		c.DropAll()
	default:
		c.Drop(keys...)
	}
}

// MarkStale makes keys, or every entry when there are none, to be loaded again at the next request.
// If that fails they serve on as if they had expired.
func (c *Cache) MarkStale(keys ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(keys) == 0 {
		c.invalidateAll()
		c.staleAt.Store(uint64(c.Token()))
		return
	}
	for _, key := range keys {
		c.invalidate(key)
		if e, ok := c.entries.GetIfPresent(key); ok {
			e.stale.Store(true)
			e.risen.Store(nil)
		}
	}
}

// Len is about how many entries there are.
func (c *Cache) Len() int { return c.entries.EstimatedSize() }

// Close ends the loads under way and waits for them. Later calls find nothing and keep nothing.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.loads.Wait()
	c.DropAll()
	c.entries.StopAllGoroutines()
}

// hit returns an entry's value when it may be served without a load.
func (c *Cache) hit(key string) (v any, found bool) {
	e, ok := c.entries.GetIfPresent(key)
	if !ok {
		return nil, false
	}
	now := c.o.Clock()
	if c.fresh(e, now) {
		if c.o.Defects.SlidingTTL {
			e.cached.Store(now.UnixNano())
		}
		return e.value, true
	}
	if r := c.risen(e, now); r != nil && now.Before(r.until) {
		return e.value, true
	}
	return nil, false
}

// fresh says that e is neither expired nor stale.
func (c *Cache) fresh(e *entry, now time.Time) bool {
	if e.stale.Load() || uint64(e.token) < c.staleAt.Load() || e.ended(now) {
		return false
	}
	return e.ttl == 0 || now.UnixNano()-e.cached.Load() < int64(e.ttl)
}

// ended says that the hard end of e's value has come.
func (e *entry) ended(now time.Time) bool { return !e.hard.IsZero() && !now.Before(e.hard) }

// risen is the permission of e's value to serve although e is not fresh, nil when there is none.
func (c *Cache) risen(e *entry, now time.Time) *rise {
	r := e.risen.Load()
	if r == nil || uint64(r.token) < c.staleAt.Load() || !c.servable(e, now) {
		return nil
	}
	return r
}

// servable says that e's value may stand in for a load that fails.
func (c *Cache) servable(e *entry, now time.Time) bool {
	return c.o.ResurrectTTL > 0 && !c.o.Defects.NoResurrect && !e.ended(now)
}

// join returns the load of key that is under way, or begins one, which is then the caller's to fly.
// An entry is returned instead when it has become fresh meanwhile, or when it serves on after a
// failed load and another request is trying again.
func (c *Cache) join(key string) (f *flight, mine bool, instead *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, flying := c.flights[key]
	if e, ok := c.entries.GetIfPresent(key); ok {
		if now := c.o.Clock(); c.fresh(e, now) || flying && c.risen(e, now) != nil {
			return nil, false, e
		}
	}
	if flying {
		return f, false, nil
	}
	f = &flight{token: c.Token(), done: make(chan struct{})}
	if c.closed {
		f.err = errClosed
		close(f.done)
		return f, false, nil
	}
	c.flights[key] = f
	c.loads.Add(1)
	return f, true, nil
}
