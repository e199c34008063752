// Package entity declares the entities of the gateway once: their fields, their keys, and which
// cache entries of the cluster a change of one makes stale.
package entity

import "tidemark/gateway/schema"

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
	PatchNewKeyOnly bool // a change of a key field invalidates the new key only
	KeepMisses      bool // a creation invalidates nothing: cached misses stay
}

// A Key names one entity: by "id", or by its kind's endpoint key.
type Key struct{ Field, Value string }

// A Reference is a foreign field of a kind.
type Reference struct{ Field, Kind, OnDelete string }

// An Invalidation is one cluster event: a cache key and the channel that it travels on.
type Invalidation struct{ Channel, Key string }

// A Kind is one sort of entity.
type Kind struct {
	Name        string // "services", also the table
	Singular    string // "service"
	Schema      *schema.Schema
	EndpointKey string     // the unique field that addresses it besides the id
	Unique      [][]string // the unique keys besides the id, each a list of fields
	Path        string     // its collection in the Admin API: "services", "key-auths"
	Nested      string     // its collection under a parent: "plugins", "key-auth"

	defects *Defects
}

// References lists the foreign fields in the order of declaration.
func (k *Kind) References() []Reference { return nil }

// KeyOf reads a path segment: a UUID is an id, all else the endpoint key.
func (k *Kind) KeyOf(param string) Key { return Key{Field: "id", Value: param} }

// CacheKey is the cache key of o itself.
func (k *Kind) CacheKey(o Object, workspace string) string { return "" }

// Invalidations lists the cluster events of a change: old is nil on creation, new on deletion.
func (k *Kind) Invalidations(old, new Object, workspace string) []Invalidation { return nil }

// A PluginSchema is what the catalog has to know of a plugin.
type PluginSchema struct {
	Name       string
	Config     *schema.Schema
	NoConsumer bool     // the plugin must not be bound to a consumer
	Protocols  []string // the default; nil: grpc, grpcs, http, https
	Enabled    bool
}

// A Catalog holds every kind.
type Catalog struct{ kinds []*Kind }

// NewCatalog declares every kind; the configuration of a plugin is validated by plugins.
func NewCatalog(plugins []PluginSchema) *Catalog { return &Catalog{} }

// Break applies the defects to every kind.
func (c *Catalog) Break(d Defects) {}

// Kind finds a kind by its name, nil when there is none.
func (c *Catalog) Kind(name string) *Kind {
	for _, k := range c.kinds {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Kinds lists every kind, parents first.
func (c *Catalog) Kinds() []*Kind { return c.kinds }
