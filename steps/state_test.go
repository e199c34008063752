package steps

import (
	"context"
	"testing"
	"time"

	"tidemark/target"
)

func worldWith(b target.Bounds) *World {
	w := New(Env{Target: &target.Target{}})
	w.Bounds = b
	return w
}

func TestWindowsAreRead(t *testing.T) {
	w := worldWith(target.Bounds{Poll: 400 * time.Millisecond})
	for text, want := range map[string]time.Duration{
		"half poll": 200 * time.Millisecond, "1 poll": 400 * time.Millisecond, "3 polls": 1200 * time.Millisecond,
	} {
		if got, err := w.length(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := w.length("some polls"); err == nil {
		t.Error("some polls: got no error")
	}
}

func TestDeadlinesHaveNames(t *testing.T) {
	w := worldWith(target.Bounds{Propagation: time.Second, Heal: 2 * time.Second, Tight: time.Millisecond})
	for name, want := range map[string]time.Duration{"propagation": time.Second, "heal": 2 * time.Second, "cache TTL": time.Millisecond} {
		if d, err := w.deadline(context.Background(), 1, name, time.Time{}); err != nil || d.Within != want {
			t.Errorf("%s: got %v, %v, want %v", name, d.Within, err, want)
		}
	}
	if _, err := w.deadline(context.Background(), 1, "soon", time.Time{}); err == nil {
		t.Error("soon: got no error")
	}
}

func TestBehindTheBackNeedsAChangeThatCan(t *testing.T) {
	w := worldWith(target.Bounds{})
	w.change, _ = changeNamed("a new route")
	if err := w.isMadeBehindTheGatewaysBack(context.Background(), "route is deleted"); err == nil {
		t.Error("got no error for a change that has no SQL")
	}
}
