package queue

import (
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"time"
)

// forever is no bound for a wait.
const forever = time.Duration(math.MaxInt64)

// run delivers what the queue holds and ends with it (QUE-21, QUE-22).
func (q *queue) run() {
	defer q.s.running.Done()
	q.debug("processing queue")
	defer q.debug("done processing queue")
	for {
		batch, wait := q.next()
		switch {
		case wait < 0:
			return
		case wait > 0:
			q.pause(wait, q.wake)
		case q.s.o.Defects.TwoAtOnce:
			q.s.running.Add(1)
			go func(batch []Entry) {
				defer q.s.running.Done()
				q.deliver(batch)
			}(slices.Clone(batch))
		default:
			q.deliver(batch)
		}
	}
}

// next returns the batch to be delivered, or how long it may take until there is one; less than 0:
// there will be none. What it returned before is settled.
func (q *queue) next() (batch []Entry, wait time.Duration) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	now := time.Now()
	if q.away {
		clear(q.batch)
		q.batch, q.away = q.batch[:0], false
		if q.waiting.n > 0 {
			q.opened = now
		}
	}
	switch {
	case q.ctx.Err() != nil:
		return nil, -1
	case len(q.batch) > 0: // taken by Enqueue
	case q.resident() == 0:
		q.s.end(q)
		return nil, -1
	case q.waiting.n == 0: // only with TwoAtOnce
		return nil, q.listen(forever)
	default:
		if wait := q.due(now); wait > 0 {
			return nil, q.listen(wait)
		}
		q.take()
	}
	q.away = true
	return q.batch, 0
}

// listen makes rouse reach the queue, from now on.
func (q *queue) listen(wait time.Duration) time.Duration {
	if q.wake == nil {
		q.wake = make(chan struct{}, 1)
	}
	return wait
}

// pause waits for d at most: until wake says so, a flush begins, or the queue is given up.
func (q *queue) pause(d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	hurry := q.s.hurry
	select {
	case <-hurry:
		hurry = nil // this flush has been heeded before
	default:
	}
	select {
	case <-timer.C:
	case <-wake:
	case <-hurry:
	case <-q.ctx.Done():
	}
}

// fly delivers one entry by itself.
func (q *queue) fly(e Entry) {
	if q.flying == 0 {
		q.oldest = e.at
	}
	q.flying++
	q.s.running.Add(1)
	go func() {
		defer q.s.running.Done()
		q.deliver([]Entry{e})
		q.s.mu.Lock()
		defer q.s.mu.Unlock()
		if q.resident() == 0 {
			q.s.end(q)
		}
	}()
}

// deliver tries one batch until it is delivered or given up (QUE-26 to QUE-29).
func (q *queue) deliver(batch []Entry) {
	d, began := &q.s.o.Defects, time.Now()
	if d.BudgetFromEnqueue {
		began = batch[0].at
	}
	for delay := time.Duration(0); ; {
		p, err := q.try(batch)
		switch {
		case err == nil:
			q.debugf("handler processed %d entries successfully", len(batch))
			q.settle(len(batch), true)
			return
		case q.ctx.Err() != nil: // given up, and counted where that was done
			q.settle(len(batch), false)
			return
		}
		q.log(slog.LevelWarn, fmt.Sprintf("handler could not process entries: %v", err))
		if d.NoRetry || !d.NoGiveUp && time.Since(began) >= p.MaxRetryTime {
			q.log(slog.LevelError, fmt.Sprintf("could not send entries due to max_retry_time exceeded. %d queue entries were lost", len(batch)))
			q.settle(len(batch), false)
			return
		}
		delay = p.wait(delay, d)
		q.pause(delay, nil)
		if d.GrowBatch {
			batch = q.grow()
		}
	}
}

// wait is the time between two tries, given the one before, 0 if there was none. It passes neither
// bound: the document names max_retry_time, the reference max_retry_delay.
func (p Params) wait(last time.Duration, d *Defects) time.Duration {
	wait := p.InitialRetryDelay
	if last > 0 && !d.NoDoubling {
		wait = 2 * last
	}
	if !d.NoGiveUp {
		wait = min(wait, p.MaxRetryTime)
	}
	if !d.NoDelayCap {
		wait = min(wait, p.MaxRetryDelay)
	}
	return wait
}

// try makes one delivery by the handler of the latest entry, and returns the parameters that rule.
// A panic in the handler is an error.
func (q *queue) try(batch []Entry) (p Params, err error) {
	q.s.mu.Lock()
	p, handle := q.p, q.handle
	q.s.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			q.log(slog.LevelError, "recovered from a panic", "in", "handler", "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	q.debugf("passing %d entries to handler", len(batch))
	return p, handle(q.ctx, batch)
}

// grow adds what waits to the batch on its way, for GrowBatch.
func (q *queue) grow() []Entry {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	q.take()
	return q.batch
}

// settle counts n entries as no longer held, and says so when things are normal again: something
// was delivered and less than 80 % waits.
func (q *queue) settle(n int, delivered bool) {
	q.s.mu.Lock()
	q.flying -= n
	var resumed bool
	var dropped uint64
	if delivered && !q.high() {
		resumed, dropped = q.normal()
	}
	q.rouse() // with TwoAtOnce the queue may be waiting for this
	q.s.mu.Unlock()
	q.sayResumed(resumed, dropped)
}
