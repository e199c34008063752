package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidemark/history"
	"tidemark/toxics"
)

// holdLoads has the database keep every load of a router waiting from when it returns, for so long, and returns
// what waits for the end.
func (w *World) holdLoads(ctx context.Context, hold time.Duration) (release func() error, err error) {
	done := make(chan error, 1)
	w.Go(func() {
		_, err := w.SQL(ctx, "hold_loads", map[string]string{"seconds": fmt.Sprint(hold.Seconds())})
		done <- err
	})
	var held int64
	holds := func() bool {
		held, err = w.SQL(ctx, "held_loads", nil)
		return err != nil || held > 0
	}
	if !w.Until(ctx, w.History.Now().Add(hold/2), holds) {
		return nil, history.Doubtf("the database did not begin to hold loads within %v", hold/2)
	}
	return func() error { return <-done }, err
}

// waits waits until so many loads are held at the same time.
func (w *World) waits(ctx context.Context, count int64, within time.Duration) error {
	var waiting int64
	var err error
	enough := func() bool {
		waiting, err = w.SQL(ctx, "waiting_loads", nil)
		return err != nil || waiting >= count
	}
	if !w.Until(ctx, w.History.Now().Add(within), enough) {
		return history.Doubtf("%d loads were held and not %d: nothing was kept from anybody", waiting, count)
	}
	return err
}

// makesUnloadable makes a change while the builds that it causes must fail: they are held for longer than a node waits.
func (w *World) makesUnloadable(ctx context.Context, name string, node int) error {
	if w.change == nil || w.change.name != name {
		return fmt.Errorf("make %s: no sentence has made every node ready for it", name)
	}
	timeout := w.Settings.Duration("pg_timeout")
	hold := w.Bounds.Poll + 2*timeout + w.Bounds.Slack
	release, err := w.holdLoads(ctx, hold)
	if err != nil {
		return err
	}
	everyone := make(chan error, 1)
	w.Go(func() { everyone <- w.waits(ctx, int64(len(w.Those("every node"))), hold) })
	began := w.History.Now()
	err = w.makes(ctx, name, node, nil)
	err = errors.Join(err, <-everyone, release())
	if took := w.History.Now().Sub(began); err == nil && took < timeout+w.Bounds.Poll {
		err = history.Doubtf("loads were held for %v after the change, not for a poll and a timeout", took)
	}
	w.origin = w.History.Now()
	return err
}

// makesWhileLoading makes a change while a node that has just been started loads its first router, over a slow
// link: the database has answered, and the answer is still under way.
func (w *World) makesWhileLoading(ctx context.Context, starting int, name string, node int) error {
	if w.change == nil || w.change.name != name {
		return fmt.Errorf("make %s: no sentence has made every node ready for it", name)
	}
	late := 3 * w.Bounds.Slack / 5
	if err := w.inflict(ctx, starting, toxics.SlowDatabase(late)); err != nil {
		return err
	}
	since := w.History.Now()
	started := make(chan error, 1)
	w.Go(func() { started <- w.Cluster.Node(starting).Restart(ctx) })
	err := w.firstLoad(ctx, since, since)
	if err == nil { // asked first how to be answered, and after the answer to that
		err = w.firstLoad(ctx, since, w.History.Now().Add(late/2))
	}
	began := w.History.Now()
	if err == nil {
		err = w.makes(ctx, name, node, nil)
	}
	if took := w.History.Now().Sub(began); err == nil && took > late/2 {
		err = history.Doubtf("the change took %v: what node %d had loaded may have arrived before it", took, starting)
	}
	err = errors.Join(err, w.Cluster.Node(starting).Heal(ctx), <-started)
	w.Leave(starting, false)
	w.origin = w.History.Now()
	return err
}

// firstLoad waits until the database has, after a moment, answered the first load of a node that was started after another.
func (w *World) firstLoad(ctx context.Context, since, after time.Time) error {
	var loaded int64
	var err error
	answered := func() bool {
		loaded, err = w.SQL(ctx, "loaded_since", map[string]string{
			"since": since.UTC().Format(time.RFC3339Nano), "after": after.UTC().Format(time.RFC3339Nano),
		})
		return err != nil || loaded > 0
	}
	if !w.Until(ctx, w.History.Now().Add(20*w.Bounds.Slack), answered) {
		return history.Doubtf("no load was seen within %v of the start", 20*w.Bounds.Slack)
	}
	return err
}
