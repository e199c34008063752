package entity

import "tidemark/gateway/schema"

// A PluginSchema is what the catalog has to know of a plugin.
type PluginSchema struct {
	Name       string
	Config     *schema.Schema // nil: its configuration is not judged
	NoConsumer bool           // it must not be bound to a consumer
	Protocols  []string       // the default; nil: grpc, grpcs, http, https
	Enabled    bool           // else it is as unknown as one that does not exist
}

// A Catalog holds every kind.
type Catalog struct{ kinds []*Kind }

// NewCatalog declares every kind. The configuration of a plugin is judged by the schema that
// plugins has for its name.
func NewCatalog(plugins []PluginSchema) *Catalog {
	all := stages{create: true, update: true, delete: true}
	return &Catalog{kinds: []*Kind{
		{
			Name: "services", Singular: "service", Path: "services",
			Schema: services(), EndpointKey: "name", Unique: [][]string{{"name"}},
			channel: ChannelCore, cacheKey: []string{"id"},
			// Nothing is routed to a service that was just made, or that could be deleted.
			version: RouterVersion, stages: stages{update: true},
		},
		{
			Name: "routes", Singular: "route", Path: "routes", Nested: "routes",
			Schema: routes(), EndpointKey: "name", Unique: [][]string{{"name"}},
			channel: ChannelCore, cacheKey: []string{"id"}, version: RouterVersion, stages: all,
		},
		{
			Name: "consumers", Singular: "consumer", Path: "consumers",
			Schema: consumers(), EndpointKey: "username",
			Unique:  [][]string{{"username"}, {"custom_id"}},
			channel: ChannelCache, cacheKey: []string{"id"}, lookup: "username",
		},
		{
			Name: "plugins", Singular: "plugin", Path: "plugins", Nested: "plugins",
			Schema: pluginSchema(plugins), EndpointKey: "instance_name",
			Unique:  [][]string{{"instance_name"}, {"name", "route", "service", "consumer"}},
			channel: ChannelCore, cacheKey: []string{"name", "route", "service", "consumer"},
			version: PluginsVersion, stages: all,
		},
		{
			Name: "keyauth_credentials", Singular: "keyauth_credential",
			Path: "key-auths", Nested: "key-auth",
			Schema: keyauths(), EndpointKey: "key", Unique: [][]string{{"key"}},
			channel: ChannelCache, cacheKey: []string{"key"},
		},
	}}
}

// Break applies the defects to every kind; call it before the catalog is in use.
func (c *Catalog) Break(d Defects) {
	for _, k := range c.kinds {
		k.defects = d
	}
}

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
