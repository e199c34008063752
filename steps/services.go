package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tidemark/history"
	"tidemark/steps/stage"
)

func (w *World) answeredAndLostItsRoute(ctx context.Context, name string) error {
	return w.losesItsRoute(ctx, name)
}

func (w *World) theServiceIsDeletedThrough(ctx context.Context, _ string, node int) error {
	return w.makes(ctx, w.change.name, node, nil)
}

func (w *World) isDeletedWithItsRoute(ctx context.Context, name string, node int) error {
	return w.deletesWithRoute(ctx, name, node)
}

func (w *World) theDeletionIsRefusedBy(ctx context.Context, name string, node int) error {
	w.window = history.Window{From: w.History.Now(), Gap: w.Bounds.Slack / 2}
	refused := stage.Remove("/services/" + name)
	refused.Status = 400
	return w.Call(ctx, node, refused)
}

func (w *World) everyNodeKeepsServing(ctx context.Context, _, window string) error {
	return w.stays(ctx, "every node", window, func(l stage.Look) string { return l.Old })
}

func (w *World) neverFailedOnAnyNode(ctx context.Context, name string) error {
	return w.neverFailed(ctx, name)
}

func (w *World) answers404(ctx context.Context, who, _ string) error {
	return w.Each(ctx, who, func(node int) error { return w.immediate(ctx, node, w.looks(false)) })
}

func (w *World) theCacheNoLongerHoldsTheService(ctx context.Context, who, _ string) error {
	return w.Each(ctx, who, func(node int) error { return w.immediate(ctx, node, w.looks(true)) })
}

func (w *World) theCacheStillHoldsTheService(ctx context.Context, who, _, window string) error {
	return w.stays(ctx, who, window, func(l stage.Look) string { return l.Old })
}

func (w *World) theCacheDropsTheService(ctx context.Context, who, _, bound string) error {
	return w.Each(ctx, who, func(node int) error { return w.converges(ctx, node, bound, w.turns) })
}

func (w *World) changesAreMade(ctx context.Context, count int) error {
	return w.burst(ctx, count, 0, func(i int) int {
		nodes := w.Those("every node")
		return nodes[(i/len(manySeries())+i)%len(nodes)]
	})
}

func (w *World) changesAreMadeSlowly(ctx context.Context, count, perSecond, most, one int) error {
	return w.burst(ctx, count, time.Second/time.Duration(max(perSecond, 1)), func(i int) int {
		if i == count/2 {
			return one
		}
		return most
	})
}

// serves makes a service with a route, waits until every node serves it, and watches it without rest: what
// it is watched for may last no longer than one rebuild.
func (w *World) serves(ctx context.Context, name string) error {
	c := service(name)
	err := w.readyFor(ctx, c)
	w.ProbeAt(ctx, stage.Restless, c.looks...)
	w.window = history.Window{From: w.History.Now(), Gap: w.Bounds.Slack / 2}
	return err
}

// losesItsRoute has a service answer on every node, sees that every node remembers it, and deletes its route.
// What is left to delete is the service, which shows in nothing but the caches.
func (w *World) losesItsRoute(ctx context.Context, name string) error {
	c := service(name)
	if err := w.Up(ctx); err != nil {
		return err
	}
	first := w.Those("every node")[0]
	if err := w.Call(ctx, first, c.given...); err != nil {
		return err
	}
	if err := w.settle(ctx, c.looks...); err != nil {
		return err
	}
	held, err := w.heldInCache(ctx)
	if err != nil {
		return err
	}
	if err := w.Call(ctx, first, stage.Remove("/routes/"+name)); err != nil {
		return err
	}
	c.given, c.looks = nil, []stage.Look{held}
	if err := w.readyFor(ctx, c); err != nil {
		return err
	}
	return w.showOld(ctx, stage.Look{Path: "/" + name, Old: "404"})
}

// heldInCache is the look at the service in the caches.
func (w *World) heldInCache(ctx context.Context) (stage.Look, error) {
	key, err := w.KeyOf(ctx, "services", map[string]string{"id": otherID})
	return stage.Look{Path: key, Cached: true, Old: "200", New: "404"}, err
}

// looks returns those of the change that go to the caches, or through the proxy.
func (w *World) looks(cached bool) []stage.Look {
	return slices.DeleteFunc(slices.Clone(w.change.looks), func(l stage.Look) bool { return l.Cached != cached })
}

// deletesWithRoute deletes a service that is served: its route first, since it may not lack a service. From then on
// the caches are watched, too.
func (w *World) deletesWithRoute(ctx context.Context, name string, node int) error {
	held, err := w.heldInCache(ctx)
	if err != nil {
		return err
	}
	if err := w.settle(ctx, held); err != nil {
		return err
	}
	w.Probe(ctx, held)
	w.change.made = []stage.Call{stage.Remove("/routes/" + name), stage.Remove("/services/" + name)}
	w.change.looks = append(w.change.looks, held)
	return w.makes(ctx, w.change.name, node, nil)
}

// neverFailed judges all looks at an unchanged route since every node served it, until a poll interval
// after the last change.
func (w *World) neverFailed(ctx context.Context, name string) error {
	w.window.To = w.Pass(ctx, w.Bounds.Poll).To
	var errs []error
	for _, node := range w.Those("every node") {
		errs = append(errs, w.Judge(history.Steady(w.History.Entries(), "/"+name, node, "200", w.window), w.window.From))
	}
	return errors.Join(errs...)
}

// A series is a subject that can be changed again and again, each time to a state of its own.
type series struct {
	given []stage.Call
	look  stage.Look
	next  func(i int) (stage.Call, string) // the i-th state, and how to bring it about
}

// manySeries has one series for each way in which a node remembers: the router, the plugins, the cache.
func manySeries() []series {
	base := func(name string, more ...stage.Call) []stage.Call {
		return append([]stage.Call{
			stage.Post("/services", fields{"name": name, "url": "http://{upstream}/0"}),
			stage.Post("/services/"+name+"/routes", fields{"paths": []string{"/" + name}}),
		}, more...)
	}
	return []series{
		{base("moving"), stage.Look{Path: "/moving", Reads: "path", Old: "200 /0"}, func(i int) (stage.Call, string) {
			return stage.Patch("/services/moving", fields{"path": fmt.Sprintf("/%d", i)}), fmt.Sprintf("200 /%d", i)
		}},
		{
			base("closing", stage.Post("/services/closing/plugins", fields{"id": pluginID, "name": "request-termination", "config": fields{"status_code": 400}})),
			stage.Look{Path: "/closing", Old: "400"},
			func(i int) (stage.Call, string) {
				return stage.Patch("/plugins/"+pluginID, fields{"config": fields{"status_code": 400 + i}}), fmt.Sprint(400 + i)
			},
		},
		{
			base("naming", stage.Post("/services/naming/plugins", fields{"name": "key-auth"}), stage.Post("/consumers", fields{"id": consumerID, "username": "n0"}), stage.Post("/consumers/n0/key-auth", fields{"key": "bone"})),
			stage.Look{Path: "/naming", Key: "bone", Reads: "consumer", Old: "200 n0"},
			func(i int) (stage.Call, string) {
				return stage.Patch("/consumers/"+consumerID, fields{"username": fmt.Sprintf("n%d", i)}), fmt.Sprintf("200 n%d", i)
			},
		},
	}
}

// burst makes changes one after the other, a pace apart, each through the node that is chosen for it, on subjects of
// every kind.
func (w *World) burst(ctx context.Context, count int, pace time.Duration, through func(i int) int) error {
	all, c := manySeries(), &change{name: fmt.Sprintf("the last of %d changes", count)}
	for _, s := range all {
		c.given, c.looks = append(c.given, s.given...), append(c.looks, s.look)
	}
	if err := w.readyFor(ctx, c); err != nil {
		return err
	}
	w.turns = c.turned(w.History.Now(), w.History.Now())
	for i := range count {
		turn, s := &w.turns[i%len(all)], all[i%len(all)]
		made, state := s.next(i + 1)
		if err := w.Call(ctx, through(i), made); err != nil {
			return err
		}
		answered := w.History.Now()
		w.Pass(ctx, pace)
		if turn.New != "" {
			turn.Via = append(turn.Via, turn.New)
		}
		turn.New, turn.Answered = state, answered
		w.origin, c.looks[i%len(all)].New = turn.Answered, state
	}
	return nil
}
