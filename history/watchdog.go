package history

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Beat is how often a watchdog should be called.
const Beat = 10 * time.Millisecond

// A Gap is a time in which this process did not get to run.
type Gap struct{ From, To time.Time }

// A Watchdog notices when the harness itself runs late, so that its lateness is not held against the cluster.
// It is safe for concurrent use.
type Watchdog struct {
	now  func() time.Time
	mu   sync.Mutex
	last time.Time
	gaps []Gap
}

// NewWatchdog returns a watchdog that is not running yet.
func NewWatchdog(now func() time.Time) *Watchdog { return &Watchdog{now: now} }

// Run notes the gaps between beats until ctx ends. The caller owns the ticker ([Beat] apart).
func (w *Watchdog) Run(ctx context.Context, beat <-chan time.Time) {
	w.mark()
	for {
		select {
		case <-ctx.Done():
			w.mark()
			return
		case <-beat:
			w.mark()
		}
	}
}

// mark notes the time since the last beat where it is more than two beats.
func (w *Watchdog) mark() {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.last.IsZero() && now.Sub(w.last) > 2*Beat {
		w.gaps = append(w.gaps, Gap{From: w.last, To: now})
	}
	w.last = now
}

// Gaps returns a copy of what was noted, in order of time.
func (w *Watchdog) Gaps() []Gap {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.gaps)
}

// Excuse turns a violation into a doubt when the harness stood still for longer than limit inside the judged
// window: what looks late then may be our own lateness. Anything else is returned as it is.
func Excuse(err error, gaps []Gap, w Window, limit time.Duration) error {
	var v *Violation
	if !errors.As(err, &v) {
		return err
	}
	for _, g := range gaps {
		if g.To.Sub(g.From) > limit && g.From.Before(w.To) && g.To.After(w.From) {
			return Doubtf("the harness stood still for %v inside the judged window; without that: %v", g.To.Sub(g.From), v)
		}
	}
	return err
}
