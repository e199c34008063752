package entity

import (
	"errors"
	"fmt"
	"slices"

	s "tidemark/gateway/schema"
)

var (
	everyProtocol = []string{"grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"}
	httpProtocols = []string{"grpc", "grpcs", "http", "https"}
)

// The fields that most kinds share.
var (
	idField   = s.Field{Name: "id", Type: s.String, UUID: true, Auto: true, Required: true}
	createdAt = s.Field{Name: "created_at", Type: s.Integer, Timestamp: true, Auto: true}
	updatedAt = s.Field{Name: "updated_at", Type: s.Integer, Timestamp: true, Auto: true}
	tagsField = s.Field{Name: "tags", Type: s.Set, Elements: &s.Field{Type: s.String, Check: checkTag}}
	nameField = s.Field{Name: "name", Type: s.String, Unique: true, Check: checkName}
)

func services() *s.Schema {
	return &s.Schema{
		Name: "services",
		Fields: []s.Field{
			idField, createdAt, updatedAt, nameField,
			{Name: "retries", Type: s.Integer, Default: 5, Between: []float64{0, 32767}},
			{Name: "protocol", Type: s.String, Default: "http", Required: true, OneOf: everyProtocol},
			{Name: "host", Type: s.String, Required: true, Check: checkHost},
			{Name: "port", Type: s.Integer, Default: 80, Required: true, Between: []float64{0, 65535}},
			{Name: "path", Type: s.String, Check: checkServicePath},
			timeout("connect_timeout"), timeout("write_timeout"), timeout("read_timeout"),
			tagsField,
			{Name: "client_certificate", Type: s.Foreign, Reference: "certificates", Check: noCertificate},
			{Name: "tls_verify", Type: s.Boolean},
			{Name: "tls_verify_depth", Type: s.Integer, Between: []float64{0, 64}},
			{Name: "ca_certificates", Type: s.Array, Elements: &s.Field{Type: s.String, UUID: true}},
			{Name: "enabled", Type: s.Boolean, Default: true, Required: true},
		},
		Shorthands:  []s.Shorthand{{Field: s.Field{Name: "url", Type: s.String}, Expand: expandURL}},
		CheckFields: checkService,
	}
}

// timeout is in milliseconds.
func timeout(name string) s.Field {
	return s.Field{Name: name, Type: s.Integer, Default: 60000, Between: []float64{1, 1<<31 - 2}}
}

// noCertificate stands until certificates are entities of the gateway.
func noCertificate(value any) error {
	id, _ := value.(map[string]any)["id"].(string)
	message := fmt.Sprintf("the foreign key '{id=%q}' does not reference an existing 'certificates' entity.", id)
	return errors.New(message)
}

// checkService holds what a service's protocol forbids.
func checkService(o map[string]any) s.Violations {
	protocol, _ := o["protocol"].(string)
	if protocol == "" {
		return nil
	}
	var forbidden []string
	if slices.Contains([]string{"tcp", "tls", "udp", "grpc", "grpcs"}, protocol) {
		forbidden = append(forbidden, "path")
	}
	if protocol != "https" && protocol != "tls" {
		forbidden = append(forbidden, "client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates")
	}
	bad := s.Violations{}
	for _, name := range forbidden {
		if o[name] != nil {
			bad[name] = "value must be null"
			whole, _ := bad["@entity"].([]string)
			bad["@entity"] = append(whole, "failed conditional validation given value of field 'protocol'")
		}
	}
	return bad
}

func routes() *s.Schema {
	text := func(check func(any) error) *s.Field { return &s.Field{Type: s.String, Check: check} }
	return &s.Schema{
		Name: "routes",
		Fields: []s.Field{
			idField, createdAt, updatedAt, nameField,
			{
				Name: "protocols", Type: s.Set, Required: true, Default: []string{"http", "https"}, LenMin: 1,
				Elements: text(nil), Check: checkProtocols,
			},
			{
				Name: "https_redirect_status_code", Type: s.Integer, Required: true, Default: 426,
				OneOf: []string{"426", "301", "302", "307", "308"},
			},
			{Name: "strip_path", Type: s.Boolean, Required: true, Default: true},
			{Name: "preserve_host", Type: s.Boolean, Required: true, Default: false},
			{Name: "request_buffering", Type: s.Boolean, Required: true, Default: true},
			{Name: "response_buffering", Type: s.Boolean, Required: true, Default: true},
			tagsField,
			{Name: "service", Type: s.Foreign, Reference: "services", By: "name", OnDelete: "restrict"},
			{Name: "snis", Type: s.Set, Elements: text(checkSNI)},
			{Name: "sources", Type: s.Set, Elements: addressPort()},
			{Name: "destinations", Type: s.Set, Elements: addressPort()},
			{Name: "methods", Type: s.Set, Elements: text(checkMethod)},
			{Name: "hosts", Type: s.Array, Elements: text(checkRouteHost)},
			{Name: "paths", Type: s.Array, Elements: text(checkRoutePath)},
			{
				Name: "headers", Type: s.Map, Keys: text(checkHeaderName),
				Values: &s.Field{Type: s.Array, Elements: text(nil)},
			},
			{Name: "regex_priority", Type: s.Integer, Default: 0},
			{Name: "path_handling", Type: s.String, Default: "v0", OneOf: []string{"v0", "v1"}},
		},
		Check:       checkRoute,
		CheckFields: checkRouteFields,
	}
}

func addressPort() *s.Field {
	return &s.Field{Type: s.Record, Fields: []s.Field{
		{Name: "ip", Type: s.String},
		{Name: "port", Type: s.Integer, Between: []float64{0, 65535}},
	}}
}

func consumers() *s.Schema {
	return &s.Schema{
		Name: "consumers",
		Fields: []s.Field{
			idField, createdAt, updatedAt,
			{Name: "username", Type: s.String, Unique: true},
			{Name: "custom_id", Type: s.String, Unique: true},
			tagsField,
		},
		Check: func(o map[string]any) []string {
			if o["username"] == nil && o["custom_id"] == nil {
				return []string{"at least one of these fields must be non-empty: 'custom_id', 'username'"}
			}
			return nil
		},
	}
}

func keyauths() *s.Schema {
	return &s.Schema{
		Name: "keyauth_credentials",
		Fields: []s.Field{
			idField, createdAt,
			{Name: "consumer", Type: s.Foreign, Reference: "consumers", By: "username", OnDelete: "cascade", Required: true},
			{Name: "key", Type: s.String, Unique: true, Auto: true},
			tagsField,
			{Name: "ttl", Type: s.Integer, Between: []float64{0, 100_000_000}}, // seconds that remain
		},
	}
}

// pluginSchema declares plugins; what depends on a plugin's name comes from the plugins that the
// node has enabled.
func pluginSchema(plugins []PluginSchema) *s.Schema {
	enabled := func(o map[string]any) *PluginSchema {
		for i := range plugins {
			if plugins[i].Enabled && plugins[i].Name == o["name"] {
				return &plugins[i]
			}
		}
		return nil
	}
	known := func(value any) error {
		if enabled(map[string]any{"name": value}) == nil {
			return fmt.Errorf("plugin '%s' not enabled; add it to the 'plugins' configuration property", value)
		}
		return nil
	}
	return &s.Schema{
		Name:   "plugins",
		Fields: pluginFields(known),
		Variant: func(o map[string]any) (string, *s.Schema) {
			p := enabled(o)
			if p == nil {
				return "config", nil
			}
			return "config", p.Config
		},
		DefaultOf: func(o map[string]any, field string) any {
			if p := enabled(o); field == "protocols" && p != nil && p.Protocols != nil {
				return p.Protocols
			}
			return nil
		},
		CheckFields: func(o map[string]any) s.Violations {
			if p := enabled(o); p != nil && p.NoConsumer && o["consumer"] != nil {
				return s.Violations{"consumer": "value must be null"}
			}
			return nil
		},
	}
}

func pluginFields(known func(any) error) []s.Field {
	scope := func(singular, by string) s.Field {
		return s.Field{Name: singular, Type: s.Foreign, Reference: singular + "s", By: by, OnDelete: "cascade"}
	}
	return []s.Field{
		idField,
		{Name: "name", Type: s.String, Required: true, Check: known},
		{Name: "instance_name", Type: s.String, Unique: true, Check: checkName},
		createdAt, updatedAt,
		scope("route", "name"), scope("service", "name"), scope("consumer", "username"),
		{Name: "config", Type: s.Record, Required: true},
		{
			Name: "protocols", Type: s.Set, Required: true, Default: httpProtocols,
			Elements: &s.Field{Type: s.String, OneOf: everyProtocol},
		},
		{Name: "enabled", Type: s.Boolean, Required: true, Default: true},
		tagsField,
	}
}
