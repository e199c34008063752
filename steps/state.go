package steps

import (
	"context"
	"fmt"
	"time"

	"tidemark/history"
	"tidemark/steps/stage"
)

// readyFor brings about the state before a change, on every node, and begins to look at it.
func (w *World) readyFor(ctx context.Context, c *change) error {
	if err := w.Up(ctx); err != nil {
		return err
	}
	w.change, w.turns, w.key = c, nil, c.key
	if err := w.Call(ctx, w.Those("every node")[0], c.given...); err != nil {
		return fmt.Errorf("prepare for %s: %w", c.name, err)
	}
	w.prepared = w.History.Now()
	if err := w.settle(ctx, c.looks...); err != nil {
		return err
	}
	w.Probe(ctx, c.looks...)
	return nil
}

// settle waits until every node has heard of all that was done so far and shows the old state of the looks.
// So no event is on its way any more when the scenario begins. Where one does not, the scenario has not begun.
func (w *World) settle(ctx context.Context, looks ...stage.Look) error {
	if err := w.Heard(ctx, w.History.Now()); err != nil {
		return err
	}
	return w.showOld(ctx, looks...)
}

// showOld waits until every node shows the old state of the looks.
func (w *World) showOld(ctx context.Context, looks ...stage.Look) error {
	began := w.History.Now()
	for _, node := range w.Those("every node") {
		for _, l := range looks {
			shown := ""
			old := func() bool { shown = w.See(ctx, l, node); return shown == l.Old }
			if !w.Until(ctx, began.Add(w.Bounds.Propagation+w.Bounds.Slack), old) {
				return history.Doubtf("node %d showed %q instead of %q before the change (GET %s)", node, shown, l.Old, w.URL(l, node))
			}
		}
	}
	return nil
}

// act does something that has to show on a node from its answer on, and asks that node at once: the very
// next request. Node 0 is none.
func (w *World) act(ctx context.Context, node int, do func() error) error {
	err := do()
	w.origin = w.History.Now()
	if err == nil && node > 0 && w.change != nil {
		w.lookAt(ctx, node)
	}
	return err
}

// lookAt takes each look of the change once.
func (w *World) lookAt(ctx context.Context, node int) {
	for _, l := range w.change.looks {
		w.See(ctx, l, node)
	}
}

// makes makes a change through a node, after its state before where no sentence has asked for it. What is
// to follow the answer follows before anything is asked.
func (w *World) makes(ctx context.Context, name string, node int, after func(node int) error) error {
	if w.change == nil || w.change.name != name {
		if err := w.everyNodeIsReadyFor(ctx, name); err != nil {
			return err
		}
	}
	sent := w.History.Now()
	err := w.act(ctx, node, func() error {
		err := w.Call(ctx, node, w.change.made...)
		if err == nil && after != nil {
			err = after(node)
		}
		return err
	})
	w.changed(sent, node)
	return err
}

// changed notes that the change was made between a moment and the origin.
func (w *World) changed(sent time.Time, node int) {
	w.turns = w.change.turned(sent, w.origin)
	w.History.Record(history.Entry{Kind: history.KindChange, Node: node, Subject: w.change.name, Start: sent, End: w.origin})
}
