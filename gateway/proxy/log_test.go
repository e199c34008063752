package proxy

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

// A scribe is a log plugin that tells a test what it was told.
type scribe struct {
	plugin.Quiet
	told chan logged
	fall bool // into a panic
}

// logged is an entry as a test reads it.
type logged struct {
	Request        struct{ Size int64 }
	Response       struct{ Status, Size int64 }
	Latencies      struct{ Kong, Proxy, Receive, Request int64 }
	Tries          []struct{ State string }
	UpstreamStatus string `json:"upstream_status"`
	UpstreamURI    string `json:"upstream_uri"`
	Source         string
	Route          *struct{ ID string }
	Consumer       *struct{ ID string }
	Entity         struct{ ID string } `json:"authenticated_entity"`

	bound string
}

func (s *scribe) Name() string                               { return "scribe" }
func (s *scribe) Priority() int                              { return 12 }
func (s *scribe) Config() *schema.Schema                     { return &schema.Schema{Name: "scribe"} }
func (s *scribe) New(map[string]any) (plugin.Handler, error) { return s, nil }

func (s *scribe) Log(x *plugin.Exchange, e *plugin.Entry) {
	l := logged{bound: e.Bound.ID}
	if err := json.Unmarshal(plugin.Serialize(x, e), &l); err != nil {
		panic(err)
	}
	s.told <- l
	if s.fall {
		panic("on purpose")
	}
}

// logging is a world in which a scribe hears of everything.
func logging(t *testing.T, upstream http.HandlerFunc, more ...entity.Plugin) (*world, *scribe) {
	w := gateway(t, upstream)
	s := &scribe{told: make(chan logged, 99)}
	w.extra = []plugin.Plugin{s}
	w.plugins = append([]entity.Plugin{{ID: "p", Name: "scribe", Enabled: true}}, more...)
	return w, s
}

// exchange sends these bytes over a connection of their own and returns all that comes back.
func exchange(t *testing.T, w *world, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	must(t, err)
	defer c.Close()
	_, err = fmt.Fprint(c, text)
	must(t, err)
	back, err := io.ReadAll(c)
	must(t, err)
	return string(back)
}

func TestSizesAreThoseOnTheWire(t *testing.T) {
	w, s := logging(t, echo)
	w.serve()
	for says, text := range map[string]string{
		"a request without a body": "GET /echo?a=b HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		"a request with one":       "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
		"an answer of our own":     "GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
	} {
		t.Run(says, func(t *testing.T) {
			back := exchange(t, w, text)
			got := <-s.told
			// net/http adds the one header line that the handler does not see.
			if want := int64(len(back) - len("Connection: close\r\n")); got.Request.Size != int64(len(text)) || got.Response.Size != want {
				t.Errorf("request of %d bytes, want %d; answer of %d, want %d:\n%s", got.Request.Size, len(text), got.Response.Size, want, back)
			}
		})
	}
}

func TestEveryExchangeIsLogged(t *testing.T) {
	terminated := entity.Plugin{ID: "t", Name: "request-termination", Enabled: true, Config: map[string]any{"status_code": int64(418), "trigger": "X-End"}}
	keyed := entity.Plugin{ID: "k", Name: "key-auth", Enabled: true, Config: map[string]any{"key_names": []any{"apikey"}, "key_in_header": true, "anonymous": "alice-id"}}
	for _, rule := range []struct {
		says   string
		target string
		header []string
		proxy  bool // a service was asked
		want   logged
	}{
		{"an answer of the service", "/echo?x=1", nil, true, logged{Source: "upstream", UpstreamStatus: "200", UpstreamURI: "/base?x=1"}},
		{"no route", "/nothing", nil, false, logged{Source: "kong"}},
		{"an answer of a plugin", "/echo?x=1", []string{"X-End", "1"}, false, logged{Source: "kong", UpstreamURI: "/base"}},
		{"who called", "/echo", []string{"Apikey", "k1"}, true, logged{Source: "upstream", UpstreamStatus: "200", UpstreamURI: "/base", Entity: struct{ ID string }{"cred"}}},
	} {
		t.Run(rule.says, func(t *testing.T) {
			w, s := logging(t, echo, terminated, keyed)
			w.serve()
			status := w.do("GET", rule.target, "", rule.header...).StatusCode
			got := <-s.told
			if got.Response.Status != int64(status) || got.Source != rule.want.Source || got.UpstreamStatus != rule.want.UpstreamStatus ||
				got.UpstreamURI != rule.want.UpstreamURI || got.Entity != rule.want.Entity || got.bound != "p" {
				t.Errorf("got %+v", got)
			}
			if asked := got.Latencies.Proxy >= 0 && len(got.Tries) == 1; asked != rule.proxy {
				t.Errorf("asked the service: %v in %+v", asked, got)
			}
		})
	}
}

func TestEachTryIsLogged(t *testing.T) {
	w, s := logging(t, echo)
	w.services[0].Port = 1 // nothing listens there
	w.services[0].Retries = 2
	w.serve()
	status := w.do("GET", "/echo", "").StatusCode
	got := <-s.told
	if status != 502 || got.UpstreamStatus != "502, 502, 502" || len(got.Tries) != 3 || got.Tries[2].State != "failed" || got.Source != "kong" {
		t.Errorf("%d: %+v", status, got)
	}
}

func TestAClientThatLeavesIsLogged(t *testing.T) {
	asked := make(chan struct{})
	w, s := logging(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	w.serve()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	must(t, err)
	fmt.Fprint(c, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	must(t, c.Close())
	if got := <-s.told; got.Response.Status != statusClosed || got.Response.Size != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestTheAnswerIsOutBeforeItIsLogged: the log plugin is held up until the client has read its answer.
func TestTheAnswerIsOutBeforeItIsLogged(t *testing.T) {
	w, s := logging(t, echo)
	s.told = make(chan logged) // nobody listens: Log blocks
	w.serve()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	fmt.Fprint(c, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n")
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	_, err = io.ReadAll(a.Body)
	must(t, err)
	<-s.told
}

func TestAPanicInALogPluginCostsNobodyAnything(t *testing.T) {
	w, s := logging(t, echo)
	s.fall = true
	w.serve()
	for range 2 {
		if a := w.do("GET", "/echo", ""); a.StatusCode != 200 {
			t.Error(a.Status)
		}
		<-s.told
	}
}

func TestAnAnswerThatBreaksOffIsLogged(t *testing.T) {
	w, s := logging(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	w.serve()
	a, err := http.Get(w.URL + "/echo")
	must(t, err)
	defer a.Body.Close()
	if _, err := io.ReadAll(a.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the client sees %v", err)
	}
	if got := <-s.told; got.Response.Status != 200 {
		t.Errorf("got %+v", got)
	}
}
