package store

import (
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tidemark/gateway/event"
)

// ErrBehind says that the server from which this node loads has seen less than the node has: an
// older replica in place of the one before. What is known serves until it has caught up.
var ErrBehind = errors.New("the replica is behind what this node has seen")

// A fence says until which position a node loads from the primary: what it wrote itself, or has
// once seen there, it must not unsee on a replica that lags. The zero value is no fence.
type fence struct {
	mu       sync.Mutex
	node     LSN            // own writes: counts for every key
	keys     map[string]LSN // read from the primary, by key; "" is the router
	doubts   uint64         // how often an own write's position was not known,
	settled  uint64         // and how many of these a position read later stands for
	asked    map[string]uint64
	server   event.Server // who answered the last poll
	replayed LSN          // how far it was
	behind   bool
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

// reader is the server from which key is to be loaded: the replica where there is one and it has
// replayed all that this node knows of key, else the primary. No other load goes to the primary:
// with the replica away loads fail, and what is known serves. Whoever reads the primary tells
// [Store.loaded] at which position.
func (s *Store) reader(key string) *pgxpool.Pool {
	switch {
	case s.replica == nil || s.o.Defects.IgnoreReplica:
		return s.primary
	case s.o.Defects.NoFence || !s.fence.stands(key):
		return s.replica
	}
	return s.primary
}

// loadable says whether pool may be loaded from: not from a replica that is behind what this node
// has seen.
func (s *Store) loadable(pool *pgxpool.Pool) error {
	s.fence.mu.Lock()
	defer s.fence.mu.Unlock()
	if s.fence.behind && pool == s.polled() {
		return ErrBehind
	}
	return nil
}

// loaded raises the fence of one key ("" is the router): it was read from the primary, which was
// there not before position, itself read after the load's snapshot.
func (s *Store) loaded(key string, position LSN) {
	s.fence.mu.Lock()
	defer s.fence.mu.Unlock()
	s.fence.loaded(key, replayable(position))
}

// stands says that key is to be loaded from the primary.
func (f *fence) stands(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.doubts > f.settled {
		if f.asked == nil {
			f.asked = make(map[string]uint64)
		}
		f.asked[key] = f.doubts
		return true
	}
	return f.node > f.replayed || f.keys[key] > f.replayed
}

func (f *fence) loaded(key string, position LSN) {
	if position == 0 {
		f.doubts++
		return
	}
	if position > f.replayed {
		if f.keys == nil {
			f.keys = make(map[string]LSN)
		}
		f.keys[key] = max(f.keys[key], position)
	}
	// a position read by a load that began after a doubt arose is behind whatever was in doubt
	if f.asked[key] > f.settled {
		f.settled = f.asked[key]
		f.node = max(f.node, position)
	}
	if f.settled == f.doubts {
		clear(f.asked)
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
	timeline := f.server.Timeline
	f.server = now
	if now.Timeline == 0 {
		f.server.Timeline = timeline
	}
	f.replayed = LSN(now.Position)
	if f.node <= f.replayed {
		f.node = 0
	}
	for key, at := range f.keys {
		if at <= f.replayed {
			delete(f.keys, key)
		}
	}
}

// comparable says that a position of last means the same in now.
func comparable(last, now event.Server) bool {
	return last.System == now.System && last.InRecovery == now.InRecovery &&
		(last.Timeline == now.Timeline || last.Timeline == 0 || now.Timeline == 0)
}

// lift takes the fence away; it says whether one stood.
func (f *fence) lift() bool {
	stood := f.node > 0 || len(f.keys) > 0 || f.doubts > f.settled
	f.node, f.settled = 0, f.doubts
	clear(f.keys)
	clear(f.asked)
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
