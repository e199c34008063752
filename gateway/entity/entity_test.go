package entity_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// plugins are those of the recorded exchanges.
func plugins() []entity.PluginSchema {
	text := func(name string) schema.Field { return schema.Field{Name: name, Type: schema.String} }
	flag := func(name string, on bool) schema.Field {
		return schema.Field{Name: name, Type: schema.Boolean, Default: on}
	}
	return []entity.PluginSchema{
		{Name: "key-auth", Enabled: true, NoConsumer: true, Config: &schema.Schema{Fields: []schema.Field{
			{Name: "key_names", Type: schema.Array, Default: []string{"apikey"}, Elements: &schema.Field{Type: schema.String}},
			flag("hide_credentials", false), text("anonymous"), flag("key_in_header", true),
			flag("key_in_query", true), flag("key_in_body", false), flag("run_on_preflight", true), text("realm"),
		}}},
		{Name: "correlation-id", Enabled: true, Config: &schema.Schema{Fields: []schema.Field{
			{Name: "header_name", Type: schema.String, Default: "Kong-Request-ID"},
			{Name: "generator", Type: schema.String, Default: "uuid#counter", Required: true},
			flag("echo_downstream", false),
		}}},
		{Name: "request-termination", Enabled: true, Config: &schema.Schema{
			Fields: []schema.Field{
				{Name: "status_code", Type: schema.Integer, Default: 503, Between: []float64{100, 599}},
				text("message"), text("content_type"), text("body"), flag("echo", false), text("trigger"),
			},
			Check: func(o map[string]any) []string {
				if o["message"] != nil && (o["content_type"] != nil || o["body"] != nil) {
					return []string{"message cannot be used with content_type or body"}
				}
				return nil
			},
		}},
		{Name: "installed-but-off"},
	}
}

// TestExchanges holds the declarations against what a Kong 3.8.1 answered.
func TestExchanges(t *testing.T) {
	file, err := os.Open("testdata/exchanges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	catalog := entity.NewCatalog(plugins())
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var x struct {
			Name, Kind   string
			Sent, Stored map[string]any
			Message      string
			Fields       any
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		t.Run(x.Name, func(t *testing.T) {
			const parent = "11111111-1111-4111-8111-111111111111"
			if x.Kind == "keyauth_credentials" && x.Fields == nil {
				x.Sent["consumer"] = map[string]any{"id": parent}
			}
			if m, _ := x.Fields.(map[string]any); x.Kind == "keyauth_credentials" && m["consumer"] == nil {
				x.Sent["consumer"] = map[string]any{"id": parent}
			}
			got, bad := catalog.Kind(x.Kind).Schema.Process(x.Sent, schema.Insert)
			if x.Stored == nil {
				if bad == nil || bad.Error() != x.Message {
					t.Fatalf("got %v %v, want %s", got, bad, x.Message)
				}
				if fields := plain(t, bad); !reflect.DeepEqual(fields, x.Fields) {
					t.Errorf("fields %v, want %v", fields, x.Fields)
				}
				return
			}
			if bad != nil {
				t.Fatalf("refused: %v", bad)
			}
			stored := plain(t, got).(map[string]any)
			for _, name := range []string{"id", "created_at", "updated_at", "service", "route", "consumer"} {
				delete(stored, name)
				delete(x.Stored, name)
			}
			if x.Sent["key"] == nil {
				delete(stored, "key")
				delete(x.Stored, "key")
			}
			if !reflect.DeepEqual(stored, x.Stored) {
				t.Errorf("stored\n%v, want\n%v", stored, x.Stored)
			}
		})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// plain is v after a way over the wire.
func plain(t *testing.T, v any) any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestInvalidations(t *testing.T) {
	const core, cache = entity.ChannelCore, entity.ChannelCache
	id := func(v string) map[string]any { return map[string]any{"id": v} }
	service := entity.Object{"id": "s1", "name": "a"}
	route := entity.Object{"id": "r1"}
	consumer := entity.Object{"id": "c1", "username": "ann"}
	renamed := entity.Object{"id": "c1", "username": "bea"}
	nameless := entity.Object{"id": "c1", "username": nil, "custom_id": "x"}
	key := entity.Object{"id": "k", "key": "one", "consumer": id("c1")}
	rekeyed := entity.Object{"id": "k", "key": "two", "consumer": id("c1")}
	plugin := entity.Object{"id": "p", "name": "key-auth", "service": id("s1"), "route": nil, "consumer": nil}
	moved := entity.Object{"id": "p", "name": "key-auth", "service": nil, "route": id("r1"), "consumer": nil}
	serviceKey := entity.Invalidation{Channel: core, Key: "services:s1:::::ws"}
	routeKey := entity.Invalidation{Channel: core, Key: "routes:r1:::::ws"}
	router := entity.Invalidation{Channel: core, Key: "router:version"}
	pluginKey := entity.Invalidation{Channel: core, Key: "plugins:key-auth::s1:::ws"}
	movedKey := entity.Invalidation{Channel: core, Key: "plugins:key-auth:r1::::ws"}
	iterator := entity.Invalidation{Channel: core, Key: "plugins_iterator:version"}
	byID := entity.Invalidation{Channel: cache, Key: "consumers:c1:::::ws"}
	ann := entity.Invalidation{Channel: cache, Key: "consumers:ann:::::ws"}
	bea := entity.Invalidation{Channel: cache, Key: "consumers:bea:::::ws"}
	one := entity.Invalidation{Channel: cache, Key: "keyauth_credentials:one:::::ws"}
	two := entity.Invalidation{Channel: cache, Key: "keyauth_credentials:two:::::ws"}

	for _, rule := range []struct {
		says     string
		kind     string
		old, new entity.Object
		want     []entity.Invalidation
		defects  entity.Defects
	}{
		{"a new service has no route yet", "services", nil, service, []entity.Invalidation{serviceKey}, entity.Defects{}},
		{"a changed service changes the router", "services", service, service, []entity.Invalidation{serviceKey, router}, entity.Defects{}},
		{"a deleted service had no route left", "services", service, nil, []entity.Invalidation{serviceKey}, entity.Defects{}},
		{"a new route", "routes", nil, route, []entity.Invalidation{routeKey, router}, entity.Defects{}},
		{"a changed route", "routes", route, route, []entity.Invalidation{routeKey, router}, entity.Defects{}},
		{"a deleted route", "routes", route, nil, []entity.Invalidation{routeKey, router}, entity.Defects{}},
		{"a new plugin", "plugins", nil, plugin, []entity.Invalidation{pluginKey, iterator}, entity.Defects{}},
		{"a plugin that moved", "plugins", plugin, moved, []entity.Invalidation{movedKey, pluginKey, iterator}, entity.Defects{}},
		{"a deleted plugin", "plugins", moved, nil, []entity.Invalidation{movedKey, iterator}, entity.Defects{}},
		{"a new consumer, by id and name", "consumers", nil, consumer, []entity.Invalidation{byID, ann}, entity.Defects{}},
		{"a consumer without a name", "consumers", nil, nameless, []entity.Invalidation{byID}, entity.Defects{}},
		{"a renamed consumer", "consumers", consumer, renamed, []entity.Invalidation{byID, ann, bea}, entity.Defects{}},
		{"a consumer that lost its name", "consumers", consumer, nameless, []entity.Invalidation{byID, ann}, entity.Defects{}},
		{"a deleted consumer", "consumers", renamed, nil, []entity.Invalidation{byID, bea}, entity.Defects{}},
		{"a new key drops its miss", "keyauth_credentials", nil, key, []entity.Invalidation{one}, entity.Defects{}},
		{"a changed key, new before old", "keyauth_credentials", key, rekeyed, []entity.Invalidation{two, one}, entity.Defects{}},
		{"an unchanged key comes once", "keyauth_credentials", key, key, []entity.Invalidation{one}, entity.Defects{}},
		{"a deleted key", "keyauth_credentials", rekeyed, nil, []entity.Invalidation{two}, entity.Defects{}},
		{"nothing became nothing", "routes", nil, nil, nil, entity.Defects{}},
		{"defect: only the new key", "keyauth_credentials", key, rekeyed, []entity.Invalidation{two}, entity.Defects{PatchNewKeyOnly: true}},
		{"defect: only the new key, but a deletion works", "keyauth_credentials", key, nil, []entity.Invalidation{one}, entity.Defects{PatchNewKeyOnly: true}},
		{"defect: only the new key, but the router is told of a change", "services", service, service, []entity.Invalidation{serviceKey, router}, entity.Defects{PatchNewKeyOnly: true}},
		{"defect: misses stay", "keyauth_credentials", nil, key, nil, entity.Defects{KeepMisses: true}},
		{"defect: misses stay, but routes are served", "routes", nil, route, []entity.Invalidation{routeKey, router}, entity.Defects{KeepMisses: true}},
	} {
		catalog := entity.NewCatalog(plugins())
		catalog.Break(rule.defects)
		got := catalog.Kind(rule.kind).Invalidations(rule.old, rule.new, "ws")
		if !slices.Equal(got, rule.want) {
			t.Errorf("%s: got %v, want %v", rule.says, got, rule.want)
		}
	}
}

func TestKinds(t *testing.T) {
	catalog := entity.NewCatalog(nil)
	seen := map[string]bool{}
	for _, k := range catalog.Kinds() {
		for _, ref := range k.References() {
			if f, parent := k.Schema.Field(ref.Field), catalog.Kind(ref.Kind); parent != nil && f.By != parent.EndpointKey {
				t.Errorf("%s names its %s by %q, which is addressed by %q", k.Name, ref.Kind, f.By, parent.EndpointKey)
			}
			if !seen[ref.Kind] {
				t.Errorf("%s comes before its parent %s", k.Name, ref.Kind)
			}
		}
		seen[k.Name] = true
		if k.Schema.Field(k.EndpointKey) == nil {
			t.Errorf("%s is addressed by %s, which it does not have", k.Name, k.EndpointKey)
		}
		for _, unique := range k.Unique {
			for _, field := range unique {
				if k.Schema.Field(field) == nil {
					t.Errorf("%s is unique by %s, which it does not have", k.Name, field)
				}
			}
		}
	}
	if got := slices.Sorted(maps.Keys(seen)); len(got) != 5 {
		t.Errorf("kinds %v", got)
	}
}

func TestKeyOf(t *testing.T) {
	for _, rule := range []struct {
		kind, param string
		want        entity.Key
		refused     string
	}{
		{"services", "test-service", entity.Key{Field: "name", Value: "test-service"}, ""},
		{"services", "6E3AC1F9-4a6e-4a16-9e1c-0a2a6ea0b0a1", entity.Key{Field: "id", Value: "6e3ac1f9-4a6e-4a16-9e1c-0a2a6ea0b0a1"}, ""},
		{"services", "サービス", entity.Key{Field: "name", Value: "サービス"}, ""},
		{"services", "no such", entity.Key{Field: "name", Value: "no such"}, "invalid value 'no such': the only accepted ascii characters are alphanumerics or ., -, _, and ~"},
		{"consumers", "no such", entity.Key{Field: "username", Value: "no such"}, ""},
		{"consumers", "a\x00b", entity.Key{Field: "username", Value: "a\x00b"}, "expected valid utf-8 without NUL"},
		{"plugins", "my-inst", entity.Key{Field: "instance_name", Value: "my-inst"}, ""},
		{"keyauth_credentials", "alicekey", entity.Key{Field: "key", Value: "alicekey"}, ""},
	} {
		k := entity.NewCatalog(nil).Kind(rule.kind)
		got := k.KeyOf(rule.param)
		if got != rule.want {
			t.Errorf("%s %q: got %v, want %v", rule.kind, rule.param, got, rule.want)
		}
		message := ""
		if err := k.CheckKey(got); err != nil {
			message = err.Error()
		}
		if message != rule.refused {
			t.Errorf("%s %q: refused with %q, want %q", rule.kind, rule.param, message, rule.refused)
		}
	}
}
