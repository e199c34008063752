package entity_test

import (
	"encoding/json"
	"testing"

	"tidemark/gateway/entity"
	"tidemark/gateway/schema"
)

// TestFieldRules sends one field beside what an entity needs, and wants one message; "" is none.
func TestFieldRules(t *testing.T) {
	base := map[string]map[string]any{
		"services":            {"host": "a.test"},
		"routes":              {"paths": []any{"/x"}},
		"consumers":           {"username": "ann"},
		"plugins":             {"name": "request-termination"},
		"keyauth_credentials": {"consumer": map[string]any{"id": "11111111-1111-4111-8111-111111111111"}},
	}
	for _, rule := range []struct {
		kind, field string
		sent        any
		want        string
	}{
		{"services", "host", "1.2.3.4", ""},
		{"services", "host", "::1", ""},
		{"services", "host", "[::1]", ""},
		{"services", "host", "[::1]:80", "host: must not have a port"},
		{"services", "host", "under_score.test.", ""},
		{"services", "host", "ends-.test", "host: invalid value: ends-.test"},
		{"services", "host", "a..test", "host: invalid value: a..test"},
		{"services", "host", "a.test:99999", "host: invalid value: a.test:99999"},
		{"services", "host", 5.0, "host: expected a string"},
		{"services", "port", 80.0, ""},
		{"services", "port", json.Number("8e1"), ""},
		{"services", "port", "80", "port: expected an integer"},
		{"services", "port", 1e300, "port: expected an integer"},
		{"services", "port", nil, "port: required field missing"},
		{"services", "retries", nil, ""},
		{"services", "connect_timeout", 0.0, "connect_timeout: value should be between 1 and 2147483646"},
		{"services", "enabled", "true", "enabled: expected a boolean"},
		{"services", "path", "/a//b", "path: must not have empty segments"},
		{"services", "path", "/a b", "path: invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)"},
		{"services", "path", "/a%2", "path: invalid url-encoded value: '%2'"},
		{"services", "path", "/a%2f", ""},
		{"services", "name", "a\x00", "name: expected valid utf-8 without NUL"},
		{"services", "name", "a\xff", "name: expected valid utf-8 without NUL"},
		{"services", "tags", []any{"a", nil}, "tags.2: required field missing"},
		{"services", "tags", map[string]any{}, "tags: expected a set"},
		{"services", "created_at", 0.0, "created_at: expected a valid timestamp"},
		{"services", "created_at", 1e15, "created_at: expected a valid timestamp"},
		{"services", "id", "abc", "id: expected a valid UUID"},
		{"services", "tls_verify_depth", 3.0, "failed conditional validation given value of field 'protocol'; tls_verify_depth: value must be null"},
		{"services", "ca_certificates", []any{"x"}, "ca_certificates.1: expected a valid UUID"},
		{"services", "client_certificate", map[string]any{"id": "22222222-2222-4222-8222-222222222222"}, "client_certificate: the foreign key '{id=\"22222222-2222-4222-8222-222222222222\"}' does not reference an existing 'certificates' entity."},
		{"services", "url", 5.0, "url: expected a string"},
		{"services", "url", nil, ""},

		{"routes", "paths", []any{"/a/../b"}, "paths.1: non-normalized path, consider use '/b' instead"},
		{"routes", "paths", []any{"/ok", "/%41"}, "paths.2: non-normalized path, consider use '/A' instead"},
		{"routes", "paths", []any{"~/a//b"}, ""},
		{"routes", "paths", []any{"~/("}, "Router Expression failed validation: error parsing regexp: missing closing ): `/(`"},
		{"routes", "paths", []any{}, "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"},
		{"routes", "hosts", []any{"*.a.test", "a.*"}, ""},
		{"routes", "hosts", []any{"a.*.test"}, "hosts.1: invalid wildcard: must be placed at leftmost or rightmost label"},
		{"routes", "hosts", []any{"*.*"}, "hosts.1: invalid wildcard: must have at most one wildcard"},
		{"routes", "methods", []any{"get"}, "methods.1: invalid value: get"},
		{"routes", "headers", map[string]any{"a b": []any{"x"}}, "headers: header name 'a b' is invalid, allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
		{"routes", "headers", map[string]any{"a": []any{5.0}}, "headers.1: expected a string"},
		{"routes", "snis", []any{"1.2.3.4"}, "snis.1: must not be an IP"},
		{"routes", "protocols", []any{}, "protocols: length must be at least 1"},
		{"routes", "protocols", nil, "protocols: required field missing"},
		{"routes", "https_redirect_status_code", 303.0, "https_redirect_status_code: expected one of: 426, 301, 302, 307, 308"},
		{"routes", "https_redirect_status_code", 301.0, ""},
		{"routes", "service", map[string]any{"name": "svc"}, ""},
		{"routes", "service", map[string]any{"foo": "svc"}, "service.id: missing primary key"},
		{"routes", "service", map[string]any{"name": "a\x00"}, "service.name: expected valid utf-8 without NUL"},
		{"plugins", "consumer", map[string]any{"username": "ann"}, ""},
		{"routes", "service", map[string]any{}, "service.id: missing primary key"},
		{"routes", "service", "svc", "service.id: missing primary key"},
		{"routes", "service", map[string]any{"id": nil}, "service.id: required field missing"},
		{"routes", "service", nil, ""},

		{"consumers", "username", nil, "at least one of these fields must be non-empty: 'custom_id', 'username'"},
		{"plugins", "name", "installed-but-off", "name: plugin 'installed-but-off' not enabled; add it to the 'plugins' configuration property"},
		{"plugins", "name", 5.0, "name: expected a string"},
		{"plugins", "config", nil, ""},
		{"plugins", "config", map[string]any{"status_code": 99.0}, "config.status_code: value should be between 100 and 599"},
		{"plugins", "protocols", []any{"ftp"}, "protocols.1: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp"},
		{"keyauth_credentials", "ttl", -1.0, "ttl: value should be between 0 and 100000000"},
		{"keyauth_credentials", "ttl", "x", "ttl: expected an integer"},
	} {
		sent := map[string]any{}
		for name, v := range base[rule.kind] {
			sent[name] = v
		}
		sent[rule.field] = rule.sent
		_, bad := entity.NewCatalog(plugins()).Kind(rule.kind).Schema.Process(sent, schema.Upsert)
		got := ""
		if bad != nil {
			got = bad.Error()
		}
		want := rule.want
		if want != "" && len(bad) == 1 {
			want = "schema violation (" + want + ")"
		} else if want != "" {
			want = "2 schema violations (" + want + ")"
		}
		if got != want {
			t.Errorf("%s %s %v: got %q, want %q", rule.kind, rule.field, rule.sent, got, want)
		}
	}
}

func TestAConsumerKeepsOneNameWhenUpdated(t *testing.T) {
	_, bad := entity.NewCatalog(nil).Kind("consumers").Schema.Process(map[string]any{"id": "11111111-1111-4111-8111-111111111111", "username": nil, "custom_id": nil}, schema.Update)
	const want = "schema violation (when updating, at least one of these fields must be non-empty: 'custom_id', 'username')"
	if bad == nil || bad.Error() != want {
		t.Errorf("got %v, want %s", bad, want)
	}
}

func TestKeyAuthIsForbiddenAConsumer(t *testing.T) {
	sent := map[string]any{"name": "key-auth", "consumer": map[string]any{"id": "11111111-1111-4111-8111-111111111111"}}
	_, bad := entity.NewCatalog(plugins()).Kind("plugins").Schema.Process(sent, schema.Insert)
	if want := "schema violation (consumer: value must be null)"; bad == nil || bad.Error() != want {
		t.Errorf("got %v, want %s", bad, want)
	}
}

func TestURLStandsForFourFields(t *testing.T) {
	for _, rule := range []struct {
		url                  string
		protocol, host, path any
		port                 int64
		refused              bool
	}{
		{"http://example.com", "http", "example.com", nil, 80, false},
		{"https://example.com/", "https", "example.com", "/", 443, false},
		{"http://127.0.0.1:19080/base?q#f", "http", "127.0.0.1", "/base", 19080, false},
		{"http://u:p@a.test/x", "http", "a.test", "/x", 80, false},
		{"http://[::1]:9/x", "http", "::1", "/x", 9, false},
		{"tcp://a.test", "tcp", "a.test", nil, 80, false},
		{"http://a.test?x=/y", "http", "a.test", nil, 80, false},
		{"//a.test/x", "http", "a.test", "/x", 80, false},
		{"http://a.test:x", "", nil, nil, 0, true},
		{"http://", "", nil, nil, 0, true},
		{"not a url", "", nil, nil, 0, true},
		{"%zz://", "", nil, nil, 0, true},
	} {
		got, bad := entity.NewCatalog(nil).Kind("services").Schema.Process(map[string]any{"url": rule.url, "port": 7}, schema.Insert)
		if rule.refused {
			if bad == nil {
				t.Errorf("%q: taken as %v", rule.url, got)
			}
			continue
		}
		if rule.url == "tcp://a.test" || rule.url == "//a.test/x" { // no port of their own: the one that was sent stays
			rule.port = 7
		}
		if bad != nil || got["protocol"] != rule.protocol || got["host"] != rule.host || got["path"] != rule.path || got["port"] != rule.port {
			t.Errorf("%q: got %v %v", rule.url, got, bad)
		}
		if _, there := got["url"]; there {
			t.Errorf("%q: the shorthand was stored", rule.url)
		}
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a/", "/a//b": "/a/b", "/a/./b": "/a/b", "/a/../b": "/b", "/../a": "/a",
		"/a/..": "/", "/a/b/..": "/a/", "/%41%2f%7e": "/A%2F~", "/a%": "/a%", "/a%2": "/a%2", "/%zz": "/%zz",
		"/a/.": "/a/", "/%2e%2e/a": "/a", "": "/", "/é": "/é",
	} {
		if got := entity.Normalize(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestViews(t *testing.T) {
	catalog := entity.NewCatalog(plugins())
	process := func(kind string, in map[string]any) entity.Object {
		out, bad := catalog.Kind(kind).Schema.Process(in, schema.Insert)
		if bad != nil {
			t.Fatal(bad)
		}
		return out
	}
	const id = "11111111-1111-4111-8111-111111111111"
	service, err := entity.ServiceOf(process("services", map[string]any{"url": "http://a.test:81/p", "retries": nil}))
	if err != nil || service.Host != "a.test" || service.Port != 81 || service.Path != "/p" || service.Retries != 5 || service.ReadTimeout.Seconds() != 60 || !service.Enabled {
		t.Errorf("service %+v %v", service, err)
	}
	route, err := entity.RouteOf(process("routes", map[string]any{"paths": []any{"/a"}, "headers": map[string]any{"X": []any{"1"}}, "service": map[string]any{"id": id}}))
	if err != nil || len(route.Paths) != 1 || route.Headers["X"][0] != "1" || !route.StripPath || route.ServiceID != id || route.CreatedAt.IsZero() {
		t.Errorf("route %+v %v", route, err)
	}
	plugin, err := entity.PluginOf(process("plugins", map[string]any{"name": "request-termination", "route": map[string]any{"id": id}}))
	if err != nil || plugin.RouteID != id || plugin.Config["status_code"] != int64(503) || len(plugin.Protocols) != 4 {
		t.Errorf("plugin %+v %v", plugin, err)
	}
	key, err := entity.KeyAuthOf(process("keyauth_credentials", map[string]any{"consumer": map[string]any{"id": id}, "ttl": 5}))
	if err != nil || len(key.Key) != 32 || key.ConsumerID != id || key.Expires.IsZero() {
		t.Errorf("key %+v %v", key, err)
	}
	consumer, err := entity.ConsumerOf(process("consumers", map[string]any{"username": "ann"}))
	if err != nil || consumer.Username != "ann" || consumer.ID == "" {
		t.Errorf("consumer %+v %v", consumer, err)
	}
	if _, err := entity.ServiceOf(entity.Object{"id": id, "port": "x"}); err == nil {
		t.Error("a service whose port is text was decoded")
	}
}

// FuzzProcess: whatever a client sends, no entity panics, and what is taken is taken again.
func FuzzProcess(f *testing.F) {
	for _, seed := range []string{
		`{"host":"a","url":"http://x:y"}`, `{"paths":[["~/("],{}],"protocols":{"a":1}}`, `{"name":[],"config":{"a":[{}]}}`,
		`{"service":[],"consumer":5,"route":{"id":[]}}`, `{"headers":{"a":{"b":null}},"tags":[[]]}`, `{"sources":[{"ip":5},{"port":-1}]}`,
	} {
		f.Add(seed)
	}
	catalog := entity.NewCatalog(plugins())
	f.Fuzz(func(t *testing.T, body string) {
		var sent map[string]any
		if json.Unmarshal([]byte(body), &sent) != nil {
			return
		}
		for _, k := range catalog.Kinds() {
			got, bad := k.Schema.Process(k.Schema.Coerce(sent), schema.Insert)
			if bad != nil {
				_ = bad.Error()
				continue
			}
			if _, bad := k.Schema.Process(got, schema.Update); bad != nil {
				t.Errorf("%s: %s was taken, then refused: %v", k.Name, body, bad)
			}
		}
	})
}
