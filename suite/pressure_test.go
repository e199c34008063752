package suite

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/history"
	"tidemark/report"
)

func TestAStarvedProcess(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	gap := func(began, length time.Duration) history.Gap {
		return history.Gap{From: now.Add(-began), To: now.Add(-began + length)}
	}
	rules := map[string]struct {
		gaps []history.Gap
		want bool
	}{
		"nothing":      {nil, false},
		"short":        {[]history.Gap{gap(300*time.Millisecond, 40*time.Millisecond)}, false},
		"long":         {[]history.Gap{gap(300*time.Millisecond, 60*time.Millisecond), gap(100*time.Millisecond, 30*time.Millisecond)}, true},
		"long ago":     {[]history.Gap{gap(3*time.Second, 600*time.Millisecond)}, false},
		"reaching in":  {[]history.Gap{gap(3*time.Second, 2500*time.Millisecond)}, true},
		"just stopped": {[]history.Gap{gap(80*time.Millisecond, 80*time.Millisecond)}, true},
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			p := &pressure{gaps: func() []history.Gap { return rule.gaps }, now: func() time.Time { return now }}
			if p.starving() != rule.want {
				t.Errorf("starving is %t, want %t", !rule.want, rule.want)
			}
		})
	}
}

// starvedUntil is a pressure under which the process starves until the answer changes.
func starvedUntil(calm *atomic.Bool) *pressure {
	return &pressure{now: time.Now, gaps: func() []history.Gap {
		if calm.Load() {
			return nil
		}
		return []history.Gap{{From: time.Now().Add(-200 * time.Millisecond), To: time.Now()}}
	}}
}

func TestAStartWaitsWhileTheProcessStarves(t *testing.T) {
	var calm atomic.Bool
	p := starvedUntil(&calm)
	running := []int{3, 2, 2}
	p.admit(t.Context(), func() int {
		n := running[0]
		if running = running[1:]; len(running) == 0 {
			calm.Store(true)
		}
		return n
	})
	if held := p.heldBack(); held == nil || *held != (report.HeldBack{Starts: 1, AtOnce: 2}) {
		t.Errorf("held back %+v, want 1 start, 2 at once", held)
	}
}

func TestAStartDoesNotWaitWhereNothingRuns(t *testing.T) {
	var calm atomic.Bool
	p := starvedUntil(&calm)
	p.admit(t.Context(), func() int { return 0 })
	if held := p.heldBack(); held != nil {
		t.Errorf("held back %+v", held)
	}
}

func TestAStoppedRunWaitsForNoCalm(t *testing.T) {
	var calm atomic.Bool
	ctx, stop := context.WithCancel(t.Context())
	starvedUntil(&calm).admit(ctx, func() int { stop(); return 1 })
}

func TestABusyMachineIsToldOf(t *testing.T) {
	if busy(0, 16) != nil {
		t.Error("told without anything late")
	}
	if b := busy(2, 16); b.Scenarios != 2 || b.TryCells != 8 || b.Cores < 1 {
		t.Errorf("got %+v", b)
	}
	o, lab := fake(t)
	o.Selection.Name = "doubts"
	lab.play = func(ctx context.Context, s Scenario, p Play) Played {
		played := playByName(ctx, s, p)
		played.Began = time.Now().Add(-time.Second)
		return played
	}
	r, err := newRun(o)
	if err != nil {
		t.Fatal(err)
	}
	var calm atomic.Bool
	r.folder, r.pressure = t.TempDir(), starvedUntil(&calm)
	if err := report.Furnish(r.folder); err != nil {
		t.Fatal(err)
	}
	if err := r.play(t.Context()); err != nil {
		t.Fatal(err)
	}
	results := r.results()
	if results.Busy == nil || results.Busy.Scenarios != 1 {
		t.Fatalf("the results tell %+v of a busy machine, want 1 scenario", results.Busy)
	}
	var screen strings.Builder
	terminal := report.Terminal{W: &screen, Quiet: true}
	terminal.End(results, "")
	if !strings.Contains(screen.String(), "this machine was too busy for 1 of those that are unknown") || !strings.Contains(screen.String(), "try --cells 8") {
		t.Errorf("the end says %q", screen.String())
	}
}
