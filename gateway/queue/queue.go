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
	"context"
	"log/slog"
	"time"
)

// Params are the parameters of one queue (queue.* of a plugin's configuration; QRF-01 to 08).
type Params struct {
	MaxBatchSize       int           // entries in one delivery at most
	MaxCoalescingDelay time.Duration // from the first entry of a batch that is not full to its delivery; below 50 ms a batch is one entry
	MaxEntries         int           // that wait; the batch on its way does not count
	MaxBytes           int64         // of the texts that wait; 0: no bound, unless HasMaxBytes
	HasMaxBytes        bool          // MaxBytes was given, 0 or less among its values: no text fits
	MaxRetryTime       time.Duration // from the first try of a batch to the last failure that is followed by a wait; also the longest wait. Negative: one try
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
}

// A Handler makes one delivery, of at least one entry, and blocks for as long as that takes. Only
// nil means delivered. It must return soon after ctx has ended and not keep entries.
type Handler func(ctx context.Context, entries []Entry) error

// Options are what a Set is made of. All of them may be zero.
type Options struct {
	Logger  *slog.Logger
	Defects Defects
}

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	NewestDropped     bool // a full queue drops the entry that comes, not the oldest
	OffByOne          bool // a queue is full one entry too late
	Unbounded         bool // a queue is never full
	CountInFlight     bool // the batch on its way counts towards max_entries
	NoByteLimit       bool // max_bytes is not looked at
	BlockWhenFull     bool // an entry waits until there is room
	NoWarning         bool // 80 % is passed without a word
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
	o Options
}

// New returns a Set without queues.
func New(o Options) *Set { return &Set{o: o} }

// Enqueue hands an entry to the queue of that name. It never blocks. Its only error is that the
// entry was refused.
func (s *Set) Enqueue(name string, p Params, h Handler, e Entry) error { return nil }

// Jobs lists the queues that hold entries, by name.
func (s *Set) Jobs() []Job { return nil }

// Flush delivers what the queues hold.
func (s *Set) Flush(ctx context.Context) (lost int) { return 0 }

// Close ends everything.
func (s *Set) Close() {}
