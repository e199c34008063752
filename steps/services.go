package steps

import (
	"context"
	"errors"
	"fmt"

	"tidemark/history"
)

func (w *World) everyNodeServes(ctx context.Context, name string) error {
	return w.serves(ctx, name)
}

func (w *World) answeredAndLostItsRoute(ctx context.Context, name string) error {
	return w.losesItsRoute(ctx, name)
}

func (w *World) theServiceIsDeletedThrough(ctx context.Context, _ string, node int) error {
	return w.makes(ctx, w.change.name, node, nil)
}

func (w *World) theDeletionIsRefusedBy(ctx context.Context, name string, node int) error {
	w.window = history.Window{From: w.history.Now(), Gap: w.bounds.Slack / 2}
	refused := remove("/services/" + name)
	refused.status = 400
	return w.call(ctx, node, refused)
}

func (w *World) everyNodeKeepsServing(ctx context.Context, _, window string) error {
	return w.stays(ctx, "every node", window, func(l look) string { return l.old })
}

func (w *World) neverFailedOnAnyNode(ctx context.Context, name string) error {
	return w.neverFailed(ctx, name)
}

func (w *World) answers404(ctx context.Context, who, _ string) error {
	return w.each(ctx, who, func(node int) error { return w.immediate(ctx, node, w.change.looks[:1]) })
}

func (w *World) theCacheNoLongerHoldsTheService(ctx context.Context, who, _ string) error {
	return w.each(ctx, who, func(node int) error { return w.immediate(ctx, node, w.change.looks[1:]) })
}

func (w *World) theCacheStillHoldsTheService(ctx context.Context, who, _, window string) error {
	return w.stays(ctx, who, window, func(l look) string { return l.old })
}

func (w *World) theCacheDropsTheService(ctx context.Context, who, _, bound string) error {
	return w.each(ctx, who, func(node int) error { return w.converges(ctx, node, bound, w.turns[1:]) })
}

func (w *World) changesAreMade(ctx context.Context, count int) error {
	return w.burst(ctx, count)
}

// serves makes a service with a route, waits until every node serves it, and watches it.
func (w *World) serves(ctx context.Context, name string) error {
	err := w.readyFor(ctx, service(name))
	w.window = history.Window{From: w.history.Now(), Gap: w.bounds.Slack / 2}
	return err
}

// losesItsRoute has a service answer on every node, sees that every node remembers it, and deletes its route.
// What is left to delete is the service, which shows in nothing but the caches.
func (w *World) losesItsRoute(ctx context.Context, name string) error {
	c := service(name)
	if err := w.up(ctx); err != nil {
		return err
	}
	first := w.those("every node")[0]
	if err := w.call(ctx, first, c.given...); err != nil {
		return err
	}
	if err := w.settle(ctx, c.looks...); err != nil {
		return err
	}
	key, err := w.keyOf(ctx, "services", map[string]string{"id": otherID})
	if err != nil {
		return err
	}
	c.given = []call{remove("/routes/" + name)}
	c.looks = []look{{path: "/" + name, old: "404", new: "404"}, {path: key, cached: true, old: "200", new: "404"}}
	return w.readyFor(ctx, c)
}

// neverFailed judges all looks at an unchanged route since every node served it, until a poll interval
// after the last change.
func (w *World) neverFailed(ctx context.Context, name string) error {
	w.window.To = w.pass(ctx, w.bounds.Poll).To
	var errs []error
	for _, node := range w.those("every node") {
		errs = append(errs, w.judge(history.Steady(w.history.Entries(), "/"+name, node, "200", w.window), w.window.From))
	}
	return errors.Join(errs...)
}

// A series is a subject that can be changed again and again, each time to a state of its own.
type series struct {
	given []call
	look  look
	next  func(i int) (call, string) // the i-th state, and how to bring it about
}

// manySeries has one series for each way in which a node remembers: the router, the plugins, the cache.
func manySeries() []series {
	base := func(name string, more ...call) []call {
		return append([]call{
			post("/services", fields{"name": name, "url": "http://{upstream}/0"}),
			post("/services/"+name+"/routes", fields{"paths": []string{"/" + name}}),
		}, more...)
	}
	return []series{
		{base("moving"), look{path: "/moving", reads: "path", old: "200 /0"}, func(i int) (call, string) {
			return patch("/services/moving", fields{"path": fmt.Sprintf("/%d", i)}), fmt.Sprintf("200 /%d", i)
		}},
		{
			base("closing", post("/services/closing/plugins", fields{"id": pluginID, "name": "request-termination", "config": fields{"status_code": 400}})),
			look{path: "/closing", old: "400"},
			func(i int) (call, string) {
				return patch("/plugins/"+pluginID, fields{"config": fields{"status_code": 400 + i}}), fmt.Sprint(400 + i)
			},
		},
		{
			base("naming", post("/services/naming/plugins", fields{"name": "key-auth"}), post("/consumers", fields{"id": consumerID, "username": "n0"}), post("/consumers/n0/key-auth", fields{"key": "bone"})),
			look{path: "/naming", key: "bone", reads: "consumer", old: "200 n0"},
			func(i int) (call, string) {
				return patch("/consumers/"+consumerID, fields{"username": fmt.Sprintf("n%d", i)}), fmt.Sprintf("200 n%d", i)
			},
		},
	}
}

// burst makes changes through all nodes in turn, one after the other, on subjects of every kind.
func (w *World) burst(ctx context.Context, count int) error {
	all, c := manySeries(), &change{name: fmt.Sprintf("the last of %d changes", count)}
	for _, s := range all {
		c.given, c.looks = append(c.given, s.given...), append(c.looks, s.look)
	}
	if err := w.readyFor(ctx, c); err != nil {
		return err
	}
	w.turns = c.turned(w.history.Now(), w.history.Now())
	nodes := w.those("every node")
	for i := range count {
		turn, s := &w.turns[i%len(all)], all[i%len(all)]
		made, state := s.next(i + 1)
		if err := w.call(ctx, nodes[(i/len(all)+i)%len(nodes)], made); err != nil {
			return err
		}
		if turn.New != "" {
			turn.Via = append(turn.Via, turn.New)
		}
		turn.New, turn.Answered = state, w.history.Now()
		w.origin, c.looks[i%len(all)].new = turn.Answered, state
	}
	return nil
}
