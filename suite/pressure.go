package suite

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/history"
	"tidemark/report"
)

// starved is the gap between two beats of [history.Beat] from which on this process does not get the
// machine that it needs. Scenarios begin to run late at several times that.
const starved = 50 * time.Millisecond

// recently is for how long a gap tells of the machine's state.
const recently = time.Second

// A pressure watches whether this process gets the machine, and lets further scenarios start only
// while it does: fewer at once, and none of them judged more leniently. It is safe for concurrent use.
type pressure struct {
	gaps func() []history.Gap
	now  func() time.Time

	mu   sync.Mutex
	held report.HeldBack
}

// watch notes gaps until the function that it returns is called.
func watch() (p *pressure, stop func()) {
	dog := history.NewWatchdog(time.Now)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(history.Beat)
		defer tick.Stop()
		dog.Run(ctx, tick.C)
	})
	return &pressure{gaps: dog.Gaps, now: time.Now}, func() { cancel(); running.Wait() }
}

// within says whether the process stood still for longer than limit between the two times.
func (p *pressure) within(from, to time.Time, limit time.Duration) bool {
	all := p.gaps()
	for i := len(all) - 1; i >= 0 && !all[i].To.Before(from); i-- {
		if all[i].From.Before(to) && all[i].To.Sub(all[i].From) > limit {
			return true
		}
	}
	return false
}

// starving says whether the process stood still of late.
func (p *pressure) starving() bool {
	now := p.now()
	return p.within(now.Add(-recently), now, starved)
}

// admit blocks while the process starves and scenarios run, whose number running tells; it returns when
// one more may start, or ctx ends.
func (p *pressure) admit(ctx context.Context, running func() int) {
	tick := time.NewTicker(history.Beat)
	defer tick.Stop()
	for held := false; p.starving(); held = true {
		n := running()
		if n == 0 {
			return
		}
		p.hold(n, !held)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// hold notes that a start waits while n scenarios run.
func (p *pressure) hold(n int, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first {
		p.held.Starts++
	}
	if p.held.AtOnce == 0 || n < p.held.AtOnce {
		p.held.AtOnce = n
	}
}

// heldBack is what was held back so far; nil where nothing was, as before the first start.
func (p *pressure) heldBack() *report.HeldBack {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held.Starts == 0 {
		return nil
	}
	held := p.held
	return &held
}

// load is how many processes wanted a processor in the last minute, on average; 0 where the system
// does not say.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return n
}

// busy tells of a machine on which so many scenarios could not be judged for lateness; nil for none.
func busy(late, cells int) *report.Busy {
	if late == 0 {
		return nil
	}
	return &report.Busy{Scenarios: late, Load: load(), Cores: runtime.NumCPU(), TryCells: max(cells/2, 1)}
}
