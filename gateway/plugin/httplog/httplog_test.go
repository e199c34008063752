package httplog

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidemark/gateway/plugin"
	"tidemark/gateway/queue"
	"tidemark/gateway/schema"
)

func TestEndpoints(t *testing.T) {
	for _, rule := range []struct {
		url  string
		want endpoint
		err  error
	}{
		{url: "http://a/log", want: endpoint{host: "a:80", authority: "a", path: "/log"}},
		{url: "https://a", want: endpoint{host: "a:443", authority: "a", path: "/"}},
		{url: "http://a:80/", want: endpoint{host: "a:80", authority: "a", path: "/"}},
		{url: "http://a:9000/log?x=1#y", want: endpoint{host: "a:9000", authority: "a:9000", path: "/log", query: "x=1"}},
		{url: "http://a?x=1", want: endpoint{host: "a:80", authority: "a", path: "/"}},
		{url: "http://a/100%/%20", want: endpoint{host: "a:80", authority: "a", path: "/100%/%20"}},
		{url: "http://u:p%20w@a:9000/", want: endpoint{host: "a:9000", authority: "a:9000", path: "/", authorization: "Basic dTpwJTIwdw=="}},
		{url: "http://[::1]:9000/", want: endpoint{host: "[::1]:9000", authority: "[::1]:9000", path: "/"}},
		{url: "http://[::1]/", want: endpoint{host: "[::1]:80", authority: "[::1]", path: "/"}},
		{url: "http://a//b", want: endpoint{host: "a:80", authority: "a", path: "/b"}},
		{url: "nope", err: errNoHost},
		{url: "http:///x", err: errNoHost},
		{url: "ftp://a/", err: errScheme},
		{url: "http://a:0/", err: errPort},
		{url: "http://a:x/", err: errPort},
		{url: "http://a/b c", err: errSpace},
	} {
		t.Run(rule.url, func(t *testing.T) {
			got, err := parseEndpoint(rule.url)
			got.scheme = ""
			if err == nil && got != rule.want || err != rule.err {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, rule.want, rule.err)
			}
		})
	}
}

const someEndpoint = "http://127.0.0.1:9000/log"

func TestConfigurationsThatAreRefused(t *testing.T) {
	s := New(Options{}).Config()
	for _, rule := range []struct{ says, field, value, want string }{
		{"no endpoint", "http_endpoint", ``, `schema violation (http_endpoint: required field missing)`},
		{"an endpoint without a host", "http_endpoint", "nope", "schema violation (http_endpoint: missing host in url)"},
		{"a method", "method", "GET", "schema violation (method: expected one of: POST, PUT, PATCH)"},
		{"a content type", "content_type", "text/plain", "schema violation (content_type: expected one of: application/json, application/json; charset=utf-8)"},
		{"a header of the plugin's own", "headers.HOST", "x", "cannot contain 'Host' header"},
		{"another", "headers.content-length", "x", "cannot contain 'Content-Length' header"},
		{"another", "headers.Content-Type", "x", "cannot contain 'Content-Type' header"},
		{"a header that is none", "headers.a b", "x", "bad header name 'a b'"},
		{"Lua", "custom_fields_by_lua.x", "return 1", "this gateway runs no Lua"},
		{"an empty batch", "queue.max_batch_size", "0", "value should be between 1 and 1000000"},
		{"a retry too soon", "queue.initial_retry_delay", "0.0001", "value should be between 0 and 1000000"},
		{"a wait too long", "queue.max_retry_delay", "1000001", "value should be between 0 and 1000000"},
		{"two at once", "queue.concurrency_limit", "2", "expected one of: -1, 1"},
		{"a long window", "queue.max_coalescing_delay", "3601", "value should be between 0 and 3600"},
	} {
		t.Run(rule.says, func(t *testing.T) {
			config := map[string]any{"http_endpoint": someEndpoint}
			set(config, rule.field, rule.value)
			_, bad := s.Process(s.Coerce(config), schema.Insert)
			if bad == nil || !strings.Contains(bad.Error(), rule.want) {
				t.Errorf("got %v, want %s", bad, rule.want)
			}
		})
	}
}

// set sets a field of a nested object; an empty value takes it away.
func set(o map[string]any, path, value string) {
	if name, rest, nested := strings.Cut(path, "."); nested {
		inner := map[string]any{}
		o[name] = inner
		set(inner, rest, value)
		return
	}
	if value == "" {
		delete(o, path)
		return
	}
	o[path] = value
}

func TestTwoWaysToAuthenticateAreOneTooMany(t *testing.T) {
	got := check(map[string]any{"http_endpoint": "http://u:p@a/", "headers": map[string]any{"authorization": "x"}})
	if len(got) != 1 || !strings.Contains(got[0], "both an 'Authorization' header and user info") {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsFilledIn(t *testing.T) {
	s := New(Options{}).Config()
	got, bad := s.Process(map[string]any{"http_endpoint": someEndpoint}, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	want := `map[concurrency_limit:1 initial_retry_delay:0.01 max_batch_size:1 max_bytes:<nil> max_coalescing_delay:1 max_entries:10000 max_retry_delay:60 max_retry_time:60]`
	if fmt.Sprint(got["queue"]) != want || fmt.Sprint(got["timeout"], got["keepalive"]) != "10000 60000" {
		t.Errorf("got %v", got)
	}
}

// instance configures the plugin with these fields over its defaults.
func instance(t *testing.T, l plugin.Plugin, fields map[string]any) *handler {
	t.Helper()
	if fields["http_endpoint"] == nil {
		fields["http_endpoint"] = someEndpoint
	}
	config, bad := l.Config().Process(fields, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	h, err := l.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return h.(*handler)
}

func TestWhatMakesTwoInstancesShareAQueue(t *testing.T) {
	l := New(Options{})
	if got, want := instance(t, l, map[string]any{}).queue, someEndpoint+":POST:application/json:10000:60000:nil"; got != want {
		t.Errorf("the queue is called %s, want %s", got, want)
	}
	for _, rule := range []struct {
		field  string
		value  any
		shared bool
	}{
		{"headers", map[string]any{"a": "b"}, true},
		{"queue", map[string]any{"max_entries": int64(5)}, true},
		{"queue_size", int64(5), true},
		{"flush_timeout", int64(5), true},
		{"http_endpoint", someEndpoint + "?x", false},
		{"method", "PUT", false},
		{"content_type", "application/json; charset=utf-8", false},
		{"timeout", 0.5, false},
		{"keepalive", int64(1), false},
		{"retry_count", int64(2), false},
	} {
		t.Run(rule.field, func(t *testing.T) {
			one, other := instance(t, l, map[string]any{}), instance(t, l, map[string]any{rule.field: rule.value})
			if shared := one.queue == other.queue; shared != rule.shared {
				t.Errorf("%s and %s", one.queue, other.queue)
			}
		})
	}
}

func TestLegacyFieldsRuleWithOneWarning(t *testing.T) {
	log := &bytes.Buffer{}
	l := New(Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	queues := queue.New(queue.Options{})
	defer queues.Close()
	x := &plugin.Exchange{Client: httptest.NewRequest("GET", "/", nil), Worker: &plugin.Worker{Queues: queues}}
	fields := map[string]any{"queue_size": int64(7), "flush_timeout": int64(30), "retry_count": int64(3)}
	for range 3 { // as after two rebuilds
		h := instance(t, l, fields)
		if h.params.MaxBatchSize != 7 || h.params.MaxCoalescingDelay != 30*time.Second {
			t.Errorf("got %+v", h.params)
		}
		h.Log(x, &plugin.Entry{Bound: plugin.Bound{ID: "p1"}})
	}
	for _, want := range []string{"the retry_count parameter no longer works", "the queue_size parameter is deprecated", "the flush_timeout parameter is deprecated"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%q is logged %d times in\n%s", want, n, log)
		}
	}
	if h := instance(t, l, map[string]any{"queue_size": int64(1), "flush_timeout": int64(2), "retry_count": int64(10)}); len(h.legacy) > 0 || h.params.MaxCoalescingDelay != time.Second {
		t.Errorf("what once were defaults: %+v", h)
	}
}

// entries are as many as there are texts.
func entries(texts ...string) []queue.Entry {
	all := make([]queue.Entry, len(texts))
	for i, text := range texts {
		all[i] = queue.Entry{Data: []byte(text), Text: true}
	}
	return all
}

// wire is a server that writes each request down as it came, and answers with these bytes.
func wire(t *testing.T, answer string) (url string, got chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got = make(chan string, 9)
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			text := &strings.Builder{}
			r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, text)))
			if err == nil { // or its first line is none that Go takes
				_, _ = io.Copy(io.Discard, r.Body)
			}
			got <- text.String()
			fmt.Fprint(c, answer)
			c.Close()
		}
	}()
	return l.Addr().String(), got
}

const noContent = "HTTP/1.1 204 No Content\r\n\r\n"

func TestOnTheWire(t *testing.T) {
	host, got := wire(t, noContent)
	for _, rule := range []struct {
		says   string
		fields map[string]any
		texts  []string
		want   []string
	}{
		{"an entry alone", nil, []string{`{"a":1}`}, []string{"POST /log HTTP/1.1\r\n", "Host: " + host + "\r\n", "Content-Type: application/json\r\n", "Content-Length: 7\r\n", "\r\n\r\n{\"a\":1}"}},
		{"a batch", map[string]any{"queue": map[string]any{"max_batch_size": int64(3)}}, []string{"{}", "{}"}, []string{"\r\n\r\n[{},{}]"}},
		{"a batch of one", map[string]any{"queue": map[string]any{"max_batch_size": int64(3)}}, []string{"{}"}, []string{"\r\n\r\n[{}]"}},
		{"a shared queue's batch", nil, []string{"{}", "{}"}, []string{"\r\n\r\n[{},{}]"}},
		{"another method and header", map[string]any{"method": "PUT", "content_type": "application/json; charset=utf-8", "headers": map[string]any{"x-a": "b", "User-Agent": "u"}}, []string{"{}"}, []string{"PUT /log ", "X-A: b\r\n", "User-Agent: u\r\n", "Content-Type: application/json; charset=utf-8\r\n"}},
		{"userinfo", map[string]any{"http_endpoint": "http://u:p@" + host + "/"}, []string{"{}"}, []string{"POST / ", "Authorization: Basic dTpw\r\n", "Host: " + host}},
		{"a per cent sign and a query", map[string]any{"http_endpoint": "http://" + host + "/50%?a=b"}, []string{"{}"}, []string{"POST /50% HTTP/1.1\r\n"}},
	} {
		t.Run(rule.says, func(t *testing.T) {
			fields := map[string]any{"http_endpoint": "http://" + host + "/log"}
			for name, v := range rule.fields {
				fields[name] = v
			}
			h := instance(t, New(Options{}), fields)
			if err := h.deliver(t.Context(), entries(rule.texts...)); err != nil {
				t.Fatal(err)
			}
			text := <-got
			for _, want := range rule.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in %q", want, text)
				}
			}
			if strings.Contains(text, "chunked") {
				t.Errorf("no length in %q", text)
			}
		})
	}
}

func TestOnlyTwoHundredsAreDelivered(t *testing.T) {
	for status, delivered := range map[int]bool{200: true, 201: true, 202: true, 204: true, 299: true, 301: false, 302: false, 400: false, 404: false, 429: false, 500: false, 503: false} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				fmt.Fprint(w, "why")
			}
		}))
		h := instance(t, New(Options{}), map[string]any{"http_endpoint": s.URL})
		err := h.deliver(t.Context(), entries("{}"))
		if delivered != (err == nil) {
			t.Errorf("%d: %v", status, err)
		}
		if want := fmt.Sprintf("request to %s returned status code %d and body why", s.Listener.Addr(), status); err != nil && err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		s.Close()
	}
}

func TestHowFailuresAreWorded(t *testing.T) {
	gone, _ := net.Listen("tcp", "127.0.0.1:0")
	gone.Close()
	closing, _ := wire(t, "")
	broken, _ := wire(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nxx")
	silent, _ := net.Listen("tcp", "127.0.0.1:0") // accepts by itself, and says nothing
	defer silent.Close()
	half := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "x")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer half.Close()
	for _, rule := range []struct{ says, host, want string }{
		{"refused", gone.Addr().String(), "connection refused"},
		{"closed without an answer", closing, "closed"},
		{"closed in the middle of one", broken, "closed"},
		{"no answer", silent.Addr().String(), "timeout"},
		{"half an answer", half.Listener.Addr().String(), "timeout"},
	} {
		t.Run(rule.says, func(t *testing.T) {
			h := instance(t, New(Options{}), map[string]any{"http_endpoint": "http://" + rule.host, "timeout": int64(200)})
			err := h.deliver(t.Context(), entries("{}"))
			if want := "failed request to " + rule.host + ": " + rule.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestADeliveryEndsWithItsContext(t *testing.T) {
	silent, _ := net.Listen("tcp", "127.0.0.1:0")
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := instance(t, New(Options{}), map[string]any{"http_endpoint": "http://" + silent.Addr().String()})
	if err := h.deliver(ctx, entries("{}")); err == nil {
		t.Error("delivered")
	}
}

func TestCertificatesAreNotVerified(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	if err := instance(t, New(Options{}), map[string]any{"http_endpoint": s.URL}).deliver(t.Context(), entries("{}")); err != nil {
		t.Error(err)
	}
}

func TestConnectionsServeAgain(t *testing.T) {
	for _, rule := range []struct {
		says      string
		keepalive int64
		want      int
	}{{"while they are kept, also for the instances of the next build", 60000, 1}, {"never when they are not", 0, 3}} {
		t.Run(rule.says, func(t *testing.T) {
			opened := make(chan struct{}, 9)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened <- struct{}{}
				}
			}
			s.Start()
			defer s.Close()
			l := New(Options{})
			for range 3 {
				h := instance(t, l, map[string]any{"http_endpoint": s.URL, "keepalive": rule.keepalive})
				if err := h.deliver(t.Context(), entries("{}")); err != nil {
					t.Fatal(err)
				}
			}
			if len(opened) != rule.want {
				t.Errorf("%d connections, want %d", len(opened), rule.want)
			}
		})
	}
}

func TestTheSameEntriesMakeTheSameBody(t *testing.T) {
	host, got := wire(t, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
	h := instance(t, New(Options{}), map[string]any{"http_endpoint": "http://" + host})
	var bodies []string
	for range 2 {
		if h.deliver(t.Context(), entries(`{"a":1}`)) == nil {
			t.Fatal("a 500 is delivered")
		}
		bodies = append(bodies, <-got)
	}
	if bodies[0] != bodies[1] {
		t.Errorf("%q and then %q", bodies[0], bodies[1])
	}
}
