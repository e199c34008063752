package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCache(t *testing.T) {
	f := newFixture(t)
	f.cache.values = map[string]any{
		"services:1:::::ws": map[string]any{"id": "1", "host": "a", "path": nil},
		"keyauth:x":         nil,
		"router:version":    "v1",
		"a%2Fb":             true,
		"typed":             struct{ Name string }{"n"},
		"list":              []string{"a"},
	}
	for request, want := range map[string]string{
		"GET /cache/services:1:::::ws": `200 {"host":"a","id":"1"}`,
		"GET /cache/keyauth:x":         `200 {}`,
		"GET /cache/router:version":    `200 {"message":"v1"}`,
		"GET /cache/a%2Fb":             `200 {"message":true}`,
		"GET /cache/a/b":               `404 {"message":"Not found"}`,
		"GET /cache/services:1":        `404 {"message":"Not found"}`,
		"GET /cache/typed":             `200 {"Name":"n"}`,
		"GET /cache/list":              `200 {"message":["a"]}`,
	} {
		w := f.ask(request)
		if got := strings.TrimSpace(strings.Join([]string{status(w), w.Body.String()}, " ")); got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	f.must(t, 204, "DELETE /cache/router:version")
	f.must(t, 204, "DELETE /cache/unknown")
	f.must(t, 404, "GET /cache/router:version")
	f.must(t, 200, "GET /cache/keyauth:x")
	f.must(t, 204, "DELETE /cache")
	f.must(t, 404, "GET /cache/keyauth:x")
	if f.purge != 1 {
		t.Errorf("%d purges of the node, want 1", f.purge)
	}
}

func status(w *httptest.ResponseRecorder) string {
	return strings.Fields(w.Result().Status)[0]
}

func TestPanicIsAnAnswer(t *testing.T) {
	var logged bytes.Buffer
	p := newPlane(slog.New(slog.NewTextHandler(&logged, nil)), 0)
	p.root.handle("GET", "/panic", func(*call) (answer, error) { panic("oh") })
	p.root.handle("GET", "/encode", func(*call) (answer, error) { return ok(map[string]any{"f": func() {}}), nil })
	for path, word := range map[string]string{"/panic": "oh", "/encode": "unsupported type"} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 500 || w.Body.String() != `{"message":"An unexpected error occurred"}` {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if !strings.Contains(logged.String(), word) {
			t.Errorf("%s: log %q lacks %q", path, logged.String(), word)
		}
	}
}

func TestInfo(t *testing.T) {
	f := newFixture(t)
	f.id(t, `POST /plugins {"name":"key-auth"}`)
	f.plane = New(Options{
		Catalog: f.store.catalog, Store: f.store, Cache: f.cache,
		Info: func(context.Context) (map[string]any, error) {
			return map[string]any{
				"node_id":       "n1",
				"configuration": map[string]any{"database": "postgres"},
				"plugins":       map[string]any{"available_on_server": map[string]any{"key-auth": true}},
			}, nil
		},
	}).(*plane)
	o := f.must(t, 200, "GET /")
	plugins := o["plugins"].(map[string]any)
	enabled := plugins["enabled_in_cluster"].([]any)
	if o["version"] != "3.8.1" || o["node_id"] != "n1" || len(enabled) != 1 || enabled[0] != "key-auth" || plugins["available_on_server"].(map[string]any)["key-auth"] != true {
		t.Errorf("%v", o)
	}
	for _, name := range []string{"tagline", "hostname", "timers", "pids", "lua_version", "configuration", "edition"} {
		if o[name] == nil {
			t.Errorf("no %s in %v", name, o)
		}
	}
}

func TestStatusUnits(t *testing.T) {
	for _, c := range []struct {
		unit  string
		scale int
		want  any
	}{
		{"b", 2, uint64(3 << 19)}, {"k", 1, "1536.0 KiB"}, {"m", 2, "1.50 MiB"}, {"M", 0, "2 MiB"}, {"g", 4, "0.0015 GiB"},
	} {
		if got, err := inUnit(3<<19, c.unit, c.scale); err != nil || got != c.want {
			t.Errorf("%s, %d: %v, %v; want %v", c.unit, c.scale, got, err, c.want)
		}
	}
	f := newFixture(t)
	if o := f.must(t, 400, "GET /status?unit=z"); o["message"] != "invalid unit 'z' (expected 'k/K', 'm/M', or 'g/G')" {
		t.Errorf("%v", o)
	}
	f.must(t, 200, "GET /status?scale=x")
}

// Through a real server, paths arrive as they were sent and nothing is redirected.
func TestRawPaths(t *testing.T) {
	f := newFixture(t)
	f.cache.values = map[string]any{"a|b": "pipe", "a%7Cb": "escaped", "k:é": "raw"}
	server := httptest.NewServer(f)
	defer server.Close()
	for target, want := range map[string]string{
		"//services":               `404 {"message":"Not found"}`,
		"/services/../services":    `404 {"message":"Not found"}`,
		"/cache/a|b":               `200 {"message":"pipe"}`,
		"/cache/a%7Cb":             `200 {"message":"escaped"}`,
		"/cache/k:é":               `200 {"message":"raw"}`,
		"http://any.host/services": `200 {"data":[],"next":null}`,
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", target)
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		if got := fmt.Sprintf("%d %s", r.StatusCode, text); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", target, got, err, want)
		}
		conn.Close()
	}
}

func TestStatusListener(t *testing.T) {
	var down error
	h := NewStatus(StatusOptions{
		Ready:  func(context.Context) error { return down },
		Status: func(context.Context) map[string]any { return map[string]any{"tidemark": map[string]any{"polls": 3}} },
	})
	ask := func(path string) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return status(w) + " " + w.Body.String()
	}
	if got := ask("/status/ready"); got != `200 {"message":"ready"}` {
		t.Error(got)
	}
	if got := ask("/status"); !strings.Contains(got, `"reachable":true`) || !strings.Contains(got, `"tidemark":{"polls":3}`) {
		t.Error(got)
	}
	down = errors.New("failed to connect to database")
	if got := ask("/status/ready"); got != `503 {"message":"failed to connect to database"}` {
		t.Error(got)
	}
	if got := ask("/status"); !strings.HasPrefix(got, "200") || !strings.Contains(got, `"reachable":false`) {
		t.Error(got)
	}
	if got := ask("/services"); !strings.HasPrefix(got, "404") {
		t.Error(got)
	}
}
