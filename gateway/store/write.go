package store

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// Insert creates o and returns what was stored. A refusal by the database is an *Error.
func (s *Store) Insert(ctx context.Context, k *entity.Kind, o entity.Object) (Change, error) {
	tab := s.tables[k.Name]
	return s.write(ctx, "insert", k, func(t *tx) (Change, error) {
		o, err := t.resolve(tab, o)
		if err != nil {
			return Change{}, err
		}
		c := Change{Found: true}
		b := t.batch()
		if err := t.queueInsert(b, tab, o, "", &c.Object); err != nil {
			return Change{}, err
		}
		t.queueEvents(b, &c, k.Invalidations(nil, o, t.workspace))
		if err := t.send(b); err != nil {
			return Change{}, tab.refusal(err, o)
		}
		return c.stored(tab)
	})
}

// Update gives a copy of the locked row to merge and stores what it returns; a field that merge
// leaves out stays as it was, the id in any case. An error of merge comes back, wrapped, and nothing
// changed. Nothing to update is an *Error of code 6.
func (s *Store) Update(ctx context.Context, k *entity.Kind, by entity.Key, merge func(old entity.Object) (entity.Object, error)) (Change, error) {
	tab := s.tables[k.Name]
	var merging error
	c, err := s.write(ctx, "update", k, func(t *tx) (Change, error) {
		b := t.batch()
		var old entity.Object
		t.queueLock(b, tab, by, tab.alive(), &old)
		if err := t.send(b); err != nil {
			return Change{}, err
		}
		if old == nil {
			return Change{}, notFound(by)
		}
		var o entity.Object
		if o, merging = merge(clone(old).(entity.Object)); merging != nil {
			return Change{}, merging
		}
		return t.replace(tab, old, o)
	})
	if merging != nil {
		return Change{}, merging
	}
	return c, err
}

// Upsert replaces what by addresses with o, or creates it. What exists keeps its id; the value of
// by wins over o's.
func (s *Store) Upsert(ctx context.Context, k *entity.Kind, by entity.Key, o entity.Object) (Change, error) {
	tab := s.tables[k.Name]
	if by.Field == "id" && uuid.Validate(by.Value) != nil {
		return Change{}, notFound(by)
	}
	return s.write(ctx, "upsert", k, func(t *tx) (Change, error) {
		o, err := t.resolve(tab, o)
		if err != nil {
			return Change{}, err
		}
		o[by.Field] = by.Value
		c := Change{Found: true}
		b := t.batch()
		if err := t.queueInsert(b, tab, o, " ON CONFLICT "+tab.conflict(by)+" DO NOTHING", &c.Object); err != nil {
			return Change{}, err
		}
		var old entity.Object
		t.queueLock(b, tab, by, "", &old)
		if err := t.send(b); err != nil {
			return Change{}, tab.refusal(err, o)
		}
		switch {
		case c.Object != nil:
			b := t.batch()
			t.queueEvents(b, &c, k.Invalidations(nil, o, t.workspace))
			return c, t.send(b)
		case old == nil: // it was there for the INSERT and has been deleted since
			return Change{}, errAgain
		case s.o.Defects.PutKeeps:
			return Change{Found: true, Object: old}, nil
		}
		return t.replace(tab, old, o)
	})
}

// Delete deletes what by addresses and what goes with it; Keys has the keys of all. A kind that
// must not lose its parent makes it an *Error of code 4. Nothing there is no error: Found is false.
func (s *Store) Delete(ctx context.Context, k *entity.Kind, by entity.Key) (Change, error) {
	tab := s.tables[k.Name]
	if s.o.Defects.DisableFirst && k.Name == "services" {
		_, _ = s.Update(ctx, k, by, func(o entity.Object) (entity.Object, error) { o["enabled"] = false; return o, nil })
	}
	return s.write(ctx, "delete", k, func(t *tx) (Change, error) {
		t.silent = s.o.Defects.SilentChanges
		if s.o.Defects.KeepServices && k.Name == "services" {
			return Change{}, referenced("services", "routes")
		}
		b := t.batch()
		var old entity.Object
		t.queueLock(b, tab, by, "", &old)
		if err := t.send(b); err != nil || old == nil {
			return Change{}, err
		}
		var taken []entity.Invalidation
		b, err := t.cascade(tab, []string{old["id"].(string)}, &taken)
		if err != nil {
			return Change{}, err
		}
		var gone entity.Object
		b.Queue("DELETE FROM "+tab.name+" WHERE id = $1 RETURNING "+tab.list, old["id"]).Query(tab.one(&gone))
		if err := t.send(b); err != nil {
			return Change{}, tab.refusal(err, nil)
		}
		if gone == nil {
			return Change{}, fmt.Errorf("the row stayed: %w", ErrRefused)
		}
		c := Change{Found: true}
		keys := k.Invalidations(gone, nil, t.workspace)
		if !t.s.o.Defects.ForgetCascade {
			keys = append(keys, taken...)
		}
		b = t.batch()
		t.queueEvents(b, &c, keys)
		return c, t.send(b)
	})
}

// replace gives the locked row old the values of o and writes the events.
func (t *tx) replace(tab *table, old, o entity.Object) (Change, error) {
	t.silent = t.s.o.Defects.SilentChanges
	o, err := t.resolve(tab, o)
	if err != nil {
		return Change{}, err
	}
	for name, v := range old {
		if _, mentioned := o[name]; !mentioned {
			o[name] = v
		}
	}
	o["id"] = old["id"]
	sql, args, err := tab.update(old, o, t.workspace)
	if err != nil {
		return Change{}, err
	}
	c := Change{Found: true}
	b := t.batch()
	b.Queue(sql, args...).Query(tab.one(&c.Object))
	t.queueEvents(b, &c, tab.kind.Invalidations(old, o, t.workspace))
	if err := t.send(b); err != nil {
		return Change{}, tab.refusal(err, o)
	}
	return c.stored(tab)
}

// stored refuses a write that stored no row, as a trigger can make of it.
func (c Change) stored(tab *table) (Change, error) {
	if c.Object == nil {
		return Change{}, fmt.Errorf("no row stored: %w", ErrRefused)
	}
	return c, nil
}

// queueInsert adds the INSERT of o; into becomes o when a row was stored. Nothing is returned by the
// server: what it would say is what it was told, and costs as much as the rest of the write.
func (t *tx) queueInsert(b *pgx.Batch, tab *table, o entity.Object, conflict string, into *entity.Object) error {
	args, err := tab.arguments(o, t.workspace)
	if err != nil {
		return err
	}
	if tab.expires { // what has outlived its own ttl is gone for everybody and holds no key
		b.Queue("DELETE FROM "+tab.name+" WHERE "+tab.kind.EndpointKey+" = $1 AND ttl <= clock_timestamp()", o[tab.kind.EndpointKey])
	}
	b.Queue(tab.insert+conflict, args...).Exec(func(ct pgconn.CommandTag) error {
		if ct.RowsAffected() == 1 {
			*into = o
		}
		return nil
	})
	return nil
}

// queueLock adds the locks of a change of one row, its parents first: whoever deletes a parent takes
// the same order. The parents only have to stay.
func (t *tx) queueLock(b *pgx.Batch, tab *table, by entity.Key, and string, into *entity.Object) {
	if impossible(by) {
		return
	}
	where, args := tab.match(by, t.workspace)
	for _, r := range tab.kind.References() {
		if parent := t.s.tables[r.Kind]; parent != nil {
			b.Queue("SELECT FROM "+parent.name+" WHERE id = (SELECT "+tab.byField[r.Field].name+
				" FROM "+tab.name+" WHERE "+where+") FOR KEY SHARE", args...)
		}
	}
	b.Queue("SELECT "+tab.list+" FROM "+tab.name+" WHERE "+where+and+" FOR UPDATE", args...).Query(tab.one(into))
}

// impossible says that no row can have the key: PostgreSQL would refuse the very question.
func impossible(by entity.Key) bool {
	return by.Field == "id" && uuid.Validate(by.Value) != nil ||
		strings.ContainsRune(by.Value, 0) || !utf8.ValidString(by.Value)
}

// one scans the only row of an answer, if there is one.
func (t *table) one(into *entity.Object) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		*into = nil
		for rows.Next() {
			o, err := t.scan(rows)
			if err != nil {
				return err
			}
			*into = t.whole(o)
		}
		return rows.Err()
	}
}

// resolve copies o, writes its ids as the database will, since cache keys are made of them, and
// replaces what names a parent by another key than its id. Such a parent is locked, so that it stays.
func (t *tx) resolve(tab *table, o entity.Object) (entity.Object, error) {
	o = maps.Clone(o)
	if id, err := uuid.Parse(entity.Value(o, "id")); err == nil {
		o["id"] = id.String()
	}
	for _, c := range tab.columns {
		parent, _ := o[c.field.Name].(map[string]any)
		if c.form != foreign || parent == nil {
			continue
		}
		id, err := t.parent(c.field, parent)
		if err != nil {
			return nil, err
		}
		o[c.field.Name] = map[string]any{"id": id}
	}
	return o, nil
}

// parent is the id of what a foreign field names.
func (t *tx) parent(f *schema.Field, named map[string]any) (string, error) {
	above := t.s.tables[f.Reference]
	id, given := named["id"].(string)
	switch parsed, err := uuid.Parse(id); {
	case given && above != nil && err == nil:
		return parsed.String(), nil
	case given || above == nil || above.kind.EndpointKey == "":
		return "", dangling(f, named)
	}
	by := entity.Key{Field: above.kind.EndpointKey}
	by.Value, _ = named[by.Field].(string)
	id, err := t.find(above, by)
	if err == nil && id == "" {
		err = unresolved(f, by)
	}
	return id, err
}

// find is the id that by addresses, locked against deletion; "" when there is none.
func (t *tx) find(tab *table, by entity.Key) (id string, err error) {
	if impossible(by) {
		return "", nil
	}
	where, args := tab.match(by, t.workspace)
	b := t.batch()
	b.Queue("SELECT id::text FROM "+tab.name+" WHERE "+where+" FOR KEY SHARE", args...).Query(func(rows pgx.Rows) error {
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if len(ids) > 0 {
			id = ids[0]
		}
		return err
	})
	return id, t.send(b)
}

// cascade deletes what goes with the rows ids of tab, deepest first, and collects its keys. What
// has nothing below it is left in the returned batch, to travel with the caller's own statement.
func (t *tx) cascade(tab *table, ids []string, keys *[]entity.Invalidation) (*pgx.Batch, error) {
	b := t.batch()
	for _, below := range t.s.below(tab) {
		if len(t.s.below(below.table)) > 0 {
			rest, err := t.descend(below, ids, keys)
			if err != nil {
				return nil, err
			}
			if err := t.send(rest); err != nil {
				return nil, err
			}
		}
		b.Queue("DELETE FROM "+below.name+" WHERE "+below.column+" = ANY ($1::uuid[]) RETURNING "+below.list, ids).
			Query(func(rows pgx.Rows) error {
				for rows.Next() {
					o, err := below.scan(rows)
					if err != nil {
						return err
					}
					*keys = append(*keys, below.kind.Invalidations(below.whole(o), nil, t.workspace)...)
				}
				return rows.Err()
			})
	}
	return b, nil
}

// descend locks the children of ids and deletes what is below them.
func (t *tx) descend(child below, ids []string, keys *[]entity.Invalidation) (*pgx.Batch, error) {
	var children []string
	b := t.batch()
	b.Queue("SELECT id::text FROM "+child.name+" WHERE "+child.column+" = ANY ($1::uuid[]) FOR UPDATE", ids).
		Query(func(rows pgx.Rows) error {
			var err error
			children, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
	if err := t.send(b); err != nil {
		return nil, err
	}
	return t.cascade(child.table, children, keys)
}

// A below is a table whose rows go when the row goes that column refers to.
type below struct {
	*table
	column string
}

func (s *Store) below(tab *table) []below {
	var found []below
	for _, k := range s.o.Catalog.Kinds() {
		for _, r := range k.References() {
			torn := s.o.Defects.DeleteParent && tab.name == "services" && k.Name == "routes"
			if r.Kind == tab.name && (r.OnDelete == "cascade" || torn) {
				child := s.tables[k.Name]
				found = append(found, below{child, child.byField[r.Field].name})
			}
		}
	}
	return found
}
