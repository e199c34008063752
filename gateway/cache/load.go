package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// errClosed is what a load after Close returns.
var errClosed = errors.New("the cache is closed")

// fly runs one load and hands its result to all who wait. The request that began it may go away.
func (c *Cache) fly(ctx context.Context, key string, f *flight, load func(context.Context) (Loaded, error)) {
	defer c.loads.Done()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(c.base, cancel)()

	l, err := c.call(ctx, key, load)
	if err == nil && !l.Expires.IsZero() && !c.o.Clock().Before(l.Expires) {
		l = Loaded{} // it ended on its way here
	}
	c.land(key, f, l, err)
}

// call runs load; a panic in it is an error.
func (c *Cache) call(ctx context.Context, key string, load func(context.Context) (Loaded, error)) (l Loaded, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.o.Logger.Error("recovered from a panic", "in", "load", "key", key, "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("load %s: panic: %v", key, v)
		}
	}()
	return load(ctx)
}

// land ends a load: it keeps what was found, or lets the old value serve on when nothing could be.
func (c *Cache) land(key string, f *flight, l Loaded, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := c.flights[key] == f
	if current {
		delete(c.flights, key)
	}
	if f.err = err; err == nil {
		f.value = l.Value
		c.keepLocked(f.token, key, l)
	} else if e, ok := c.entries.GetIfPresent(key); ok && c.servable(e, c.o.Clock()) {
		f.value, f.err = e.value, nil
		if current {
			e.risen.Store(&rise{token: f.token, until: c.o.Clock().Add(c.o.ResurrectTTL)})
		}
		c.o.Logger.Warn("load failed, the old value serves on", "key", key, "for", c.o.ResurrectTTL, "error", err)
	}
	close(f.done)
}

// keep stores what was read after t, unless that has become too old.
func (c *Cache) keep(t Token, key string, l Loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepLocked(t, key, l)
}

func (c *Cache) keepLocked(t Token, key string, l Loaded) {
	d := c.o.Defects
	if c.closed || d.Forgetful || d.NoMisses && l.Value == nil || d.DropForGood && c.dropped[key] > 0 {
		return
	}
	if !d.KeepRaced && (t < c.floor || t < c.dropped[key]) {
		return
	}
	if e, ok := c.entries.GetIfPresent(key); ok && e.token > t {
		return // read later than this
	}
	e := &entry{value: l.Value, token: t, hard: l.Expires, ttl: c.ttl(l.Value)}
	e.cached.Store(c.o.Clock().UnixNano())
	c.entries.Set(key, e)
}

// ttl is for how long v stays fresh; 0: for ever.
func (c *Cache) ttl(v any) time.Duration {
	switch d := c.o.Defects; {
	case d.NoTTL:
		return 0
	case v == nil && !d.MissTTL:
		return c.o.NegTTL
	}
	return c.o.TTL
}

// invalidate makes what is being read of key at this moment not to be kept, and later requests not
// to wait for it.
func (c *Cache) invalidate(key string) {
	if len(c.dropped) >= maxDropped {
		clear(c.dropped)
		c.floor = c.Token()
	}
	c.dropped[key] = c.Token()
	if !c.o.Defects.KeepRaced {
		delete(c.flights, key)
	}
}

// invalidateAll does so for every key.
func (c *Cache) invalidateAll() {
	clear(c.dropped)
	c.floor = c.Token()
	if !c.o.Defects.KeepRaced {
		clear(c.flights)
	}
}
