package steps

import (
	"context"
	"fmt"
	"math"
	"time"

	"tidemark/history"
)

func (w *World) hasJustPolled(ctx context.Context, node int) error {
	return w.each(ctx, fmt.Sprintf("node %d", node), func(node int) error {
		return w.polled(ctx, node, w.history.Now().Add(-w.interval(node)/8)) // so long ago is just now
	})
}

func (w *World) intervalsPass(ctx context.Context, count int) error {
	err := w.each(ctx, "every node", func(node int) error { return w.polled(ctx, node, w.history.Now()) })
	w.window = w.pass(ctx, time.Duration(count)*w.bounds.Poll)
	return err
}

func (w *World) everyNodePolledOnce(ctx context.Context) error {
	return w.each(ctx, "every node", func(node int) error {
		f := w.interval(node)
		return w.judge(history.Regular(w.polls(node, w.window.From), node, f, min(f, w.bounds.Slack)/2, w.window), w.window.From)
	})
}

func (w *World) polledMoreOften(ctx context.Context, more, less int) error {
	if err := w.pollsAsSet(more); err != nil {
		return err
	}
	return w.pollsAsSet(less)
}

// polled waits for the next poll of a node after a moment, and for one that is not its first: between the first and the
// second lies less than an interval.
func (w *World) polled(ctx context.Context, node int, since time.Time) error {
	next := func() bool { return len(w.polls(node, since)) > 0 && len(w.polls(node, time.Time{})) > 1 }
	if !w.until(ctx, since.Add(2*w.interval(node)+w.bounds.Slack), next) {
		return history.Doubtf("no poll of node %d was seen within two intervals", node)
	}
	return nil
}

// pollsAsSet judges that a node polled in the window as often as its interval says, give or take one.
func (w *World) pollsAsSet(node int) error {
	count, f := 0, w.interval(node)
	for _, at := range w.polls(node, w.window.From) {
		if !at.After(w.window.To) {
			count++
		}
	}
	expected := float64(w.window.To.Sub(w.window.From)) / float64(f)
	var err error
	if math.Abs(float64(count)-expected) > 1 {
		err = &history.Violation{Expected: fmt.Sprintf("node %d to poll about %.0f times in %v, every %v", node, expected, w.window.To.Sub(w.window.From), f), Actual: fmt.Sprintf("%d polls", count), Node: node}
	}
	return w.judge(err, w.window.From)
}
