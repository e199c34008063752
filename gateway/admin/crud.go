package admin

import (
	"errors"
	"maps"
	"net/http"

	"github.com/google/uuid"

	"tidemark/gateway/admin/body"
	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
	"tidemark/gateway/store"
)

func (a *api) create(c *call, p place) (answer, error) {
	parent, err := a.parentID(c.ctx, c, p)
	if err != nil {
		return answer{}, err
	}
	o, err := whole(c, p.kind, p.below(c.body.Fields, parent), schema.Insert)
	if err != nil {
		return answer{}, err
	}
	done, err := a.Store.Insert(c.ctx, p.kind, o)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: done.Object}, nil
}

func (a *api) show(c *call, p place) (answer, error) {
	o, err := a.find(c, p)
	if err != nil {
		return answer{}, err
	}
	return ok(o), nil
}

// find reads the entity of the path, if it is where the path says.
func (a *api) find(c *call, p place) (entity.Object, error) {
	by, parent, err := a.entry(c, p)
	if err != nil {
		return nil, err
	}
	o, err := a.Store.Get(c.ctx, p.kind, by)
	if err != nil {
		return nil, err
	}
	if !p.holds(o, parent) {
		return nil, absent()
	}
	return o, nil
}

// replace is PUT: what the path names wins over what the body says of it.
func (a *api) replace(c *call, p place) (answer, error) {
	by, parent, err := a.entry(c, p)
	if err != nil {
		return answer{}, err
	}
	o, err := a.upsert(c, p.kind, by, p.below(c.body.Fields, parent))
	if err != nil {
		return answer{}, err
	}
	return ok(o), nil
}

func (a *api) upsert(c *call, k *entity.Kind, by entity.Key, fields map[string]any) (entity.Object, error) {
	fields[by.Field] = by.Value
	o, err := whole(c, k, fields, schema.Upsert)
	if err != nil {
		return nil, err
	}
	done, err := a.Store.Upsert(c.ctx, k, by, o)
	return done.Object, err
}

// change is PATCH. A plugin is looked up before it is changed, and so is everything below another
// entity: they answer "not found" as a GET does.
func (a *api) change(c *call, p place) (answer, error) {
	by, parent, err := a.entry(c, p)
	if err != nil {
		return answer{}, err
	}
	o, err := a.patch(c, p, by, parent)
	if errors.Is(err, store.ErrNotFound) && p.parent == nil && p.kind.Name != "plugins" {
		return answer{}, notFoundByKey(by)
	}
	if errors.Is(err, store.ErrNotFound) {
		return answer{}, absent()
	}
	if err != nil {
		return answer{}, err
	}
	return ok(o), nil
}

func (a *api) patch(c *call, p place, by entity.Key, parent string) (entity.Object, error) {
	fields := p.below(c.body.Fields, parent)
	if err := flat(p.kind, fields); err != nil {
		return nil, err
	}
	done, err := a.Store.Update(c.ctx, p.kind, by, func(old entity.Object) (entity.Object, error) {
		if !p.holds(old, parent) {
			return nil, absent()
		}
		merged := merge(p.kind.Schema, old, fields, c.body.Form)
		merged["id"] = old["id"]
		o, violations := p.kind.Schema.Process(merged, schema.Update)
		if len(violations) > 0 {
			return nil, violations
		}
		return o, nil
	})
	return done.Object, err
}

// remove is DELETE: of nothing in a collection of its own it says the same as of something.
func (a *api) remove(c *call, p place) (answer, error) {
	if p.parent == nil {
		by, err := key(c, 0, p.kind)
		if err != nil {
			return answer{}, err
		}
		_, err = a.Store.Delete(c.ctx, p.kind, by)
		return noContent, err
	}
	o, err := a.find(c, p)
	if err != nil {
		return answer{}, err
	}
	done, err := a.Store.Delete(c.ctx, p.kind, entity.Key{Field: "id", Value: entity.Value(o, "id")})
	if err == nil && !done.Found {
		err = absent()
	}
	return noContent, err
}

// refers finds the entity of the path and the id that it refers to, empty when to none.
func (a *api) refers(c *call, p place) (from entity.Object, id string, err error) {
	by, err := key(c, 0, p.kind)
	if err != nil {
		return nil, "", err
	}
	from, err = a.Store.Get(c.ctx, p.kind, by)
	return from, entity.Value(from, p.field), err
}

func (a *api) showReferred(c *call, p place) (answer, error) {
	_, id, err := a.refers(c, p)
	if err != nil {
		return answer{}, err
	}
	if id == "" {
		return answer{}, absent()
	}
	o, err := a.Store.Get(c.ctx, p.parent, entity.Key{Field: "id", Value: id})
	return ok(o), err
}

// replaceReferred creates the entity where there was none, and refers to it then. These are two
// changes, each with its events, and the order makes that safe: no other node and no failure between
// them sees a reference to nothing. What can remain is an entity that nobody refers to, when the
// second change fails or another request refers to something else meanwhile; it serves no traffic,
// the client is told of the failure, and asking again makes another.
func (a *api) replaceReferred(c *call, p place) (answer, error) {
	from, id, err := a.refers(c, p)
	if err != nil {
		return answer{}, err
	}
	made := id == ""
	if made {
		id = uuid.NewString()
	}
	o, err := a.upsert(c, p.parent, entity.Key{Field: "id", Value: id}, maps.Clone(c.body.Fields))
	if err != nil || !made {
		return ok(o), err
	}
	link := *c
	link.body = body.Body{Fields: map[string]any{p.field: map[string]any{"id": id}}}
	_, err = a.patch(&link, place{kind: p.kind}, entity.Key{Field: "id", Value: entity.Value(from, "id")}, "")
	return ok(o), err
}

func (a *api) changeReferred(c *call, p place) (answer, error) {
	_, id, err := a.refers(c, p)
	if err != nil {
		return answer{}, err
	}
	if id == "" {
		return answer{}, absent()
	}
	o, err := a.patch(c, place{kind: p.parent}, entity.Key{Field: "id", Value: id}, "")
	return ok(o), err
}

// removeReferred refuses: what is referred to is deleted in its own place.
func (a *api) removeReferred(c *call, p place) (answer, error) {
	_, id, err := a.refers(c, p)
	if err != nil {
		return answer{}, err
	}
	if id == "" {
		return answer{}, absent()
	}
	return methodNotAllowed(), nil
}
