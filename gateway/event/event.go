// Package event spreads configuration changes through a cluster, and loses none.
//
// A node that changes an entity appends events to a log that all nodes share, in the transaction
// of the change itself. Every node runs a [Poller] that reads the log from the server from which
// it loads and hands each event on. Delivery is at least once and in no order, so a handler only
// drops and reloads by key.
//
// Nothing is stepped over: the reader's place is not a time or a number, but a horizon, the oldest
// transaction still open at the last poll, together with the events seen since. An event whose
// transaction commits late is delivered late. Where continuity cannot be proven (the server
// crashed, was promoted or restored, events were deleted unread, the node was away for longer than
// events are kept) the Poller asks for a resync: the node reloads everything it serves.
package event

import (
	"context"
	"fmt"
	"time"
)

// An Event says that what one cache key stands for has changed.
type Event struct {
	ID, NodeID    string
	Channel, Data string // Data is usually one cache key. Either is empty where the row held NULL
	At            time.Time
	NotBefore     time.Time // zero: at once
	XID           uint64    // the transaction that wrote it
}

// A Cursor is a place in the log: every event below Horizon has been delivered, and of those at or
// above it the ones that Seen knows.
type Cursor struct {
	Horizon  uint64               // zero: take a place, read no events
	Seen     func(id string) bool // nil: none
	Deadline time.Duration        // the longest that one query may take; zero: the log's own limit
}

// A Batch is what one read of the log found, all of it in one snapshot except the events' texts.
type Batch struct {
	Server    Server
	Xmin      uint64            // the oldest transaction still open: the next horizon
	Xmax      uint64            // the first transaction not yet begun
	Now       time.Time         // by the database's clock
	Listed    map[string]uint64 // every event at or above the horizon, seen or not: its transaction by its id
	Events    []Event           // those that Seen did not know
	Gone      []string          // listed, unseen, and no longer there when they were fetched
	Deletions []Deletion
}

// A Deletion says that somebody deleted events of the log.
type Deletion struct {
	XID     uint64 // the deleting transaction
	Highest uint64 // the youngest transaction whose events it deleted; all ones: everything
}

// A Server is who answered a read: as long as it stays the same, places in the log stay good.
type Server struct {
	System     string    // the cluster's system identifier, the same on primary and replica
	Started    time.Time // of the postmaster
	StatsReset time.Time // changes when a backend's crash restarted the server
	InRecovery bool
	Timeline   uint32
	Table      uint32 // the log's oid: another one means that it was dropped and made anew
	Position   uint64 // how far this server is, in bytes of WAL: replayed, or flushed on a primary
}

// Behind says that s is a replica with the history of last, but has seen less of it: an older one
// in its place, which will catch up.
func (s Server) Behind(last Server) bool {
	return s.InRecovery && last.InRecovery && s.System == last.System && s.Timeline == last.Timeline &&
		s.Position < last.Position
}

// differs names the first property in which now is not the server that last was, "" when none.
func (last Server) differs(now Server) string {
	switch {
	case last.System != now.System:
		return "another database answers: its system identifier changed"
	case last.InRecovery && !now.InRecovery:
		return "the database server was promoted"
	case last.InRecovery != now.InRecovery:
		return "the database server became a replica"
	case last.Timeline != now.Timeline:
		return "the database server is on another timeline"
	case !last.Started.Equal(now.Started):
		return "the database server was restarted"
	case !last.StatsReset.Equal(now.StatsReset):
		return "the database server recovered from a crash"
	case last.Table != now.Table:
		return "the event log was made anew"
	case now.Position < last.Position:
		return "the database server went back in its own history"
	}
	return ""
}

// A Log is what a Poller needs of a store, and no more.
type Log interface {
	// Since returns what the cursor has not seen and all that is needed to judge whether the log is
	// still the one that the cursor was taken from. It blocks for a few round trips at most.
	Since(ctx context.Context, c Cursor) (Batch, error)
}

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	SkipEvents       bool // of the events that a poll finds, the first is passed over
	TimeMarker       bool // the place in the log is the time of the last poll: late commits are stepped over
	DeafAfterFailure bool // the first failed poll is the last one
	SkipPolls        bool // every third poll is left out
	IgnoreNotBefore  bool // events run at the next poll, whatever their delay
	DelayFromPoll    bool // the delay counts from the poll that finds an event, not from its write
}

// place is a Poller's position and what it knows of the server it was taken from.
type place struct {
	server   Server
	xmin     uint64 // the horizon
	xmax     uint64
	now      time.Time         // of the last good poll, by the database's clock
	stuck    time.Time         // since when, by the same clock, the horizon is where it is
	seen     map[string]uint64 // delivered events at or above the horizon, with their transactions
	deleters map[uint64]bool   // transactions at or above the horizon whose deletions were judged
}

// broken says why continuity between a place and the batch read from it cannot be proven, "" when
// it can. Events are kept for retention; zero: for ever.
func (p place) broken(b Batch, retention time.Duration) string {
	if why := p.server.differs(b.Server); why != "" {
		return why
	}
	switch {
	case b.Xmin < p.xmin || b.Xmax < p.xmax:
		return "transaction numbers went back"
	case retention > 0 && b.Now.Sub(p.now) > retention:
		return fmt.Sprintf("no poll succeeded for %s, longer than events are kept", b.Now.Sub(p.now).Round(time.Second))
	case len(b.Gone) > 0:
		return "an event was deleted while it was read"
	}
	for _, d := range b.Deletions {
		if !p.deleters[d.XID] && d.Highest >= p.xmin {
			return "events were deleted before they were read"
		}
	}
	return ""
}

// next is the place after b: its horizon, and all that b listed at or above it counted as seen.
func (p place) next(b Batch) place {
	n := place{
		server: b.Server, xmin: b.Xmin, xmax: b.Xmax, now: b.Now, stuck: b.Now,
		seen: make(map[string]uint64), deleters: make(map[uint64]bool),
	}
	if n.xmin == p.xmin && !p.stuck.IsZero() {
		n.stuck = p.stuck
	}
	for id, xid := range b.Listed {
		if xid >= b.Xmin {
			n.seen[id] = xid
		}
	}
	for _, d := range b.Deletions {
		if d.XID >= b.Xmin {
			n.deleters[d.XID] = true
		}
	}
	return n
}

// age is for how long a transaction has kept the horizon where it is; zero when none is open.
func (p place) age() time.Duration {
	if p.xmin >= p.xmax {
		return 0
	}
	return p.now.Sub(p.stuck)
}
