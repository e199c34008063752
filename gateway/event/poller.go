package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// minInterval bounds how often a Poller asks, whatever it was told.
	minInterval = 10 * time.Millisecond
	// oldHorizon is the age of an open transaction above which the Poller warns: nothing is lost,
	// but every poll lists all events since.
	oldHorizon = time.Minute
	// notice is the level of what is said at the default level and is no trouble.
	notice = slog.LevelInfo + 2
)

// ErrBehind says that a replica answered that has seen less than an earlier answer showed: the node
// goes on with what it knows until the replica has caught up.
var ErrBehind = errors.New("the replica is behind what this node has seen")

// Options are what a Poller is made of. Log and Handle are needed, the rest may be zero.
type Options struct {
	Log       Log
	Interval  time.Duration // F, between two polls; below 10 ms counts as 10 ms
	Phase     float64       // in [0, 1): the second poll follows the first after this part of F
	Deadline  time.Duration // of one query of the log; zero: the log's own
	Retention time.Duration // for how long events are kept; zero: for ever

	// Handle drops and reloads what the events name. It is called serially. After an error the same
	// events are handed over again at the next poll; after a panic the node is resynced.
	Handle func(ctx context.Context, events []Event) error
	// Resync closes the pooled connections, builds a new router and marks every cached entry stale.
	// What fails in it is its own to try again.
	Resync func(ctx context.Context, reason string)
	// Polled runs at the end of every poll, good or bad: what failed earlier is tried again here.
	Polled func(ctx context.Context)

	Logger  *slog.Logger
	Defects Defects
}

// Status is how a Poller is doing.
type Status struct {
	Polls, Failures uint64        // since the start; Polls counts the failed ones too
	LastPoll        time.Time     // the end of the last good one, by the node's clock; zero: none yet
	FailingSince    time.Time     // zero: the last poll was good
	LastError       string        // of the last failed poll, kept after the recovery
	Err             error         // of the last poll; nil: it was good
	HorizonAge      time.Duration // for how long an open transaction has kept the horizon
	Delayed         int           // events that wait for their time
	Resyncs         uint64
	LastResync      string // its reason, "" when there was none
}

// A Poller reads the log at a fixed rate and hands on what is new. Create one with [NewPoller], take
// its place with [Poller.Start] before anything is loaded, then [Poller.Run] it.
type Poller struct {
	o Options

	// Only Start and Run touch these.
	place   place
	owed    string // the reason of a resync that panicked and is to be tried again
	deaf    bool   // DeafAfterFailure struck
	delayed map[string]delayed
	warned  uint64 // the horizon whose age was warned about

	mu      sync.Mutex
	applied map[string]time.Time // own events already run, and since when they are remembered
	status  Status
}

// delayed is an event that waits until due, by the node's clock.
type delayed struct {
	event Event
	due   time.Time
}

// NewPoller returns a Poller that has no place yet.
func NewPoller(o Options) *Poller {
	o.Interval = max(o.Interval, minInterval)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Poller{o: o, delayed: make(map[string]delayed), applied: make(map[string]time.Time)}
}

// Start takes the place in the log from which Run goes on. Call it before the first load: what
// commits after it is delivered. While the database is away it tries again at each interval; its
// only error is the context's.
func (p *Poller) Start(ctx context.Context) error {
	for {
		err := p.step(ctx)
		p.record(err)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(p.o.Interval):
		}
	}
}

// Run polls now and at each tick until ctx ends, and returns ctx's error. Without a tick it keeps
// its own time: the second poll follows after Phase of an interval, then one each interval, without
// drift. It outlives the database: a failed read is logged once and tried again at the next tick,
// and no event is skipped.
func (p *Poller) Run(ctx context.Context, tick <-chan time.Time) error {
	schedule := newSchedule(tick, p.o.Interval, p.o.Phase)
	defer schedule.stop()
	alarm := time.NewTimer(0)
	defer alarm.Stop()

	p.poll(ctx)
	for n := 1; ; {
		alarm.Reset(p.nextDelayed())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-schedule.tick:
			schedule.ticked()
			if n++; p.o.Defects.SkipPolls && n%3 == 0 {
				continue
			}
			p.poll(ctx)
		case <-alarm.C:
			p.runDelayed(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Applied tells the Poller that this process wrote these events and has already done what they ask
// for. It may come before or after the poll that finds them.
func (p *Poller) Applied(ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.applied[id] = time.Now()
	}
}

// Status returns how the Poller is doing now. It does not block on a poll.
func (p *Poller) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// poll runs one poll and writes down how it went.
func (p *Poller) poll(ctx context.Context) {
	if p.deaf {
		return
	}
	err := p.step(ctx)
	if ctx.Err() != nil {
		return // stopping is no failure
	}
	p.record(err)
	p.deaf = err != nil && p.o.Defects.DeafAfterFailure
	p.warnOfOldHorizon()
	if p.o.Polled != nil {
		_ = p.guard("retry after a poll", func() error { p.o.Polled(ctx); return nil })
	}
}

// step reads the log and runs what is new. The place moves only when all of it worked.
func (p *Poller) step(ctx context.Context) error {
	b, err := p.since(ctx, Cursor{Horizon: p.place.xmin, Seen: p.knows, Deadline: p.o.Deadline})
	if err != nil {
		return err
	}
	if p.place.xmin == 0 { // the start
		p.place = p.place.next(b)
		return nil
	}
	if b.Server.Behind(p.place.server) {
		return ErrBehind
	}
	if why := p.place.broken(b, p.o.Retention); why != "" || p.owed != "" {
		return p.resync(ctx, b, why)
	}
	now, later := p.sort(b)
	if err := p.handle(ctx, now); err != nil {
		var panicked *panicError
		if !errors.As(err, &panicked) {
			return err
		}
		return p.resync(ctx, b, "an event handler panicked")
	}
	for id, d := range later {
		p.delayed[id] = d
	}
	p.move(b)
	return nil
}

// since reads the log; a panic in it is an error like any other.
func (p *Poller) since(ctx context.Context, c Cursor) (b Batch, err error) {
	err = p.guard("read events", func() error {
		b, err = p.o.Log.Since(ctx, c)
		return err
	})
	return b, err
}

// knows says that an event needs no running: it was delivered, or this process wrote and applied it.
func (p *Poller) knows(id string) bool {
	if _, seen := p.place.seen[id]; seen {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, own := p.applied[id]
	return own
}

// sort splits the batch's unseen events into those to run now and those whose time has yet to come.
// Rows that name nothing are passed over, so that they stop no others.
func (p *Poller) sort(b Batch) (due []Event, later map[string]delayed) {
	later = make(map[string]delayed)
	for i, e := range b.Events {
		if e.Channel == "" || e.Data == "" {
			p.o.Logger.Warn("event without channel or data passed over", "id", e.ID, "node", e.NodeID, "channel", e.Channel)
			continue
		}
		if _, waiting := p.delayed[e.ID]; waiting || p.struck(i, e) {
			continue
		}
		now := b.Now
		if p.o.Defects.DelayFromPoll {
			now = e.At
		}
		if wait := delay(e, now); wait > 0 && !p.o.Defects.IgnoreNotBefore {
			later[e.ID] = delayed{event: e, due: time.Now().Add(wait)}
			continue
		}
		due = append(due, e)
	}
	return due, later
}

// struck says that a defect swallows e.
func (p *Poller) struck(i int, e Event) bool {
	return p.o.Defects.SkipEvents && i == 0 ||
		p.o.Defects.TimeMarker && !e.At.After(p.place.now)
}

// delay is how long e has to wait from now, by the database's clock: never longer than its writer
// asked for, even if the clock that now comes from is not the one that At came from.
func delay(e Event, now time.Time) time.Duration {
	if e.NotBefore.IsZero() {
		return 0
	}
	return max(0, min(e.NotBefore.Sub(now), e.NotBefore.Sub(e.At)))
}

// nextDelayed is the time until the first delayed event is due; long when there is none.
func (p *Poller) nextDelayed() time.Duration {
	wait := time.Hour
	for _, d := range p.delayed {
		wait = min(wait, time.Until(d.due))
	}
	return max(0, wait)
}

// runDelayed runs the events that are due. What fails is tried again an interval later.
func (p *Poller) runDelayed(ctx context.Context) {
	var due []Event
	for _, d := range p.delayed {
		if time.Until(d.due) <= 0 {
			due = append(due, d.event)
		}
	}
	err := p.handle(ctx, due)
	var panicked *panicError
	again := err != nil && !errors.As(err, &panicked)
	for _, e := range due {
		if again {
			p.delayed[e.ID] = delayed{event: e, due: time.Now().Add(p.o.Interval)}
		} else {
			delete(p.delayed, e.ID)
		}
	}
	switch {
	case again:
		p.o.Logger.Error("delayed events not applied, will try again", "events", len(due), "error", err)
	case err != nil:
		p.owed = "an event handler panicked"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Delayed = len(p.delayed)
}

// handle hands events on, all at once. It blocks as long as the handler does.
func (p *Poller) handle(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	return p.guard("apply events", func() error { return p.o.Handle(ctx, events) })
}

// resync asks for a reload of everything and takes b as the new place: its snapshot is older than
// any of the reload's. A resync that panics stays owed to the next poll.
func (p *Poller) resync(ctx context.Context, b Batch, why string) error {
	if why == "" {
		why = p.owed
	}
	p.owed = why
	p.o.Logger.Warn("resync: reloading everything", "reason", why)
	p.mu.Lock()
	p.status.Resyncs++
	p.status.LastResync = why
	p.mu.Unlock()
	if p.o.Resync != nil {
		if err := p.guard("resync", func() error { p.o.Resync(ctx, why); return nil }); err != nil {
			return err
		}
	}
	p.owed = ""
	p.move(b)
	return nil
}

// move takes b as the new place and forgets what need not be remembered any more.
func (p *Poller) move(b Batch) {
	p.place = p.place.next(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range b.Listed {
		delete(p.applied, id) // the place knows it now
	}
	for id, since := range p.applied {
		if p.o.Retention > 0 && time.Since(since) > p.o.Retention {
			delete(p.applied, id) // its row is gone too
		}
	}
	p.status.Delayed = len(p.delayed)
}

// record counts a poll, and logs where failing begins and where it ends.
func (p *Poller) record(err error) {
	p.mu.Lock()
	before := p.status
	p.status.Polls++
	p.status.Err = err
	if err != nil {
		p.status.Failures++
		p.status.LastError = err.Error()
		if before.FailingSince.IsZero() {
			p.status.FailingSince = time.Now()
		}
	} else {
		p.status.LastPoll = time.Now()
		p.status.FailingSince = time.Time{}
	}
	p.status.HorizonAge = p.place.age()
	p.mu.Unlock()

	switch failing := !before.FailingSince.IsZero(); {
	case err != nil && !failing:
		p.o.Logger.Error("poll failed, will try again at each interval", "error", err)
	case err == nil && failing:
		p.o.Logger.Log(context.Background(), notice, "poll recovered", "after", time.Since(before.FailingSince).Round(time.Millisecond))
	}
}

// warnOfOldHorizon warns once for each transaction that has kept the horizon for over a minute.
func (p *Poller) warnOfOldHorizon() {
	if age := p.place.age(); age > oldHorizon && p.warned != p.place.xmin {
		p.warned = p.place.xmin
		p.o.Logger.Warn("a transaction has been open for long; every poll lists all events since",
			"transaction", p.place.xmin, "age", age.Round(time.Second))
	}
}

// panicError is a panic as an error.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// guard runs f; a panic in it is logged with its stack and returned as an error.
func (p *Poller) guard(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.o.Logger.Error("recovered from a panic", "in", what, "panic", v, "stack", string(debug.Stack()))
			err = &panicError{v}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
	}()
	return f()
}

// schedule is when to poll: the ticks it was given, or its own at a fixed rate.
type schedule struct {
	tick     <-chan time.Time
	timer    *time.Timer // nil when the ticks were given
	due      time.Time
	interval time.Duration
}

func newSchedule(given <-chan time.Time, interval time.Duration, phase float64) *schedule {
	if given != nil {
		return &schedule{tick: given}
	}
	first := time.Duration(phase * float64(interval))
	timer := time.NewTimer(first)
	return &schedule{tick: timer.C, timer: timer, due: time.Now().Add(first), interval: interval}
}

// ticked sets the timer for the next tick. Ticks that a long poll overlapped come as one.
func (s *schedule) ticked() {
	if s.timer == nil {
		return
	}
	for !s.due.After(time.Now()) {
		s.due = s.due.Add(s.interval)
	}
	s.timer.Reset(time.Until(s.due))
}

func (s *schedule) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}
