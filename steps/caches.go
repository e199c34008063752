package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tidemark/history"
	"tidemark/steps/stage"
)

const (
	unknown   = "nobody"    // an API key that no credential has
	unrelated = "unrelated" // one that no change touches
)

func (w *World) everyNodeHasRefusedAnUnknownKey(ctx context.Context) error {
	if w.change == nil {
		if err := w.everyNodeIsReadyFor(ctx, "a new credential"); err != nil {
			return err
		}
		w.key = unknown
	}
	return w.refusesTheUnknownKey(ctx, "every node")
}

func (w *World) refusesTheUnknownKey(ctx context.Context, who string) error {
	return w.Each(ctx, who, func(node int) error { return w.Show(ctx, stage.Look{Path: "/dogs", Key: unknown}, node, "401") })
}

func (w *World) theCacheHoldsTheHit(ctx context.Context, who string) error {
	return w.cached(ctx, who, func(status, fields int) bool { return status == http.StatusOK && fields > 0 }, "a hit")
}

func (w *World) theCacheHoldsTheMiss(ctx context.Context, who string) error {
	return w.cached(ctx, who, func(status, fields int) bool { return status == http.StatusOK && fields == 0 }, "a miss")
}

func (w *World) theCacheDroppedTheHit(ctx context.Context, who string) error {
	return w.cached(ctx, who, func(status, fields int) bool { return status == http.StatusNotFound || fields == 0 }, "no hit")
}

func (w *World) everyNodeHoldsAnUnrelatedCredential(ctx context.Context) error {
	return w.holdsUnrelated(ctx)
}

func (w *World) theCacheNeverLostTheUnrelated(ctx context.Context, who string) error {
	w.window.To = w.History.Now()
	return w.Each(ctx, who, func(node int) error {
		return w.Judge(history.Steady(w.History.Entries(), w.unrelated.Subject(), node, "200", w.window), w.window.From)
	})
}

func (w *World) itsKeyIsPurged(ctx context.Context, node int) error {
	return w.act(ctx, node, func() error { return w.purge(ctx, node) })
}

func (w *World) itsKeyIsPurgedBeforeTheLoadEnds(ctx context.Context, node int) error {
	return w.act(ctx, 0, func() error { return w.purgesWhileLoading(ctx, node) })
}

func (w *World) showsItAsSoonAsTheLoadHasEnded(ctx context.Context, node int) error {
	w.origin = w.History.Now()
	return w.immediate(ctx, node, w.change.looks)
}

func (w *World) theCacheIsPurged(ctx context.Context, node int) error {
	return w.act(ctx, node, func() error { return w.Call(ctx, node, stage.Remove("/cache")) })
}

// cacheKey returns the key under which the caches, and the events, know what the change is about.
func (w *World) cacheKey(ctx context.Context) (string, error) {
	if w.key == "" {
		return w.KeyOf(ctx, "routes", map[string]string{"id": w.change.route})
	}
	return w.KeyOf(ctx, "keyauth_credentials", map[string]string{"key": w.key})
}

// cached asserts what nodes hold in their cache for the key that is spoken of.
func (w *World) cached(ctx context.Context, who string, holds func(status, fields int) bool, what string) error {
	return w.Each(ctx, who, func(node int) error {
		w.Checks++
		key, err := w.cacheKey(ctx)
		if err != nil {
			return err
		}
		answer := w.Expect(ctx, node, w.Cluster.Node(node).AdminURL()).GET("/cache/" + key).Expect()
		entry := answer.JSON().Object().Raw()
		if err := w.Complaints(); err != nil || holds(answer.Raw().StatusCode, len(entry)) {
			return err
		}
		actual := fmt.Sprintf("%d %v", answer.Raw().StatusCode, entry)
		return &history.Violation{Expected: fmt.Sprintf("the cache of node %d to hold %s for %s", node, what, key), Actual: actual, Node: node, Request: "GET /cache/" + key}
	})
}

// purge drops the entry that is spoken of on one node, by hand.
func (w *World) purge(ctx context.Context, node int) error {
	key, err := w.cacheKey(ctx)
	if err != nil {
		return err
	}
	return w.Call(ctx, node, stage.Remove("/cache/"+key))
}

// purgesWhileLoading purges, then waits for the load that was under way.
func (w *World) purgesWhileLoading(ctx context.Context, node int) error {
	if err := w.purge(ctx, node); err != nil {
		return err
	}
	if len(w.loaded) > 0 {
		return history.Doubtf("the load had ended before the purge")
	}
	shown := <-w.loaded
	if old := w.change.looks[0].Old; shown != old {
		return history.Doubtf("the load under way showed %q: it had not read the old row", shown)
	}
	return w.Cluster.Node(node).Heal(ctx)
}

// holdsUnrelated makes a second credential, has every node load it, and watches its cache entries.
func (w *World) holdsUnrelated(ctx context.Context) error {
	err := w.Call(ctx, w.Those("every node")[0], stage.Post("/consumers/dana/key-auth", fields{"key": unrelated}))
	key, keyErr := w.KeyOf(ctx, "keyauth_credentials", map[string]string{"key": unrelated})
	if err := errors.Join(err, keyErr, w.Digested(ctx, "every node", w.History.Now())); err != nil {
		return err
	}
	w.unrelated = stage.Look{Path: key, Cached: true, Old: "200"}
	err = w.Each(ctx, "every node", func(node int) error { return w.Show(ctx, stage.Look{Path: "/dogs", Key: unrelated}, node, "200") })
	w.window = history.Window{From: w.History.Now(), Gap: w.Bounds.Slack / 2}
	w.Probe(ctx, w.unrelated)
	return err
}
