package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"tidemark/gateway/admin/body"
	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
	"tidemark/gateway/store"
)

// errAway is what the fake answers while its database is away.
var errAway = errors.New("connection refused")

// A memory is a store without a database that keeps the promises of the interface: unique keys,
// references, restrict and cascade.
type memory struct {
	catalog *entity.Catalog
	mu      sync.Mutex
	rows    map[string]map[string]entity.Object // kind, id
	away    bool
}

func newMemory(c *entity.Catalog) *memory {
	m := &memory{catalog: c, rows: map[string]map[string]entity.Object{}}
	for _, k := range c.Kinds() {
		m.rows[k.Name] = map[string]entity.Object{}
	}
	return m
}

func (m *memory) Ready(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	return nil
}

func (m *memory) Get(_ context.Context, k *entity.Kind, by entity.Key) (entity.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, errAway
	}
	o := m.find(k, by)
	if o == nil {
		return nil, store.ErrNotFound
	}
	return maps.Clone(o), nil
}

func (m *memory) find(k *entity.Kind, by entity.Key) entity.Object {
	for _, o := range m.rows[k.Name] {
		if entity.Value(o, by.Field) == by.Value && by.Value != "" {
			return o
		}
	}
	return nil
}

func (m *memory) List(_ context.Context, k *entity.Kind, o store.ListOptions) ([]entity.Object, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, "", errAway
	}
	var page []entity.Object
	for _, id := range slices.Sorted(maps.Keys(m.rows[k.Name])) {
		row := m.rows[k.Name][id]
		if id <= o.After || !matches(row, o) {
			continue
		}
		if len(page) == o.Size {
			return page, entity.Value(page[len(page)-1], "id"), nil
		}
		page = append(page, maps.Clone(row))
	}
	return page, "", nil
}

func matches(row entity.Object, o store.ListOptions) bool {
	for field, value := range o.Where {
		if entity.Value(row, field) != value {
			return false
		}
	}
	tags, _ := row["tags"].([]any)
	found := 0
	for _, t := range o.Tags {
		if slices.Contains(tags, any(t)) {
			found++
		}
	}
	return len(o.Tags) == 0 || found == len(o.Tags) || o.AnyTag && found > 0
}

func (m *memory) Insert(_ context.Context, k *entity.Kind, o entity.Object) (store.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return store.Change{}, errAway
	}
	id := entity.Value(o, "id")
	if m.rows[k.Name][id] != nil {
		return store.Change{}, &store.Error{Code: 3, Name: "primary key violation", Message: fmt.Sprintf("primary key violation on key '{id=%q}'", id), Fields: map[string]any{"id": id}}
	}
	return m.put(k, o)
}

func (m *memory) put(k *entity.Kind, o entity.Object) (store.Change, error) {
	if err := m.resolve(k, o); err != nil {
		return store.Change{}, err
	}
	if err := m.check(k, o); err != nil {
		return store.Change{}, err
	}
	m.rows[k.Name][entity.Value(o, "id")] = maps.Clone(o)
	return store.Change{Kind: k, Object: o, Found: true}, nil
}

// resolve finds what a reference names by its endpoint key.
func (m *memory) resolve(k *entity.Kind, o entity.Object) error {
	for _, ref := range k.References() {
		named, _ := o[ref.Field].(map[string]any)
		for field, value := range named {
			if field == "id" {
				continue
			}
			parent := m.find(m.catalog.Kind(ref.Kind), entity.Key{Field: field, Value: fmt.Sprint(value)})
			if parent == nil {
				why := fmt.Sprintf("the foreign key cannot be resolved with '{%s=%q}' for an existing '%s' entity", field, value, ref.Kind)
				return &store.Error{
					Code: 13, Name: "foreign keys unresolved",
					Message: fmt.Sprintf("foreign key unresolved (%s.%s: %s)", ref.Field, field, why),
					Fields:  map[string]any{ref.Field: map[string]any{field: why}},
				}
			}
			o[ref.Field] = map[string]any{"id": parent["id"]}
		}
	}
	return nil
}

func (m *memory) check(k *entity.Kind, o entity.Object) error {
	for _, ref := range k.References() {
		id := entity.Value(o, ref.Field)
		if id != "" && m.rows[ref.Kind][id] == nil {
			return &store.Error{
				Code: 4, Name: "foreign key violation",
				Message: fmt.Sprintf("the foreign key '{id=%q}' does not reference an existing '%s' entity.", id, ref.Kind),
				Fields:  map[string]any{ref.Field: map[string]any{"id": id}},
			}
		}
	}
	for _, unique := range k.Unique {
		for id, row := range m.rows[k.Name] {
			if id != entity.Value(o, "id") && sameKey(row, o, unique) {
				return uniqueViolation(o, unique)
			}
		}
	}
	return nil
}

// sameKey compares unique keys; a single null is equal to nothing.
func sameKey(a, b entity.Object, fields []string) bool {
	for _, f := range fields {
		if entity.Value(a, f) != entity.Value(b, f) || len(fields) == 1 && entity.Value(a, f) == "" {
			return false
		}
	}
	return true
}

func uniqueViolation(o entity.Object, unique []string) error {
	fields := map[string]any{}
	text := ""
	for _, f := range slices.Sorted(slices.Values(unique)) {
		fields[f] = o[f]
		value := "null"
		switch v := o[f].(type) {
		case string:
			value = fmt.Sprintf("%q", v)
		case map[string]any:
			value = fmt.Sprintf("{id=%q}", v["id"])
		}
		text += "," + f + "=" + value
	}
	return &store.Error{Code: 5, Name: "unique constraint violation", Message: "UNIQUE violation detected on '{" + text[1:] + "}'", Fields: fields}
}

func (m *memory) Update(_ context.Context, k *entity.Kind, by entity.Key, mergeRow func(entity.Object) (entity.Object, error)) (store.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return store.Change{}, errAway
	}
	old := m.find(k, by)
	if old == nil {
		return store.Change{}, store.ErrNotFound
	}
	o, err := mergeRow(clone(old))
	if err != nil {
		return store.Change{}, err
	}
	return m.put(k, o)
}

// clone copies through JSON, so that a merge that writes into the old row is found out.
func clone(o entity.Object) entity.Object {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	r := httptest.NewRequest("POST", "/", bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	b, err := body.Read(httptest.NewRecorder(), r, 1<<24)
	if err != nil {
		panic(err)
	}
	return b.Fields
}

func (m *memory) Upsert(_ context.Context, k *entity.Kind, by entity.Key, o entity.Object) (store.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return store.Change{}, errAway
	}
	if old := m.find(k, by); old != nil {
		o["id"] = old["id"]
	}
	return m.put(k, o)
}

func (m *memory) Delete(_ context.Context, k *entity.Kind, by entity.Key) (store.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return store.Change{}, errAway
	}
	o := m.find(k, by)
	if o == nil {
		return store.Change{Kind: k}, nil
	}
	id := entity.Value(o, "id")
	for _, restrict := range []bool{true, false} {
		for _, child := range m.catalog.Kinds() {
			if err := m.release(child, k, id, restrict); err != nil {
				return store.Change{}, err
			}
		}
	}
	delete(m.rows[k.Name], id)
	return store.Change{Kind: k, Found: true}, nil
}

// release refuses, or deletes, the children of one kind.
func (m *memory) release(child, k *entity.Kind, id string, restrict bool) error {
	for _, ref := range child.References() {
		if ref.Kind != k.Name || (ref.OnDelete == "restrict") != restrict {
			continue
		}
		for cid, row := range m.rows[child.Name] {
			if entity.Value(row, ref.Field) != id {
				continue
			}
			if restrict {
				return &store.Error{
					Code: 4, Name: "foreign key violation",
					Message: fmt.Sprintf("an existing '%s' entity references this '%s' entity", child.Name, k.Name),
					Fields:  map[string]any{"@referenced_by": child.Name},
				}
			}
			delete(m.rows[child.Name], cid)
		}
	}
	return nil
}

// A shelf is a cache whose content the test sets.
type shelf struct {
	mu     sync.Mutex
	values map[string]any
}

func (s *shelf) Peek(key string) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, found := s.values[key]
	return v, found
}

func (s *shelf) Drop(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.values, k)
	}
}

func (s *shelf) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.values)
}

// catalogue has plugins enough for the tests: their schemas are the recorded ones.
func catalogue() *entity.Catalog {
	text := func(name string) schema.Field { return schema.Field{Name: name, Type: schema.String} }
	flag := func(name string, on bool) schema.Field {
		return schema.Field{Name: name, Type: schema.Boolean, Required: true, Default: on}
	}
	return entity.NewCatalog([]entity.PluginSchema{
		{Name: "key-auth", Enabled: true, NoConsumer: true, Config: &schema.Schema{Fields: []schema.Field{
			{Name: "key_names", Type: schema.Array, Required: true, Default: []any{"apikey"}, Elements: &schema.Field{Type: schema.String}},
			flag("hide_credentials", false), text("anonymous"), flag("key_in_header", true), flag("key_in_query", true),
			flag("key_in_body", false), flag("run_on_preflight", true), text("realm"),
		}}},
		{Name: "request-termination", Enabled: true, Config: &schema.Schema{
			Fields: []schema.Field{
				{Name: "status_code", Type: schema.Integer, Required: true, Default: 503, Between: []float64{100, 599}},
				text("message"), text("content_type"), text("body"), text("trigger"), flag("echo", false),
			},
			Check: func(o map[string]any) []string {
				if o["message"] != nil && (o["body"] != nil || o["content_type"] != nil) {
					return []string{"message cannot be used with content_type or body"}
				}
				return nil
			},
		}},
		{Name: "correlation-id", Enabled: true, Config: &schema.Schema{Fields: []schema.Field{
			{Name: "header_name", Type: schema.String, Default: "Kong-Request-ID"},
			{Name: "generator", Type: schema.String, Required: true, Default: "uuid#counter", OneOf: []string{"uuid", "uuid#counter", "tracker"}},
			flag("echo_downstream", false),
		}}},
		{Name: "nested", Enabled: true, Config: &schema.Schema{Fields: []schema.Field{
			{Name: "queue", Type: schema.Record, Required: true, Fields: []schema.Field{
				{Name: "size", Type: schema.Integer, Default: 1}, {Name: "delay", Type: schema.Number, Default: 1},
			}},
			{Name: "headers", Type: schema.Map, Keys: &schema.Field{Type: schema.String}, Values: &schema.Field{Type: schema.String}},
		}}},
	})
}

// A fixture is a handler over a fake store and cache.
type fixture struct {
	*plane
	store *memory
	cache *shelf
	purge int
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	c := catalogue()
	f := &fixture{store: newMemory(c), cache: &shelf{values: map[string]any{}}}
	f.plane = New(Options{
		Catalog: c, Store: f.store, Cache: f.cache, MaxBody: 1 << 16,
		PurgeAll: func(context.Context) { f.purge++ },
	}).(*plane)
	return f
}
