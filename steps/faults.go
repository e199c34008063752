package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidemark/history"
	"tidemark/toxics"
)

func (w *World) nodeIsFromItsDatabase(ctx context.Context, node int, how string) error {
	fault, err := faultNamed(how)
	if err != nil {
		return err
	}
	return w.Each(ctx, fmt.Sprintf("node %d", node), func(node int) error {
		return w.act(ctx, 0, func() error { return w.inflict(ctx, node, fault) })
	})
}

func (w *World) nodeIsHealed(ctx context.Context, node int) error {
	return w.act(ctx, 0, func() error { return w.Cluster.Node(node).Heal(ctx) })
}

func (w *World) theReplicaIsFrozen(ctx context.Context) error {
	return w.replica(ctx, toxics.FrozenReplica)
}

func (w *World) theReplicaLags(ctx context.Context, seconds float64) error {
	w.Lag = time.Duration(seconds * float64(time.Second))
	if err := w.replica(ctx, toxics.LaggingReplica(w.Lag)); err != nil {
		return err
	}
	return w.Measure()
}

func (w *World) theReplicaThaws(ctx context.Context) error {
	return w.act(ctx, 0, func() error { return w.Cluster.Heal(ctx) })
}

func (w *World) hasMissed(ctx context.Context, node int, name string) error {
	if w.change == nil || w.change.name != name {
		return fmt.Errorf("miss %s: no sentence has made every node ready for it", name)
	}
	return w.misses(ctx, node)
}

func (w *World) isMadeBehindTheGatewaysBack(ctx context.Context, what string) error {
	if w.change == nil || w.change.behind == nil || w.change.behind.name != what {
		return fmt.Errorf("say %q: no sentence has made every node ready for a change that can be made so", what)
	}
	if err := w.Digested(ctx, "every node", w.prepared); err != nil {
		return err // an event of before would have nodes load what comes now
	}
	if err := w.behind(ctx); err != nil {
		return err
	}
	return w.fresh(w.change.behind.name)
}

func (w *World) itsEventsAreDeleted(ctx context.Context) error {
	rows, err := w.SQL(ctx, "delete_events_openly", nil)
	if err == nil && rows < 1 {
		err = history.Doubtf("no event was there to be deleted")
	}
	return err
}

func (w *World) isMadeWhileNobodyLoads(ctx context.Context, name string, node int) error {
	return w.makesUnloadable(ctx, name, node)
}

func (w *World) isMadeWhileItLoads(ctx context.Context, starting int, name string, node int) error {
	return w.makesWhileLoading(ctx, starting, name, node)
}

func (w *World) wasLoadingWhileDeleted(ctx context.Context, node int) error {
	return w.loadsAcrossDeletion(ctx, node)
}

func (w *World) anEventCommitsLate(ctx context.Context) error {
	return w.commitsLate(ctx)
}

func (w *World) theDatabaseHoldsAnEvent(ctx context.Context) error {
	return w.written(ctx)
}

// faultNamed finds what the sentences call a fault of a node's link to its database.
func faultNamed(how string) (toxics.Fault, error) {
	for name, f := range map[string]toxics.Fault{
		"cut from": toxics.CutFromDatabase, "deaf to": toxics.DeafToDatabase, "held from": toxics.HeldFromDatabase,
	} {
		if name == how {
			return f, nil
		}
	}
	return toxics.Fault{}, fmt.Errorf("find the fault %q: a node is cut from, deaf to or held from its database", how)
}

// inflict applies a fault to a node. Its witness is asked at the end.
func (w *World) inflict(ctx context.Context, node int, f toxics.Fault) error {
	_, err := w.Cluster.Node(node).Inflict(ctx, f)
	return err
}

// replica applies a fault to the replica.
func (w *World) replica(ctx context.Context, f toxics.Fault) error {
	if err := w.Up(ctx); err != nil {
		return err
	}
	_, err := w.Cluster.Inflict(ctx, f)
	w.origin = w.History.Now()
	return err
}

// behind makes the change by SQL: no event tells of it.
func (w *World) behind(ctx context.Context) error {
	sent := w.History.Now()
	err := w.act(ctx, 0, func() error {
		rows, err := w.SQL(ctx, w.change.behind.template, w.change.behind.params)
		if err == nil && rows != 1 {
			err = history.Doubtf("the SQL %s changed %d rows instead of one", w.change.behind.template, rows)
		}
		return err
	})
	w.changed(sent, 0)
	return err
}

// misses lets a node miss the event of the change. The reference closes every accidental way to do so, so
// it takes force: the node is cut off, the change is made through another node, the event rows are deleted
// without a trace once all others have seen them, and only then the node hears again. It has
// to be over within half a TTL, or entries expire by themselves.
func (w *World) misses(ctx context.Context, node int) error {
	if err := w.inflict(ctx, node, toxics.CutFromDatabase); err != nil {
		return err
	}
	w.Leave(node, true) // it is not asked: an entry that expires now would be kept for its age
	var err error
	if w.resyncs[node], err = w.resynced(ctx, node); err == nil {
		err = w.missed(ctx, node)
	}
	err = errors.Join(err, w.Cluster.Node(node).Heal(ctx))
	w.Leave(node, false)
	if err != nil {
		return err
	}
	return w.fresh("missing the event")
}

// fresh doubts what has taken more than half a TTL since the state before was made: entries may expire by themselves.
func (w *World) fresh(what string) error {
	ttl := w.Settings.Duration("db_cache_ttl")
	if took := w.History.Now().Sub(w.prepared); ttl > 0 && took > ttl/2 {
		return history.Doubtf("%s: %v had passed since the first look, more than half the TTL", what, took)
	}
	return nil
}

// resynced returns how often a node has renewed all it knows, where it says so.
func (w *World) resynced(ctx context.Context, node int) (uint64, error) {
	var status struct {
		Tidemark struct{ Resyncs uint64 }
	}
	answer, err := w.Request(ctx, w.Cluster.Node(node).StatusURL()+"/status")
	if err == nil {
		err = json.NewDecoder(answer.Body).Decode(&status)
		_ = answer.Body.Close()
	}
	if err != nil {
		return 0, history.Doubtf("node %d does not say how often it has renewed all it knows: %v", node, err)
	}
	return status.Tidemark.Resyncs, nil
}

// spoilt doubts a missed event where the node has renewed all it knows since: it then learns without the event.
func (w *World) spoilt(ctx context.Context) error {
	for node, before := range w.resyncs {
		after, err := w.resynced(ctx, node)
		if err != nil {
			return err
		}
		if after > before {
			return history.Doubtf("node %d missed an event, but has renewed all it knows %d times since", node, after-before)
		}
	}
	return nil
}

// missed makes the change through another node and removes all trace of it.
func (w *World) missed(ctx context.Context, node int) error {
	others := w.Those("every node")
	if err := w.makes(ctx, w.change.name, others[0], nil); err != nil {
		return err
	}
	for _, other := range others {
		for _, l := range w.change.looks {
			if !w.Until(ctx, w.origin.Add(w.Bounds.Propagation), func() bool { return w.See(ctx, l, other) == l.New }) {
				return history.Doubtf("node %d, which was not to miss %s, did not show it", other, w.change.name)
			}
		}
	}
	if w.Spec.Replica {
		if err := w.Cluster.ReplicaCaughtUp(ctx); err != nil {
			return err
		}
	}
	return w.deleteEvents(ctx, node)
}

// deleteEvents deletes all events without a trace, and sees that some were of the change and none is left.
func (w *World) deleteEvents(ctx context.Context, node int) error {
	since := w.turns[0].Sent.UTC().Format(time.RFC3339Nano)
	rows, err := w.SQL(ctx, "delete_events_since", map[string]string{"since": since})
	if err == nil && rows < 1 {
		err = history.Doubtf("no event of %s was there to be missed by node %d", w.change.name, node)
	}
	if err != nil {
		return err
	}
	if _, err := w.SQL(ctx, "delete_events", nil); err != nil { // those from before it, too
		return err
	}
	left, err := w.SQL(ctx, "count_all_events", nil)
	if err == nil && left > 0 {
		err = history.Doubtf("%d events are still there for node %d", left, node)
	}
	return err
}

// loadsAcrossDeletion has a node load an entry whose answer comes late, and deletes the row meanwhile. That the
// request is then answered by the old state shows that the load had read it.
func (w *World) loadsAcrossDeletion(ctx context.Context, node int) error {
	if err := errors.Join(w.Digested(ctx, "every node", w.prepared), w.purge(ctx, node)); err != nil {
		return err
	}
	w.See(ctx, w.change.looks[0], node) // its connection is warm
	if err := w.inflict(ctx, node, toxics.SlowDatabase(w.Bounds.Slack)); err != nil {
		return err
	}
	if err := w.purge(ctx, node); err != nil {
		return err
	}
	w.loaded = make(chan string, 1)
	w.Go(func() { w.loaded <- w.See(ctx, w.change.looks[0], node) })
	w.Pass(ctx, w.Bounds.Slack/5) // the question is at the server, the answer on its way
	return w.behind(ctx)
}

// commitsLate writes an event for the change and commits it only after every node has polled newer ones.
func (w *World) commitsLate(ctx context.Context) error {
	key, err := w.cacheKey(ctx)
	if err != nil {
		return err
	}
	hold := 2*w.Bounds.Poll + w.Bounds.Slack
	done, began := make(chan error, 1), w.History.Now()
	w.Go(func() {
		_, err := w.SQL(ctx, "late_event", map[string]string{"key": key, "seconds": fmt.Sprint(hold.Seconds())})
		done <- err
	})
	err = w.act(ctx, 0, func() error { return w.overtake(ctx, done, began.Add(2*hold)) })
	for _, node := range w.Those("every node") {
		if polls := w.Polls(node, began); err == nil && len(polls) < 2 {
			err = history.Doubtf("node %d polled %d times while the event was held back", node, len(polls))
		}
	}
	return err
}

// overtake writes newer events until the late one is committed.
func (w *World) overtake(ctx context.Context, done <-chan error, deadline time.Time) error {
	var err error
	over := w.Until(ctx, deadline, func() bool {
		select {
		case err = <-done:
			return true
		default:
		}
		_, err = w.SQL(ctx, "synthetic_event", map[string]string{"key": "nobody"})
		return err != nil
	})
	if !over {
		return history.Doubtf("the late event was not committed by %v", deadline)
	}
	return err
}

// written judges that an event for the change stands in the database.
func (w *World) written(ctx context.Context) error {
	key, err := w.cacheKey(ctx)
	if err != nil {
		return err
	}
	rows, err := w.SQL(ctx, "count_events", map[string]string{"key": key})
	if err == nil && rows == 0 {
		err = &history.Violation{Expected: "an event for " + key + " in the database", Actual: "none"}
	}
	return w.Judge(err, w.origin)
}
