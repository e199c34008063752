package plugin_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
)

// A recorded entry is what a stock gateway of the version that this one follows has sent.
type recorded struct {
	Name  string
	Entry map[string]any
}

func recordings(t *testing.T) []recorded {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "entries.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recorded
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// TestEntriesAreAsRecorded makes, from each recorded entry, the exchange that it tells of, and
// compares what this gateway says of it field by field.
func TestEntriesAreAsRecorded(t *testing.T) {
	for _, r := range recordings(t) {
		t.Run(r.Name, func(t *testing.T) {
			x, e := exchangeOf(t, r.Entry)
			var got map[string]any
			text := plugin.Serialize(x, e)
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			for _, difference := range differences("", r.Entry, got) {
				t.Error(difference)
			}
		})
	}
}

// differences lists where two values differ, and names the field.
func differences(at string, want, got any) []string {
	w, isObject := want.(map[string]any)
	g, too := got.(map[string]any)
	if !isObject || !too {
		if reflect.DeepEqual(want, got) {
			return nil
		}
		return []string{fmt.Sprintf("%s is %v, recorded is %v", at, got, want)}
	}
	var all []string
	for name, v := range w {
		all = append(all, differences(at+"."+name, v, g[name])...)
	}
	for name, v := range g {
		if _, known := w[name]; !known {
			all = append(all, fmt.Sprintf("%s.%s is %v, not recorded at all", at, name, v))
		}
	}
	return all
}

// field finds a value in nested objects.
func field[T any](o map[string]any, path string) T {
	var v any = o
	for _, name := range strings.Split(path, ".") {
		inner, _ := v.(map[string]any)
		v = inner[name]
	}
	found, _ := v.(T)
	return found
}

func exchangeOf(t *testing.T, o map[string]any) (*plugin.Exchange, *plugin.Entry) {
	t.Helper()
	x := &plugin.Exchange{
		ID: field[string](o, "request.id"), Workspace: field[string](o, "workspace"),
		Client: requestOf(o), Route: routeOf(t, o), Service: serviceOf(t, o),
	}
	ms := func(path string) time.Duration { return time.Duration(field[float64](o, path)) * time.Millisecond }
	e := &plugin.Entry{
		Started: time.UnixMilli(int64(field[float64](o, "started_at"))), Service: field[string](o, "source") == "upstream",
		Status: int(field[float64](o, "response.status")), Header: headerOf(field[map[string]any](o, "response.headers")),
		RequestSize: int64(field[float64](o, "request.size")), ResponseSize: int64(field[float64](o, "response.size")),
	}
	e.Ended = e.Started.Add(ms("latencies.request"))
	if e.Service {
		path, query, _ := strings.Cut(field[string](o, "upstream_uri"), "?")
		x.Upstream = &http.Request{URL: &url.URL{Opaque: path, RawQuery: query}}
		e.Asked = e.Started.Add(ms("latencies.kong"))
		e.Heard = e.Asked.Add(ms("latencies.proxy"))
	}
	statuses := strings.Split(field[string](o, "upstream_status"), ", ")
	for i, try := range field[[]any](o, "tries") {
		try := try.(map[string]any)
		try["balancer_latency"] = 0. // recorded by another, coarser clock than the nanoseconds beside it
		one := plugin.Try{
			Start: time.Unix(0, int64(field[float64](try, "balancer_start_ns"))), Chosen: time.Duration(field[float64](try, "balancer_latency_ns")),
			Address: fmt.Sprintf("%s:%v", try["ip"], try["port"]), Failed: try["state"] == "failed",
		}
		fmt.Sscan(statuses[i], &one.Status)
		e.Tries = append(e.Tries, one)
	}
	return x, e
}

func requestOf(o map[string]any) *http.Request {
	u, _ := url.Parse(field[string](o, "request.url"))
	r := httptest.NewRequest(field[string](o, "request.method"), field[string](o, "request.uri"), nil)
	r.Host, r.RemoteAddr = u.Host, field[string](o, "client_ip")+":4711"
	r.Header = headerOf(field[map[string]any](o, "request.headers"))
	r.Header.Del("Host")
	if r.Header.Get("Authorization") != "" {
		r.Header.Set("Authorization", "Bearer secret")
	}
	local, _ := net.ResolveTCPAddr("tcp", u.Host)
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
}

func headerOf(o map[string]any) http.Header {
	h := http.Header{}
	for name, v := range o {
		h.Set(name, v.(string))
	}
	return h
}

// object is a recorded entity as it comes from the database: whole numbers, nulls, no workspace.
func object(o map[string]any) entity.Object {
	out := entity.Object{"tags": nil}
	for name, v := range o {
		if n, is := v.(float64); is {
			v = int64(n)
		}
		if name != "ws_id" {
			out[name] = v
		}
	}
	return out
}

func routeOf(t *testing.T, o map[string]any) *entity.Route {
	t.Helper()
	recorded := field[map[string]any](o, "route")
	if recorded == nil {
		return nil
	}
	r, err := entity.RouteOf(object(recorded))
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

func serviceOf(t *testing.T, o map[string]any) *entity.Service {
	t.Helper()
	recorded := field[map[string]any](o, "service")
	if recorded == nil {
		return nil
	}
	s, err := entity.ServiceOf(object(recorded))
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// TestWhatNoRecordingShows is the rest of an entry's fields, as rules.
func TestWhatNoRecordingShows(t *testing.T) {
	consumer, err := entity.ConsumerOf(entity.Object{"id": "c1", "username": "ann", "custom_id": nil})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range []struct {
		says  string
		make  func(x *plugin.Exchange, e *plugin.Entry)
		field string
		want  any
	}{
		{"one argument", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.URL.RawQuery = "a=1" }, "request.querystring", map[string]any{"a": "1"}},
		{"an argument twice", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.URL.RawQuery = "a=1&a=2" }, "request.querystring.a", []any{"1", "2"}},
		{"an argument without a value", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.URL.RawQuery = "a&b=" }, "request.querystring", map[string]any{"a": true, "b": ""}},
		{"a bad escape", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.URL.RawQuery = "a=%zz" }, "request.querystring.a", "%zz"},
		{"a header twice", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.Header["X-A"] = []string{"1", "2"} }, "request.headers.x-a", []any{"1", "2"}},
		{"a header that is not UTF-8", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.Header.Set("X-A", "a\xff\"") }, "request.headers.x-a", "a\ufffd\""},
		{"a key in clear", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.Header.Set("Apikey", "k") }, "request.headers.apikey", "k"},
		{"proxy credentials", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.Header.Set("Proxy-Authorization", "k") }, "request.headers.proxy-authorization", "REDACTED"},
		{"a key that is hidden from the service", func(x *plugin.Exchange, _ *plugin.Entry) {
			x.Client.Header.Set("Apikey", "k")
			x.Upstream = &http.Request{Header: http.Header{}, URL: &url.URL{}}
			x.Authenticate(&consumer, "cred")
		}, "request.headers.apikey", nil},
		{"who called", func(x *plugin.Exchange, _ *plugin.Entry) { x.Consumer = &consumer }, "consumer", map[string]any{"id": "c1", "username": "ann", "ws_id": "w"}},
		{"by which credential", func(x *plugin.Exchange, _ *plugin.Entry) {
			x.Upstream = &http.Request{Header: http.Header{}, URL: &url.URL{}}
			x.Authenticate(&consumer, "cred")
		}, "authenticated_entity", map[string]any{"id": "cred"}},
		{"TLS", func(x *plugin.Exchange, _ *plugin.Entry) {
			x.Client.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
		}, "request.tls", map[string]any{"version": "TLSv1.3", "cipher": "TLS_AES_128_GCM_SHA256", "client_verify": "NONE"}},
		{"an IPv6 host", func(x *plugin.Exchange, _ *plugin.Entry) { x.Client.Host = "[::1]:80" }, "request.url", "http://[::1]:0/"},
		{"a try that timed out", func(_ *plugin.Exchange, e *plugin.Entry) { e.Tries = []plugin.Try{{Status: 504, Failed: true}} }, "upstream_status", "504"},
	} {
		t.Run(rule.says, func(t *testing.T) {
			x := &plugin.Exchange{Client: httptest.NewRequest("GET", "/", nil), Workspace: "w"}
			e := &plugin.Entry{Started: time.Unix(1, 0), Ended: time.Unix(2, 0)}
			rule.make(x, e)
			var got map[string]any
			if err := json.Unmarshal(plugin.Serialize(x, e), &got); err != nil {
				t.Fatal(err)
			}
			if found := field[any](got, rule.field); !reflect.DeepEqual(found, rule.want) {
				t.Errorf("%s is %v, want %v", rule.field, found, rule.want)
			}
		})
	}
}

func BenchmarkSerialize(b *testing.B) {
	x := &plugin.Exchange{Client: httptest.NewRequest("GET", "/orders?n=1", nil), ID: strings.Repeat("f", 32), Workspace: "w"}
	for _, name := range []string{"Accept", "User-Agent", "Accept-Encoding", "X-Request", "Cookie"} {
		x.Client.Header.Set(name, strings.Repeat("v", 40))
	}
	route, _ := entity.RouteOf(entity.Object{"id": "r", "paths": []any{"/orders"}})
	service, _ := entity.ServiceOf(entity.Object{"id": "s", "host": "127.0.0.1"})
	x.Route, x.Service = &route, &service
	b.ReportAllocs()
	for b.Loop() {
		plugin.Serialize(x, &plugin.Entry{Header: x.Client.Header, Tries: []plugin.Try{{Status: 200, Address: "127.0.0.1:80"}}})
	}
}
