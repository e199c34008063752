package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tidemark/history"
	"tidemark/steps/stage"
)

func (w *World) everyNodeLoadsNewCredentials(ctx context.Context, count int) error {
	if err := w.everyNodeIsReadyFor(ctx, "a new credential"); err != nil {
		return err
	}
	return w.loads(ctx, count)
}

func (w *World) theReplicaServedThoseReads(ctx context.Context) error {
	if err := w.Up(ctx); err != nil || len(w.traffic) == 0 {
		return errors.Join(err, errors.New("judge reads: none were counted"))
	}
	var errs []error
	for _, node := range slices.Sorted(maps.Keys(w.traffic)) {
		errs = append(errs, w.readFromReplica(node))
	}
	return errors.Join(errs...)
}

func (w *World) learnsOfNewRoutes(ctx context.Context, node, count int) error {
	return w.learns(ctx, node, count)
}

func (w *World) theAdminAPIKnowsIt(ctx context.Context, node int) error {
	w.Checks++
	w.Expect(ctx, node, w.Cluster.Node(node).AdminURL()).GET(w.change.entity).Expect().Status(200)
	return w.Complaints()
}

// loads makes credentials, waits until every node may read them from the replica, has every node load
// each, and notes what that moved on the nodes' links to primary and replica.
func (w *World) loads(ctx context.Context, count int) error {
	for i := range count {
		if err := w.Call(ctx, 1, stage.Post("/consumers/dana/key-auth", fields{"key": fmt.Sprint("key-", i)})); err != nil {
			return err
		}
	}
	if err := w.Digested(ctx, "every node", w.History.Now()); err != nil { // and so each has learnt how far the replica is
		return err
	}
	return w.Each(ctx, "every node", func(node int) error {
		primary, replica := w.Cluster.Node(node).Bytes()
		for i := range count {
			if err := w.Show(ctx, stage.Look{Path: "/dogs", Key: fmt.Sprint("key-", i)}, node, "200"); err != nil {
				return err
			}
		}
		primaryAfter, replicaAfter := w.Cluster.Node(node).Bytes()
		w.traffic[node] = [2]uint64{primaryAfter - primary, replicaAfter - replica}
		return nil
	})
}

// learns makes routes through node 1, waits until another node has built its router with all of them, and notes what
// that moved on its links.
func (w *World) learns(ctx context.Context, node, count int) error {
	if err := w.Digested(ctx, fmt.Sprintf("node %d", node), w.prepared); err != nil {
		return err
	}
	primary, replica := w.Cluster.Node(node).Bytes()
	for i := range count {
		if err := w.Call(ctx, 1, stage.Post("/services/dogs/routes", fields{"paths": []string{fmt.Sprintf("/dogs-%d", i)}})); err != nil {
			return err
		}
	}
	if err := w.Digested(ctx, fmt.Sprintf("node %d", node), w.History.Now()); err != nil {
		return err
	}
	primaryAfter, replicaAfter := w.Cluster.Node(node).Bytes()
	w.traffic[node] = [2]uint64{primaryAfter - primary, replicaAfter - replica}
	return w.Show(ctx, stage.Look{Path: fmt.Sprintf("/dogs-%d", count-1)}, node, "200")
}

// readFromReplica judges the bytes that a node moved while it loaded.
func (w *World) readFromReplica(node int) error {
	primary, replica := w.traffic[node][0], w.traffic[node][1]
	var err error
	if primary > 0 || replica == 0 {
		err = &history.Violation{
			Expected: fmt.Sprintf("node %d to read from the replica and nothing from the primary", node),
			Actual:   fmt.Sprintf("%d bytes on its link to the primary, %d to the replica", primary, replica), Node: node,
		}
	}
	return w.Judge(err, w.origin)
}
