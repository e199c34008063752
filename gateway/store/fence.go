package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/event"
)

// routerKey is the key of a build of the router and the list of plugins.
const routerKey = ""

// A fence says until which position a node loads from the primary: what it wrote itself, or has
// once seen there, it must not unsee on a replica that lags. The zero value is no fence.
type fence struct {
	mu       sync.Mutex
	node     LSN              // own writes: counts for every key
	keys     map[string]*mark // read from the primary, by key
	doubts   uint64           // how often an own write's position was not known,
	settled  uint64           // and how many of these a position read later stands for
	server   event.Server     // who answered the last poll
	replayed LSN              // how far it was
	behind   bool
}

// A mark is the fence of one key.
type mark struct {
	at      LSN
	reading int // loads from the primary under way: their position is yet to come
}

// A passage is one load through the fence.
type passage struct {
	key     string
	primary bool
	mark    *mark
	doubts  uint64 // those that a position read at its end settles
}

// raise makes every load go to the primary until the replica has replayed own; 0: until a position
// could be read there. It is called before what was written is dropped from a cache.
func (s *Store) raise(own LSN) {
	s.fence.mu.Lock()
	defer s.fence.mu.Unlock()
	if own == 0 {
		s.fence.doubts++
		return
	}
	s.fence.node = max(s.fence.node, replayable(own))
}

// from runs read on the server from which key is to be loaded now: the replica where there is one
// and it has replayed all that this node knows of key, else the primary. No other load goes to the
// primary: with the replica away there is an error, and what is known serves. What was read from
// the primary is known from then on.
func (s *Store) from(ctx context.Context, key string, read func(ctx context.Context, pool *pgxpool.Pool) error) error {
	d := s.o.Defects
	switch {
	case d.IgnoreReplica, d.SnapshotPrimary && key == routerKey:
		return read(ctx, s.primary)
	case d.NoFence:
		return read(ctx, s.polled())
	}
	p, err := s.fence.enter(key, s.replica != nil)
	if err != nil {
		return err
	}
	if !p.primary {
		return read(ctx, s.polled())
	}
	var at int64
	if err = read(ctx, s.primary); err == nil {
		if err = s.primary.QueryRow(ctx, positionSQL).Scan(&at); err != nil {
			err = fmt.Errorf("read the primary's position: %w", err)
		}
	}
	if d.NoKeyFence {
		at = 0
	}
	s.fence.leave(p, LSN(at))
	return err
}

// enter begins a load of key. From then on other loads of it go to the primary too, if this one
// does.
func (f *fence) enter(key string, replica bool) (passage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.keys[key]
	p := passage{key: key, doubts: f.doubts}
	p.primary = replica && (f.doubts > f.settled || f.node > f.replayed ||
		m != nil && (m.reading > 0 || m.at > f.replayed))
	switch {
	case !p.primary && f.behind:
		return p, event.ErrBehind
	case !p.primary:
		return p, nil
	case f.keys == nil:
		f.keys = make(map[string]*mark)
	}
	if m == nil {
		if len(f.keys) >= maxMarks {
			f.merge()
		}
		m = &mark{}
		f.keys[key] = m
	}
	m.reading++
	p.mark = m
	return p, nil
}

// leave ends a load from the primary, which was at position at when it had been read; 0: it failed.
func (f *fence) leave(p passage, at LSN) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at = replayable(at)
	p.mark.reading--
	p.mark.at = max(p.mark.at, at)
	if f.keys[p.key] == p.mark { // else the fence was lifted meanwhile
		f.lower(p.key, p.mark)
	}
	if at > 0 && p.doubts > f.settled {
		f.settled = p.doubts
		f.node = max(f.node, at)
	}
}

// maxMarks bounds how many keys are marked one by one: behind a frozen replica every key that a client
// makes up leaves one.
const maxMarks = 1 << 16

// merge makes one fence for all keys of the marks that nobody is reading under.
func (f *fence) merge() {
	for key, m := range f.keys {
		if m.reading == 0 {
			f.node = max(f.node, m.at)
			delete(f.keys, key)
		}
	}
}

// lower forgets the mark of a key that the replica has replayed.
func (f *fence) lower(key string, m *mark) {
	if m.reading == 0 && m.at <= f.replayed {
		delete(f.keys, key)
	}
}

// seen takes note of the server that answered a poll, and lifts what it has replayed.
func (f *fence) seen(now event.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.behind = now.Behind(f.server); f.behind {
		return
	}
	if f.server.System != "" && !comparable(f.server, now) {
		f.lift()
	}
	f.server = now
	f.replayed = LSN(now.Position)
	if f.node <= f.replayed {
		f.node = 0
	}
	for key, m := range f.keys {
		f.lower(key, m)
	}
}

// comparable says that a position of last means the same in now.
func comparable(last, now event.Server) bool {
	return last.System == now.System && last.InRecovery == now.InRecovery && last.Timeline == now.Timeline
}

// lift takes the fence away; it says whether one stood.
func (f *fence) lift() bool {
	stood := f.node > 0 || len(f.keys) > 0 || f.doubts > f.settled
	f.node, f.settled = 0, f.doubts
	clear(f.keys)
	return stood
}

// Reconnect closes every pooled connection, for a server that is no longer the one it was. Positions
// of the past mean nothing then; a node that stood behind a fence loads from the primary until a
// position could be read there. Statements under way end as they may.
func (s *Store) Reconnect() {
	s.fence.mu.Lock()
	if s.fence.lift() {
		s.fence.doubts++
	}
	s.fence.mu.Unlock()
	s.primary.Reset()
	if s.replica != nil {
		s.replica.Reset()
	}
}

// replayable is the position at which a replica counts as having replayed p. An insert position
// just behind a page's header stands for the page's start: the replica of an idle primary never
// gets beyond that. The header has 24 bytes, 40 in a segment's first page.
func replayable(p LSN) LSN {
	const page = 8192
	if offset := p % page; offset == 24 || offset == 40 {
		return p - offset
	}
	return p
}

// retention is for how long events are kept.
func (o Options) retention() time.Duration { return max(10*o.Propagation, time.Hour) }
