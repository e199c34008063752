package steps

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tidemark/history"
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
	return w.each(ctx, who, func(node int) error { return w.show(ctx, look{path: "/dogs", key: unknown}, node, "401") })
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
	w.window.To = w.history.Now()
	return w.each(ctx, who, func(node int) error {
		return w.judge(history.Steady(w.history.Entries(), w.unrelated.subject(), node, "200", w.window), w.window.From)
	})
}

func (w *World) itsKeyIsPurged(ctx context.Context, node int) error {
	return w.act(ctx, node, func() error { return w.purge(ctx, node) })
}

func (w *World) itsKeyIsPurgedBeforeTheLoadEnds(ctx context.Context, node int) error {
	return w.act(ctx, 0, func() error { return w.purgesWhileLoading(ctx, node) })
}

func (w *World) showsItAsSoonAsTheLoadHasEnded(ctx context.Context, node int) error {
	w.origin = w.history.Now()
	return w.immediate(ctx, node, w.change.looks)
}

func (w *World) theCacheIsPurged(ctx context.Context, node int) error {
	return w.act(ctx, node, func() error { return w.call(ctx, node, remove("/cache")) })
}

// cacheKey returns the key under which the caches, and the events, know what the change is about.
func (w *World) cacheKey(ctx context.Context) (string, error) {
	if w.key == "" {
		return w.keyOf(ctx, "routes", map[string]string{"id": w.change.route})
	}
	return w.keyOf(ctx, "keyauth_credentials", map[string]string{"key": w.key})
}

// keyOf fills the target's template for a kind.
func (w *World) keyOf(ctx context.Context, kind string, parts map[string]string) (string, error) {
	if w.workspace == "" {
		id, err := w.cluster.Value(ctx, "workspace", nil)
		if err != nil {
			return "", fmt.Errorf("find the workspace: %w", err)
		}
		w.workspace = id
	}
	parts["workspace"] = w.workspace
	return w.env.Target.CacheKey(kind, parts)
}

// cached asserts what nodes hold in their cache for the key that is spoken of.
func (w *World) cached(ctx context.Context, who string, holds func(status, fields int) bool, what string) error {
	return w.each(ctx, who, func(node int) error {
		w.out.Checks++
		key, err := w.cacheKey(ctx)
		if err != nil {
			return err
		}
		answer := w.expect(ctx, node, w.cluster.Node(node).AdminURL()).GET("/cache/" + key).Expect()
		entry := answer.JSON().Object().Raw()
		if err := w.complaints.take(); err != nil || holds(answer.Raw().StatusCode, len(entry)) {
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
	return w.call(ctx, node, remove("/cache/"+key))
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
	if old := w.change.looks[0].old; shown != old {
		return history.Doubtf("the load under way showed %q: it had not read the old row", shown)
	}
	return w.cluster.Node(node).Heal(ctx)
}

// holdsUnrelated makes a second credential, has every node load it, and watches its cache entries.
func (w *World) holdsUnrelated(ctx context.Context) error {
	err := w.call(ctx, w.those("every node")[0], post("/consumers/dana/key-auth", fields{"key": unrelated}))
	key, keyErr := w.keyOf(ctx, "keyauth_credentials", map[string]string{"key": unrelated})
	if err := errors.Join(err, keyErr, w.heard(ctx, w.history.Now())); err != nil {
		return err
	}
	w.unrelated = look{path: key, cached: true, old: "200"}
	err = w.each(ctx, "every node", func(node int) error { return w.show(ctx, look{path: "/dogs", key: unrelated}, node, "200") })
	w.window = history.Window{From: w.history.Now(), Gap: w.bounds.Slack / 2}
	w.probe(ctx, w.unrelated)
	return err
}
