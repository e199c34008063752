package admin

import (
	"context"
	"net/http"

	"tidemark/gateway/admin/body"
	"tidemark/gateway/entity"
)

// An api is the Admin API's endpoints over what they work on.
type api struct {
	Options
	plane *plane
}

// A place is where the path puts an entity: in its kind's own collection, or under one of the
// entities that it refers to.
type place struct {
	kind   *entity.Kind
	parent *entity.Kind // nil: the kind's own collection
	field  string       // of kind, that refers to parent
}

// endpoints derives the tree from the catalogue. A kind has its collection and its entries; a
// reference of it gives both under the entity that it refers to, and that entity under it.
func (a *api) endpoints(root *node) {
	for _, k := range a.Catalog.Kinds() {
		a.collection(root, "/"+k.Path, place{kind: k})
		for _, ref := range k.References() {
			parent := a.Catalog.Kind(ref.Kind)
			if parent == nil {
				continue
			}
			p := place{kind: k, parent: parent, field: ref.Field}
			if k.Nested != "" {
				a.collection(root, "/"+parent.Path+"/{"+parent.Name+"}/"+k.Nested, p)
			}
			a.referred(root, "/"+k.Path+"/{"+k.Name+"}/"+ref.Field, p)
		}
	}
	root.handle(http.MethodGet, "/cache/{key}", a.cached)
	root.handle(http.MethodDelete, "/cache/{key}", a.drop)
	root.handle(http.MethodDelete, "/cache", a.purge)
	root.handle(http.MethodGet, "/", a.info)
	root.handle(http.MethodGet, "/status", a.status)
	if a.Timers != nil {
		root.handle(http.MethodGet, "/timers", func(*call) (answer, error) { return ok(a.Timers()), nil })
	}
	root.handle(http.MethodGet, "/endpoints", func(*call) (answer, error) {
		return ok(map[string]any{"data": root.patterns()}), nil
	})
}

func (a *api) collection(root *node, path string, p place) {
	root.handle(http.MethodGet, path, func(c *call) (answer, error) { return a.list(c, p) })
	root.handle(http.MethodPost, path, func(c *call) (answer, error) { return a.create(c, p) })
	path += "/{" + p.kind.Name + "}"
	root.handle(http.MethodGet, path, func(c *call) (answer, error) { return a.show(c, p) })
	root.handle(http.MethodPut, path, func(c *call) (answer, error) { return a.replace(c, p) })
	root.handle(http.MethodPatch, path, func(c *call) (answer, error) { return a.change(c, p) })
	root.handle(http.MethodDelete, path, func(c *call) (answer, error) { return a.remove(c, p) })
}

// referred serves the one entity that another refers to: a route's service.
func (a *api) referred(root *node, path string, p place) {
	root.handle(http.MethodGet, path, func(c *call) (answer, error) { return a.showReferred(c, p) })
	root.handle(http.MethodPut, path, func(c *call) (answer, error) { return a.replaceReferred(c, p) })
	root.handle(http.MethodPatch, path, func(c *call) (answer, error) { return a.changeReferred(c, p) })
	root.handle(http.MethodDelete, path, func(c *call) (answer, error) { return a.removeReferred(c, p) })
}

// key reads the path's n-th value as a key of k. A value that no entity can have is refused.
func key(c *call, n int, k *entity.Kind) (entity.Key, error) {
	by := k.KeyOf(body.Unescape(c.params[n]))
	if err := k.CheckKey(by); err != nil {
		return by, invalidUnique(by.Field, err)
	}
	return by, nil
}

// parentID finds the entity above; empty when the path has none.
func (a *api) parentID(ctx context.Context, c *call, p place) (string, error) {
	if p.parent == nil {
		return "", nil
	}
	by, err := key(c, 0, p.parent)
	if err != nil {
		return "", err
	}
	o, err := a.Store.Get(ctx, p.parent, by)
	if err != nil {
		return "", err
	}
	return entity.Value(o, "id"), nil
}

// entry reads what every request to one entity names: the entity's key, and the id of the entity above.
func (a *api) entry(c *call, p place) (by entity.Key, parent string, err error) {
	if by, err = key(c, len(c.params)-1, p.kind); err != nil {
		return by, "", err
	}
	parent, err = a.parentID(c.ctx, c, p)
	return by, parent, err
}

// holds says whether o is below the entity with the id parent.
func (p place) holds(o entity.Object, parent string) bool {
	return p.parent == nil || entity.Value(o, p.field) == parent
}
