package keyauth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

// A store knows some keys and consumers.
type store struct {
	keys      map[string]entity.KeyAuth
	consumers map[string]entity.Consumer
	err       error
}

func (s store) Credential(_ context.Context, key string) (*entity.KeyAuth, error) {
	k, ok := s.keys[key]
	if !ok || s.err != nil {
		return nil, s.err
	}
	return &k, nil
}

func (s store) Consumer(_ context.Context, id string) (*entity.Consumer, error) {
	c, ok := s.consumers[id]
	if !ok || s.err != nil {
		return nil, s.err
	}
	return &c, nil
}

func known() store {
	return store{
		keys: map[string]entity.KeyAuth{
			"k1":   {ID: "cred1", Key: "k1", ConsumerID: "alice"},
			"old":  {ID: "cred2", Key: "old", ConsumerID: "alice", Expires: time.Now().Add(-time.Second)},
			"soon": {ID: "cred3", Key: "soon", ConsumerID: "alice", Expires: time.Now().Add(time.Hour)},
			"lost": {ID: "cred4", Key: "lost", ConsumerID: "deleted"},
		},
		consumers: map[string]entity.Consumer{
			"alice": {ID: "alice", Username: "alice", CustomID: "c-alice"},
			"anon":  {ID: "anon-id", Username: "anon"},
		},
	}
}

// instance makes one as the Admin API would: defaults filled.
func instance(t *testing.T, s store, config map[string]any) plugin.Handler {
	t.Helper()
	p := New(s)
	filled, bad := p.Config().Process(config, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	h, err := p.New(filled)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func exchange(method, target, body string, headers ...string) *plugin.Exchange {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	u := *r.URL
	return &plugin.Exchange{Client: r, Upstream: &http.Request{Header: r.Header.Clone(), URL: &u, Body: r.Body, ContentLength: r.ContentLength}}
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json; charset=utf-8"
)

func TestAccess(t *testing.T) {
	inBody := map[string]any{"key_in_body": true}
	anonymous := map[string]any{"anonymous": "anon"}
	for _, c := range []struct {
		name    string
		config  map[string]any
		x       *plugin.Exchange
		refused string // the message; empty: it passes
		caller  string // the consumer's username
	}{
		{"no key", nil, exchange("GET", "/", ""), "No API key found in request", ""},
		{"a good key in the header", nil, exchange("GET", "/", "", "apikey", "k1"), "", "alice"},
		{"a good key in the query", nil, exchange("GET", "/?apikey=k1", ""), "", "alice"},
		{"an encoded key in the query", nil, exchange("GET", "/?api%6bey=%6b1", ""), "", "alice"},
		{"the header counts before the query", nil, exchange("GET", "/?apikey=bad", "", "apikey", "k1"), "", "alice"},
		{"a key that nobody has", nil, exchange("GET", "/", "", "apikey", "zzz"), "Unauthorized", ""},
		{"an empty key", nil, exchange("GET", "/", "", "apikey", ""), "No API key found in request", ""},
		{"a key twice in the query", nil, exchange("GET", "/?apikey=k1&apikey=k2", ""), "Duplicate API key found", ""},
		{"a key twice in the header", nil, exchange("GET", "/", "", "apikey", "k1", "apikey", "k1"), "Duplicate API key found", ""},
		{"a key that has expired", nil, exchange("GET", "/", "", "apikey", "old"), "Unauthorized", ""},
		{"a key that will expire", nil, exchange("GET", "/", "", "apikey", "soon"), "", "alice"},
		{"a key whose consumer is gone", nil, exchange("GET", "/", "", "apikey", "lost"), "Unauthorized", ""},
		{"a key under another name", map[string]any{"key_names": []any{"x-key", "apikey"}}, exchange("GET", "/", "", "X-Key", "k1"), "", "alice"},
		{"a key where it is not looked for", map[string]any{"key_in_header": false, "key_in_query": false}, exchange("GET", "/?apikey=k1", "", "apikey", "k1"), "No API key found in request", ""},
		{"a key in the body, not looked for", nil, exchange("POST", "/", "apikey=k1", "Content-Type", formType), "No API key found in request", ""},
		{"a key in a form", inBody, exchange("POST", "/", "a=b&apikey=k1", "Content-Type", formType), "", "alice"},
		{"a key in JSON", inBody, exchange("POST", "/", `{"apikey":"k1"}`, "Content-Type", jsonType), "", "alice"},
		{"a list of keys in JSON", inBody, exchange("POST", "/", `{"apikey":["k1"]}`, "Content-Type", jsonType), "Duplicate API key found", ""},
		{"a number for a key", inBody, exchange("POST", "/", `{"apikey":1}`, "Content-Type", jsonType), "No API key found in request", ""},
		{"broken JSON", inBody, exchange("POST", "/", `{"apikey":`, "Content-Type", jsonType), "No API key found in request", ""},
		{"a body of another type", inBody, exchange("POST", "/", `apikey=k1`, "Content-Type", "text/plain"), "No API key found in request", ""},
		{"a preflight", nil, exchange("OPTIONS", "/", ""), "No API key found in request", ""},
		{"a preflight that is let pass", map[string]any{"run_on_preflight": false}, exchange("OPTIONS", "/", ""), "", ""},
		{"anonymous without a key", anonymous, exchange("GET", "/", ""), "", "anon"},
		{"anonymous with a bad key", anonymous, exchange("GET", "/", "", "apikey", "zzz"), "", "anon"},
		{"anonymous with a good key", anonymous, exchange("GET", "/", "", "apikey", "k1"), "", "alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := instance(t, known(), c.config).Access(c.x)
			if err != nil {
				t.Fatal(err)
			}
			if got := message(a); got != c.refused {
				t.Errorf("refused %q, want %q", got, c.refused)
			}
			if a != nil && (a.Status != 401 || a.Header.Get("WWW-Authenticate") != "Key") {
				t.Errorf("%d %v", a.Status, a.Header)
			}
			caller := ""
			if c.x.Consumer != nil {
				caller = c.x.Consumer.Username
			}
			if caller != c.caller || c.x.Upstream.Header.Get("X-Consumer-Username") != c.caller {
				t.Errorf("caller %q, %v, want %q", caller, c.x.Upstream.Header, c.caller)
			}
			if anon := c.x.Upstream.Header.Get("X-Anonymous-Consumer"); (anon == "true") != (c.caller == "anon") {
				t.Errorf("X-Anonymous-Consumer: %q", anon)
			}
		})
	}
}

func message(a *plugin.Answer) string {
	if a == nil {
		return ""
	}
	return a.Message
}

func TestRealm(t *testing.T) {
	a, _ := instance(t, known(), map[string]any{"realm": "here"}).Access(exchange("GET", "/", ""))
	if got := a.Header.Get("WWW-Authenticate"); got != `Key realm="here"` {
		t.Errorf("challenge %q", got)
	}
}

func TestALookupThatFailsLetsNobodyIn(t *testing.T) {
	s := known()
	s.err = errors.New("database away")
	for _, config := range []map[string]any{nil, {"anonymous": "anon"}} {
		if _, err := instance(t, s, config).Access(exchange("GET", "/", "", "apikey", "k1")); !errors.Is(err, s.err) {
			t.Errorf("%v: error %v", config, err)
		}
	}
	if _, err := instance(t, known(), map[string]any{"anonymous": "nobody"}).Access(exchange("GET", "/", "")); err == nil {
		t.Error("an anonymous consumer that does not exist lets everybody in")
	}
}

func TestHideCredentials(t *testing.T) {
	hide := map[string]any{"hide_credentials": true, "key_in_body": true}
	for _, c := range []struct {
		name        string
		x           *plugin.Exchange
		query, body string
	}{
		{"header", exchange("GET", "/?z=1", "", "apikey", "k1"), "z=1", ""},
		{"query", exchange("GET", "/?apikey=k1&z=1&y=%20", ""), "z=1&y=%20", ""},
		{"form", exchange("POST", "/?z=1", "apikey=k1&a=%20b", "Content-Type", formType), "z=1", "a=%20b"},
		{"json", exchange("POST", "/", `{"apikey":"k1","n":12345678901234567890}`, "Content-Type", jsonType), "", `{"n":12345678901234567890}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a, err := instance(t, known(), hide).Access(c.x); a != nil || err != nil {
				t.Fatal(a, err)
			}
			b, _ := io.ReadAll(c.x.Upstream.Body)
			if c.x.Upstream.Header.Get("apikey") != "" || c.x.Upstream.URL.RawQuery != c.query || string(b) != c.body {
				t.Errorf("%v %q %q", c.x.Upstream.Header, c.x.Upstream.URL.RawQuery, b)
			}
			if n := c.x.Upstream.ContentLength; n != int64(len(b)) {
				t.Errorf("length %d of %d", n, len(b))
			}
		})
	}
}

func TestABodyIsLeftForTheService(t *testing.T) {
	x := exchange("POST", "/", `{"apikey":"k1"}`, "Content-Type", jsonType)
	if a, err := instance(t, known(), map[string]any{"key_in_body": true}).Access(x); a != nil || err != nil {
		t.Fatal(a, err)
	}
	if b, _ := io.ReadAll(x.Upstream.Body); string(b) != `{"apikey":"k1"}` {
		t.Errorf("body %q", b)
	}
}

func TestAnotherPluginMayKnowTheCaller(t *testing.T) {
	x := exchange("GET", "/", "")
	x.Authenticate(&entity.Consumer{ID: "bob"}, "other")
	if a, err := instance(t, known(), map[string]any{"anonymous": "anon"}).Access(x); a != nil || err != nil || x.Consumer.ID != "bob" {
		t.Errorf("%v %v %v", a, err, x.Consumer)
	}
}

func TestConfig(t *testing.T) {
	s := New(nil).Config()
	filled, bad := s.Process(map[string]any{}, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	for name, want := range map[string]any{
		"hide_credentials": false, "anonymous": nil, "key_in_header": true, "key_in_query": true, "key_in_body": false, "run_on_preflight": true, "realm": nil,
	} {
		if got, there := filled[name]; got != want || !there {
			t.Errorf("%s: %v", name, got)
		}
	}
	if names, _ := filled["key_names"].([]any); len(names) != 1 || names[0] != "apikey" {
		t.Errorf("key_names: %v", filled["key_names"])
	}
	if _, bad := s.Process(map[string]any{"key_names": []any{"a b"}}, schema.Insert); bad == nil {
		t.Error("a header name with a blank was accepted")
	}
}
