package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/gateway/proxy"
)

// relapse is for how long the defect GoesBack shows what was before, and how old a change is then at least.
const relapse = 100 * time.Millisecond

// past is what a node served before its last own change, for the defects GoesBack and NoFirstBuild.
type past struct {
	again atomic.Pointer[proxy.State] // what the next build takes in place of the database's

	mu     sync.Mutex
	at     time.Time
	state  *proxy.State // nil: nothing to go back to
	values map[string]any
}

// remember keeps what is served now, before keys are dropped.
func (m *mirror) remember(keys []string) {
	p := &m.past
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.state, p.values = time.Now(), m.live.Current(), map[string]any{}
	for _, k := range keys {
		if v, found := m.cache.Peek(k); found {
			p.values[k] = v
		}
	}
}

// goBack shows for a moment what was before the last own change, and then what is.
func (m *mirror) goBack(ctx context.Context) {
	p := &m.past
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil || time.Since(p.at) < relapse {
		return
	}
	now := m.live.Current()
	p.again.Store(p.state)
	_ = m.live.Rebuild(ctx)
	for k, v := range p.values {
		m.cache.Put(k, v)
	}
	select {
	case <-time.After(relapse):
	case <-ctx.Done():
	}
	p.state = nil
	p.again.Store(now)
	_ = m.live.Rebuild(ctx)
	m.cache.Drop(slices.Collect(maps.Keys(p.values))...)
}
