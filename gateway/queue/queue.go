// Package queue carries what the log plugins have to say to servers that may be slow or away, and
// costs the request that said it nothing.
//
// A queue takes entries, groups them, and delivers the groups in order, one at a time. What it holds
// is bounded: at most MaxEntries wait (QUE-16), and the oldest leaves when one more comes (QUE-17);
// besides, one batch may be on its way. A failed delivery is tried again with the same entries after
// waits that double (QUE-26 to 29), until MaxRetryTime has passed since its first try. So delivery
// is at least once, in order, and not for ever: what was pushed out or given up is lost, and the
// log says how much.
//
// A queue lives while it holds entries. The entry that finds none makes one, and whose entry made
// it rules its parameters until it is empty again. Queues are in memory and go with the process
// (QUE-12).
package queue

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Params are the parameters of one queue (queue.* of a plugin's configuration; QRF-01 to 08).
type Params struct {
	MaxBatchSize       int           // entries in one delivery at most
	MaxCoalescingDelay time.Duration // from the first entry of a batch that is not full to its delivery; below 50 ms a batch is one entry
	MaxEntries         int           // that wait; the batch on its way does not count
	MaxBytes           int64         // of the texts that wait; 0: no bound, unless HasMaxBytes
	HasMaxBytes        bool          // MaxBytes was given, 0 or less among its values: no text fits
	MaxRetryTime       time.Duration // a failure this long after a batch's first try is its last; no wait is longer either. 0 or less: one try
	InitialRetryDelay  time.Duration // after the first failure; it doubles with each further one
	MaxRetryDelay      time.Duration // the longest wait
	ConcurrencyLimit   int           // 1: one delivery at a time; -1: no queue, each entry is delivered by itself at once
	Plugin             string        // whose queue it is, for the log; may be empty
}

// An Entry is one thing to be delivered.
type Entry struct {
	Data  []byte
	Text  bool // the length of Data counts towards MaxBytes
	Value any

	at time.Time // when it was enqueued
}

// A Handler makes one delivery, of at least one entry, and blocks for as long as that takes. Only
// nil means delivered. It must return soon after ctx has ended and not keep entries.
type Handler func(ctx context.Context, entries []Entry) error

// Options are what a Set is made of. All of them may be zero.
type Options struct {
	Logger  *slog.Logger
	Defects Defects
}

// maxTroubles bounds of how many queues that have ended it is known that they owe a line.
const maxTroubles = 1000

// errClosed is what Enqueue returns after Close.
var errClosed = errors.New("the queue is closed")

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	NewestDropped     bool // a full queue drops the entry that comes, not the oldest
	OffByOne          bool // a queue is full one entry too late
	Unbounded         bool // a queue is never full
	CountInFlight     bool // the batch on its way counts towards max_entries
	NoByteLimit       bool // max_bytes is not looked at
	BlockWhenFull     bool // an entry waits until there is room
	NoWarning         bool // 80 % is passed without a word
	EarlyWarning      bool // 60 % is warned of as if it were 80
	WarnEvery         bool // every entry above 80 % warns
	NoFullLine        bool // dropping is not logged
	FullEvery         bool // every dropped entry is a line
	NeverResumed      bool // nothing is logged when things are normal again
	EarlyResumed      bool // "resumed" is logged when the next batch is taken, delivered or not
	EarlyBatch        bool // a batch leaves although it is neither full nor due
	DelayFromEnqueue  bool // the coalescing delay counts from when the first entry was enqueued
	SlidingDelay      bool // every entry begins the coalescing delay anew
	NoDoubling        bool // all waits are equal
	NoDelayCap        bool // max_retry_delay is not looked at
	BudgetFromEnqueue bool // max_retry_time counts from when the oldest entry was enqueued
	NoRetry           bool // a failed batch is given up at once
	NoGiveUp          bool // max_retry_time is not looked at
	GrowBatch         bool // a failed batch takes along what has come meanwhile
	NeverAgain        bool // a queue that has been empty is not worked on again
	NeverAlone        bool // concurrency_limit -1 is taken for 1
	TwoAtOnce         bool // deliveries do not wait for each other
	OrderLost         bool // the newest entry is delivered first
	RulesAtOnce       bool // the parameters are those of the last entry, not of the one that made the queue
	NoFlush           bool // a stop does not wait for what the queues hold
}

// A Job says what one queue holds (/timers).
type Job struct {
	Name     string
	Waiting  int       // entries that no delivery has begun for
	Resident int       // and with those on their way
	Since    time.Time // when the oldest of them was enqueued
}

// A Set is the queues of one worker, by name. It is safe for concurrent use. Create one with [New],
// end it with [Set.Flush] and [Set.Close].
type Set struct {
	o       Options
	running sync.WaitGroup
	hurry   chan struct{} // closed when a flush has begun

	mu       sync.Mutex // held for what follows and for every queue, never during a delivery
	changed  sync.Cond  // a batch was taken, a queue ended, or the Set was closed
	queues   map[string]*queue
	troubles map[string]trouble // of queues that ended before things were normal again
	ctx      context.Context    // of the deliveries; ends when what is left is given up
	cancel   context.CancelFunc
	flushing bool // nothing coalesces any more
	closed   bool
}

// New returns a Set without queues.
func New(o Options) *Set {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Set{
		o: o, hurry: make(chan struct{}),
		queues: make(map[string]*queue), troubles: make(map[string]trouble),
	}
	s.changed.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Enqueue hands an entry to the queue of that name, which h is to deliver, and with it what waits
// there already. The parameters count when the entry makes the queue. Enqueue never blocks and does
// no I/O but its log lines. Its only error is that the entry was refused, for it is longer than
// max_bytes (QRF-04) or comes after Close.
func (s *Set) Enqueue(name string, p Params, h Handler, e Entry) error {
	e.at = time.Now()
	s.mu.Lock()
	for s.o.Defects.BlockWhenFull && s.full(name) {
		s.changed.Wait()
	}
	if s.closed {
		s.mu.Unlock()
		return errClosed
	}
	q, made := s.queues[name], false
	if q == nil {
		q, made = newQueue(s, name, p), true
	}
	if s.o.Defects.RulesAtOnce {
		q.p = p
	}
	q.handle = h
	said, err := q.add(e)
	if made && q.resident() > 0 {
		s.begin(q)
	}
	s.mu.Unlock()
	q.say(said, made)
	return err
}

// Jobs lists the queues that hold entries, by name.
func (s *Set) Jobs() []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := make([]Job, 0, len(s.queues))
	for _, q := range s.queues {
		if q.resident() > 0 { // else it is about to end
			jobs = append(jobs, Job{Name: q.name, Waiting: q.waiting.n, Resident: q.resident(), Since: q.since()})
		}
	}
	slices.SortFunc(jobs, func(a, b Job) int { return cmp.Compare(a.Name, b.Name) })
	return jobs
}

// Flush is an orderly stop (QUE-24): nothing coalesces any more, a wait before a further try ends
// now, and Flush returns when nothing is left. When ctx ends before, what is left is given up, a
// batch on its way included, and its number returned. Entries that come later are delivered without
// delay, until Close.
func (s *Set) Flush(ctx context.Context) (lost int) {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.flushing {
		s.flushing = true
		close(s.hurry)
	}
	for len(s.queues) > 0 && ctx.Err() == nil && !s.o.Defects.NoFlush {
		s.changed.Wait()
	}
	return s.giveUp()
}

// Close gives up what is left, refuses what comes, and returns when every delivery has ended.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	lost := s.giveUp()
	s.cancel()
	s.mu.Unlock()
	if lost > 0 {
		s.o.Logger.Error("queues closed before they were empty", "lost", lost)
	}
	s.running.Wait()
}

// giveUp forgets all queues and says how many entries they held. Their deliveries end soon.
func (s *Set) giveUp() (lost int) {
	for _, q := range s.queues {
		lost += q.resident()
	}
	clear(s.queues)
	s.cancel()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.changed.Broadcast()
	return lost
}

// begin lets a new queue that holds something deliver it (QUE-23).
func (s *Set) begin(q *queue) {
	s.queues[q.name] = q
	delete(s.troubles, q.name)
	if q.alone() {
		return // its entry is on its way already
	}
	s.running.Add(1)
	go q.run()
}

// end forgets a queue that holds nothing.
func (s *Set) end(q *queue) {
	if s.queues[q.name] != q || s.o.Defects.NeverAgain {
		return // given up
	}
	delete(s.queues, q.name)
	if q.trouble.owed && len(s.troubles) < maxTroubles {
		s.troubles[q.name] = q.trouble
	}
	s.changed.Broadcast()
}

// full says that the queue of that name is there and full.
func (s *Set) full(name string) bool {
	q := s.queues[name]
	return q != nil && q.full()
}
