package queue

import (
	"context"
	"fmt"
	"time"
)

// minCoalescing is the shortest coalescing delay that coalesces.
const minCoalescing = 50 * time.Millisecond

// queue is one queue. Its Set's mu guards all that changes in it.
type queue struct {
	s    *Set
	name string
	ctx  context.Context // of the Set when the queue was made

	p       Params
	plugin  string  // of the entry that made it
	handle  Handler // of the latest entry: whoever is configured now delivers, old entries too
	waiting ring
	bytes   int64     // of the texts that wait
	batch   []Entry   // taken; its delivery is under way or begins at once
	away    bool      // its delivery is under way
	flying  int       // entries taken and not yet settled
	oldest  time.Time // when the first of them was enqueued
	opened  time.Time // the coalescing delay counts from then; zero: it has not begun
	wake    chan struct{}

	warned  bool // of 80 %, and not normal since
	untexts bool // an entry whose length does not count was accepted and logged
	trouble trouble

	small [2]Entry // the first room of waiting and batch
}

// newQueue returns a queue that is empty and not yet running.
func newQueue(s *Set, name string, p Params) *queue {
	q := &queue{s: s, name: name, ctx: s.ctx, p: p, plugin: p.Plugin, trouble: s.troubles[name]}
	q.waiting.buf = q.small[:1]
	q.batch = q.small[1:1]
	return q
}

// alone says that every entry is delivered by itself at once (QRF-08).
func (q *queue) alone() bool { return q.p.ConcurrencyLimit < 0 && !q.s.o.Defects.NeverAlone }

// resident is how many entries the queue holds.
func (q *queue) resident() int { return q.waiting.n + q.flying }

// since is when the oldest entry was enqueued. There must be one.
func (q *queue) since() time.Time {
	if q.flying > 0 {
		return q.oldest
	}
	return q.waiting.at(0).at
}

// add takes an entry in, in the order of checks that users know: a full queue makes room before the
// length of what comes is looked at (QUE-16, QUE-17, QRF-04). It returns what is to be logged.
func (q *queue) add(e Entry) (said says, err error) {
	if q.alone() {
		q.fly(e)
		return said, nil
	}
	if q.full() && q.waiting.n > 0 {
		said.full = q.dropped()
		if q.s.o.Defects.NewestDropped {
			return said, nil
		}
		q.leave(q.waiting.pop())
	}
	if q.limited() && e.size() > q.p.MaxBytes && e.Text {
		said.err = fmt.Errorf("string to be queued is longer (%d bytes) than the queue's max_bytes (%d bytes)", e.size(), q.p.MaxBytes)
		q.rouse() // what made room may have been the last to wait
		return said, said.err
	}
	for q.limited() && e.Text && q.waiting.n > 0 && q.bytes+e.size() > q.p.MaxBytes {
		q.leave(q.waiting.pop())
		said.bytes++
		q.trouble.owed = true
		q.trouble.dropped++
	}
	said.untext = q.limited() && !e.Text && !q.untexts
	q.untexts = q.untexts || said.untext
	q.push(e)
	said.warn = q.crossed()
	return said, nil
}

// full says that one more entry would be too many.
func (q *queue) full() bool {
	n, most, d := q.waiting.n, q.most(), &q.s.o.Defects
	if d.CountInFlight {
		n += q.flying
	}
	if d.OffByOne {
		most++
	}
	return n >= most && !d.Unbounded
}

// most is how many entries may wait.
func (q *queue) most() int { return max(q.p.MaxEntries, 1) }

// high says that 80 % of what may wait is waiting.
func (q *queue) high() bool { return 10*q.waiting.n >= 8*q.most() }

// limited says that there is a bound on the bytes that wait.
func (q *queue) limited() bool {
	return (q.p.HasMaxBytes || q.p.MaxBytes != 0) && !q.s.o.Defects.NoByteLimit
}

// size is what an entry adds to the bytes that wait.
func (e *Entry) size() int64 {
	if !e.Text {
		return 0
	}
	return int64(len(e.Data))
}

// push puts an entry into the queue. If nothing is on its way and this one makes a batch full, the
// batch is on its way from now on: a healthy queue of single entries never has one waiting.
func (q *queue) push(e Entry) {
	q.waiting.push(e)
	q.bytes += e.size()
	if q.away || len(q.batch) > 0 {
		return
	}
	if q.opened.IsZero() || q.s.o.Defects.SlidingDelay {
		q.opened = e.at
	}
	if q.due(e.at) <= 0 {
		q.take()
		q.rouse()
	}
}

// leave counts an entry that no longer waits.
func (q *queue) leave(e Entry) Entry {
	q.bytes -= e.size()
	return e
}

// take makes a batch of what waits, or fills up the one that there is.
func (q *queue) take() {
	next := q.waiting.pop
	if q.s.o.Defects.OrderLost {
		next = q.waiting.popNewest
	}
	for q.waiting.n > 0 && len(q.batch) < q.size() {
		q.batch = append(q.batch, q.leave(next()))
		q.flying++
	}
	q.oldest, q.opened = q.batch[0].at, time.Time{}
	q.s.changed.Broadcast()
	if q.s.o.Defects.EarlyResumed {
		q.sayResumed(q.normal())
	}
}

// size is how many entries make a batch full.
func (q *queue) size() int {
	if q.p.MaxCoalescingDelay < minCoalescing && !q.s.flushing {
		return 1
	}
	return max(q.p.MaxBatchSize, 1)
}

// due is for how long what waits may still wait for more; 0 or less: it is to be taken. Something
// must be waiting.
func (q *queue) due(now time.Time) time.Duration {
	opened, d := q.opened, &q.s.o.Defects
	if q.waiting.n >= q.size() || q.s.flushing || d.EarlyBatch {
		return 0
	}
	if d.DelayFromEnqueue {
		opened = q.waiting.at(0).at
	}
	return q.p.MaxCoalescingDelay - now.Sub(opened)
}

// rouse makes the queue look again if it waits for entries.
func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}
