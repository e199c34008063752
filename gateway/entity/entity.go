// Package entity declares the entities of the gateway once: their fields, their keys, and which
// cache entries of the cluster a change of one makes stale.
//
// A [Kind] is what a store, an Admin API and a cache need to know to treat every entity alike; a
// new entity is one declaration in a [Catalog] and, where the data plane reads it, one typed view.
//
// The package is longer than most: half of it is the rules of the wire for single values, each a
// few lines that nothing else needs, and one typed view for each kind.
package entity

import (
	"errors"
	"strings"

	"tidemark/gateway/schema"
)

// An Object is an entity in the shape of its JSON: string, bool, int64, float64, []any,
// map[string]any and nil. A foreign field is map[string]any{"id": …} or nil.
type Object = map[string]any

// The versions whose invalidation rebuilds the router and the list of plugins, and the channels
// on which invalidations travel.
const (
	RouterVersion  = "router:version"
	PluginsVersion = "plugins_iterator:version"
	ChannelCore    = "invalidations_kong_core_db_cache"
	ChannelCache   = "invalidations"
)

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	PatchNewKeyOnly bool // a change of a key field invalidates the new key only (CLU-38)
	KeepMisses      bool // a creation leaves the cached misses of what the data plane looks up (CLU-37)
	QuietServices   bool // the deletion of a service drops nothing: no route can need it any more
	QuietPlugins    bool // the creation of a plugin does not touch the list of plugins
}

// A Key names one entity: by "id", or by its kind's endpoint key.
type Key struct{ Field, Value string }

// A Reference is a foreign field of a kind.
type Reference struct{ Field, Kind, OnDelete string }

// An Invalidation is one cluster event: a cache key and the channel that it travels on.
type Invalidation struct{ Channel, Key string }

// A Kind is one sort of entity. It is not changed once its catalog is in use.
type Kind struct {
	Name        string // "services", also the table
	Singular    string // "service", also the foreign field that names one
	Schema      *schema.Schema
	EndpointKey string     // the unique field that addresses it besides the id
	Unique      [][]string // the unique keys besides the id, each a list of fields
	Path        string     // its collection in the Admin API: "services", "key-auths"
	Nested      string     // its collection under a parent: "plugins", "key-auth"; empty: none

	channel  string   // on which its invalidations travel
	cacheKey []string // the fields whose values make its cache key
	lookup   string   // a second cache key is made of this field, where it is set
	version  string   // the version key that a change of it invalidates too; empty: none
	stages   stages   // which changes do so
	defects  Defects
}

// stages are the changes that invalidate a kind's version key.
type stages struct{ create, update, delete bool }

// References lists the foreign fields that name a kind of the catalog, in the order of
// declaration.
func (k *Kind) References() []Reference {
	var refs []Reference
	for _, f := range k.Schema.Fields {
		if f.Type == schema.Foreign && f.OnDelete != "" {
			refs = append(refs, Reference{Field: f.Name, Kind: f.Reference, OnDelete: f.OnDelete})
		}
	}
	return refs
}

// KeyOf reads a decoded path segment: a UUID is an id, all else the endpoint key. So an entity
// whose name looks like a UUID is never found by its name.
func (k *Kind) KeyOf(param string) Key {
	if schema.IsUUID(param) {
		return Key{Field: "id", Value: strings.ToLower(param)}
	}
	return Key{Field: k.EndpointKey, Value: param}
}

// CheckKey says why no entity can have the key; its text is the wire's message of an
// "invalid unique" error.
func (k *Kind) CheckKey(key Key) error {
	f := k.Schema.Field(key.Field)
	if f == nil {
		return errors.New("unknown field")
	}
	probe := schema.Schema{Fields: []schema.Field{{
		Name: f.Name, Type: f.Type, UUID: f.UUID, LenMin: f.LenMin, Check: f.Check,
	}}}
	_, bad := probe.Process(map[string]any{f.Name: key.Value}, schema.Insert)
	if message, ok := bad[f.Name].(string); ok {
		return errors.New(message)
	}
	return nil
}

// CacheKeyFor is the key under which the entity with these values of its key fields is cached: the
// kind, five places for values, the workspace, parted by colons. Most kinds have one value,
// the id; a credential's is its key, a plugin has name, route, service and consumer.
func (k *Kind) CacheKeyFor(workspace string, values ...string) string {
	parts := make([]string, 7)
	parts[0], parts[6] = k.Name, workspace
	copy(parts[1:6], values)
	return strings.Join(parts, ":")
}

// CacheKey is the cache key of o itself.
func (k *Kind) CacheKey(o Object, workspace string) string {
	values := make([]string, len(k.cacheKey))
	for i, field := range k.cacheKey {
		values[i] = Value(o, field)
	}
	return k.CacheKeyFor(workspace, values...)
}

// Value reads a string field, or the id that a foreign field holds; empty when there is none.
func Value(o Object, field string) string {
	switch v := o[field].(type) {
	case string:
		return v
	case map[string]any:
		id, _ := v["id"].(string)
		return id
	}
	return ""
}

// Invalidations lists the cluster events of a change: old is nil on creation, new on deletion, and
// both on nothing. Keys come once, new before old, the version of the router or of the plugins
// last. What a cascade deletes adds its own, by its own kind.
func (k *Kind) Invalidations(old, new Object, workspace string) []Invalidation {
	if k.defects.KeepMisses && old == nil && k.channel == ChannelCache {
		return nil
	}
	if k.defects.QuietServices && k.Name == "services" && new == nil {
		return nil
	}
	dropped := old // whose keys are dropped beside the new ones
	if k.defects.PatchNewKeyOnly && new != nil {
		dropped = nil
	}
	var out []Invalidation
	add := func(channel, key string) {
		for _, had := range out {
			if had.Key == key {
				return
			}
		}
		out = append(out, Invalidation{Channel: channel, Key: key})
	}
	for _, o := range []Object{new, dropped} {
		if o != nil {
			add(k.channel, k.CacheKey(o, workspace))
		}
	}
	for _, o := range []Object{dropped, new} {
		if value := Value(o, k.lookup); value != "" {
			add(k.channel, k.CacheKeyFor(workspace, value))
		}
	}
	if k.version != "" && k.stages.at(old, new) && (old != nil || !k.defects.QuietPlugins || k.version != PluginsVersion) {
		add(ChannelCore, k.version)
	}
	return out
}

// at says whether the change from old to new is one of the stages.
func (s stages) at(old, new Object) bool {
	switch {
	case old == nil && new == nil:
		return false
	case old == nil:
		return s.create
	case new == nil:
		return s.delete
	default:
		return s.update
	}
}
