package steps

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidemark/history"
)

// those returns the nodes that a sentence speaks of: "node 2" or "every node", which is all that are there.
func (w *World) those(who string) []int {
	if number, found := strings.CutPrefix(who, "node "); found {
		n, _ := strconv.Atoi(number)
		return []int{n}
	}
	var all []int
	for _, n := range w.cluster.Nodes() {
		if !w.away(n.Number()) {
			all = append(all, n.Number())
		}
	}
	return all
}

// each does something for each node that a sentence speaks of, until one fails.
func (w *World) each(ctx context.Context, who string, do func(node int) error) error {
	if err := w.up(ctx); err != nil {
		return err
	}
	for _, node := range w.those(who) {
		if node < 1 || node > len(w.cluster.Nodes()) {
			return fmt.Errorf("find %s: the cluster has %d nodes", who, len(w.cluster.Nodes()))
		}
		if err := do(node); err != nil {
			return err
		}
	}
	return nil
}

// readyFor brings about the state before a change, on every node, and begins to look at it.
func (w *World) readyFor(ctx context.Context, c *change) error {
	if err := w.up(ctx); err != nil {
		return err
	}
	w.change, w.turns, w.key = c, nil, c.key
	if err := w.call(ctx, w.those("every node")[0], c.given...); err != nil {
		return fmt.Errorf("prepare for %s: %w", c.name, err)
	}
	w.prepared = w.history.Now()
	if err := w.settle(ctx, c.looks...); err != nil {
		return err
	}
	w.probe(ctx, c.looks...)
	return nil
}

// settle waits until every node has heard of all that was done so far and shows the old state of the looks.
// So no event is on its way any more when the scenario begins.
func (w *World) settle(ctx context.Context, looks ...look) error {
	began := w.history.Now()
	if err := w.heard(ctx, began); err != nil {
		return err
	}
	for _, node := range w.those("every node") {
		for _, l := range looks {
			shown := ""
			old := func() bool { shown = w.see(ctx, l, node); return shown == l.old }
			if !w.until(ctx, began.Add(w.bounds.Propagation+w.bounds.Slack), old) {
				return w.judge(&history.Violation{Expected: fmt.Sprintf("node %d to show %q before the change", node, l.old), Actual: fmt.Sprintf("%q", shown), Node: node, Request: "GET " + w.url(l, node)}, began)
			}
		}
	}
	return nil
}

// heard waits until every node has polled after the moment and the propagation delay is over. Where a
// node's polls cannot be seen, their interval has to do.
func (w *World) heard(ctx context.Context, since time.Time) error {
	if w.spec.Replica {
		if err := w.cluster.ReplicaCaughtUp(ctx); err != nil {
			return fmt.Errorf("wait for the replica: %w", err)
		}
		since = w.history.Now()
	}
	delay := w.settings.Duration("db_update_propagation")
	for _, node := range w.those("every node") {
		w.until(ctx, since.Add(w.interval(node)+w.bounds.Slack), func() bool { return len(w.polls(node, since)) > 0 })
	}
	w.pass(ctx, max(time.Until(since.Add(delay)), 0)+w.bounds.Slack/10)
	return ctx.Err()
}

// interval is a node's poll interval.
func (w *World) interval(node int) time.Duration {
	settings, err := w.env.Target.Resolve(w.spec.PerNode[node], w.stated, w.env.Settings)
	if err != nil {
		return w.bounds.Poll
	}
	return settings.Duration("db_update_frequency")
}

// polls returns when a node polled after a moment.
func (w *World) polls(node int, since time.Time) []time.Time {
	all := w.cluster.Node(node).Polls()
	return all[slices.IndexFunc(append(slices.Clip(all), time.Now()), since.Before):]
}

// act does something that has to show on a node from its answer on, and asks that node at once: the very
// next request. Node 0 is none.
func (w *World) act(ctx context.Context, node int, do func() error) error {
	err := do()
	w.origin = w.history.Now()
	if err == nil && node > 0 && w.change != nil {
		w.lookAt(ctx, node)
	}
	return err
}

// lookAt takes each look of the change once.
func (w *World) lookAt(ctx context.Context, node int) {
	for _, l := range w.change.looks {
		w.see(ctx, l, node)
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
	sent := w.history.Now()
	err := w.act(ctx, node, func() error {
		err := w.call(ctx, node, w.change.made...)
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
	w.history.Record(history.Entry{Kind: history.KindChange, Node: node, Subject: w.change.name, Start: sent, End: w.origin})
}

// sql runs a template of the target's file on the primary.
func (w *World) sql(ctx context.Context, template string, params map[string]string) (int64, error) {
	rows, err := w.cluster.SQL(ctx, template, params)
	if err != nil {
		return 0, fmt.Errorf("run the SQL %s: %w", template, err)
	}
	return rows, nil
}
