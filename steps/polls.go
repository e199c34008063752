package steps

import (
	"context"
	"fmt"
	"math"
	"time"

	"tidemark/history"
)

func (w *World) hasJustPolled(ctx context.Context, node int) error {
	return w.Each(ctx, fmt.Sprintf("node %d", node), func(node int) error {
		if err := w.Digested(ctx, fmt.Sprintf("node %d", node), w.prepared); err != nil {
			return err
		}
		if err := w.polled(ctx, node, w.History.Now().Add(-w.Interval(node)/8)); err != nil { // so long ago is just now
			return err
		}
		return w.heardOut(ctx, node)
	})
}

func (w *World) intervalsPass(ctx context.Context, count int) error {
	err := w.Each(ctx, "every node", func(node int) error { return w.polled(ctx, node, w.History.Now()) })
	w.window = w.Pass(ctx, time.Duration(count)*w.Bounds.Poll)
	return err
}

func (w *World) everyNodePolledOnce(ctx context.Context) error {
	return w.Each(ctx, "every node", func(node int) error {
		f := w.Interval(node)
		return w.Judge(history.Regular(w.Polls(node, w.window.From), node, f, min(f, w.Bounds.Slack)/2, w.window), w.window.From)
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
	next := func() bool { return len(w.Polls(node, since)) > 0 && len(w.Polls(node, time.Time{})) > 1 }
	if !w.Until(ctx, since.Add(2*w.Interval(node)+w.Bounds.Slack), next) {
		return history.Doubtf("no poll of node %d was seen within two intervals", node)
	}
	return nil
}

// heardOut waits until a node's last poll has been answered and its link is silent: what is committed from now on, that
// poll has not seen.
func (w *World) heardOut(ctx context.Context, node int) error {
	silent := func() bool {
		polls, answered := w.Polls(node, time.Time{}), w.Cluster.Node(node).Answered()
		return answered.After(polls[len(polls)-1]) && w.History.Now().Sub(answered) > w.Bounds.Slack/10
	}
	if !w.Until(ctx, w.History.Now().Add(w.Interval(node)/4), silent) {
		return history.Doubtf("the last poll of node %d was not answered within a quarter of its interval", node)
	}
	return nil
}

// pollsAsSet judges that a node polled in the window as often as its interval says, give or take one.
func (w *World) pollsAsSet(node int) error {
	count, f := 0, w.Interval(node)
	if window := w.window.To.Sub(w.window.From); window < 6*f {
		return fmt.Errorf("count the polls of node %d: %v is too short to tell, with one every %v", node, window, f)
	}
	for _, at := range w.Polls(node, w.window.From) {
		if !at.After(w.window.To) {
			count++
		}
	}
	expected := float64(w.window.To.Sub(w.window.From)) / float64(f)
	var err error
	if math.Abs(float64(count)-expected) > 1 {
		err = &history.Violation{Expected: fmt.Sprintf("node %d to poll about %.0f times in %v, every %v", node, expected, w.window.To.Sub(w.window.From), f), Actual: fmt.Sprintf("%d polls", count), Node: node}
	}
	return w.Judge(err, w.window.From)
}
