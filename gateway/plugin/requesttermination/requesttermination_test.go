package requesttermination

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

func access(t *testing.T, config map[string]any, r *http.Request) *plugin.Answer {
	t.Helper()
	p := New("node-1")
	filled, bad := p.Config().Process(config, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	h, err := p.New(filled)
	if err != nil {
		t.Fatal(err)
	}
	a, err := h.Access(&plugin.Exchange{Client: r, Upstream: r, Route: &entity.Route{ID: "r", Paths: []string{"/p"}, ServiceID: "s"}, Service: &entity.Service{ID: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccess(t *testing.T) {
	const jsonForm = "application/json; charset=utf-8"
	for _, c := range []struct {
		name        string
		config      map[string]any
		status      int
		contentType string
		body        string
	}{
		{"nothing configured", nil, 503, jsonForm, `{"message":"Service unavailable"}`},
		{"a status with a usual message", map[string]any{"status_code": int64(404)}, 404, jsonForm, `{"message":"Not found"}`},
		{"a status without one", map[string]any{"status_code": int64(418)}, 418, "", ""},
		{"a message", map[string]any{"status_code": int64(418), "message": "<tea> & more"}, 418, jsonForm, `{"message":"<tea> & more"}`},
		{"a body", map[string]any{"status_code": int64(200), "body": "x"}, 200, "text/plain; charset=UTF-8", "x"},
		{"a body of a type", map[string]any{"body": "<b>x</b>", "content_type": "text/html"}, 503, "text/html; charset=UTF-8", "<b>x</b>"},
		{"a body of a type with a charset", map[string]any{"body": "x", "content_type": "text/html; charset=ascii"}, 503, "text/html; charset=ascii", "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := access(t, c.config, httptest.NewRequest("GET", "/p", nil))
			if a.Status != c.status || a.ContentType != c.contentType || string(a.Body) != c.body || a.Message != "" {
				t.Errorf("%d %q %s", a.Status, a.ContentType, a.Body)
			}
		})
	}
}

func TestTrigger(t *testing.T) {
	config := map[string]any{"trigger": "x-trig"}
	for _, c := range []struct {
		target, header string
		ends           bool
	}{{"/", "", false}, {"/", "1", true}, {"/?x-trig=1", "", true}, {"/?x-trig", "", true}, {"/?y=x-trig", "", false}} {
		r := httptest.NewRequest("GET", c.target, nil)
		if c.header != "" {
			r.Header.Set("X-Trig", c.header)
		}
		if got := access(t, config, r) != nil; got != c.ends {
			t.Errorf("%s with %q: ends %v", c.target, c.header, got)
		}
	}
}

func TestEcho(t *testing.T) {
	r := httptest.NewRequest("POST", "/p?q=1", strings.NewReader(`{"z": 1}`))
	r.Header.Set("Content-Type", "application/json")
	a := access(t, map[string]any{"echo": true}, r)
	var got struct {
		Message string
		Kong    struct {
			NodeID string `json:"node_id"`
		}
		MatchedRoute   struct{ ID string } `json:"matched_route"`
		MatchedService struct{ ID string } `json:"matched_service"`
		Request        struct {
			Method, Path, Scheme, Host string
			RawBody                    string `json:"raw_body"`
			Body                       map[string]any
			Query                      map[string]string
			Headers                    map[string]string
		}
	}
	if err := json.Unmarshal(a.Body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Message != "Service unavailable" || got.Kong.NodeID != "node-1" || got.MatchedRoute.ID != "r" || got.MatchedService.ID != "s" {
		t.Errorf("%+v", got)
	}
	q := got.Request
	if q.Method != "POST" || q.Path != "/p" || q.Scheme != "http" || q.Host != "example.com" || q.RawBody != `{"z": 1}` ||
		q.Body["z"] != 1.0 || q.Query["q"] != "1" || q.Headers["content-type"] != "application/json" || q.Headers["host"] != "example.com" {
		t.Errorf("%+v", q)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		config map[string]any
		want   string
	}{
		{map[string]any{"message": "a", "body": "b"}, "message cannot be used with content_type or body"},
		{map[string]any{"message": "a", "content_type": "b"}, "message cannot be used with content_type or body"},
		{map[string]any{"content_type": "b"}, "content_type requires a body"},
		{map[string]any{"echo": true, "body": "b"}, "echo cannot be used with content_type and body"},
	} {
		_, bad := New("").Config().Process(c.config, schema.Insert)
		if messages, _ := bad["@entity"].([]string); len(messages) != 1 || messages[0] != c.want {
			t.Errorf("%v: %v, want %s", c.config, bad, c.want)
		}
	}
	if _, bad := New("").Config().Process(map[string]any{"status_code": int64(99)}, schema.Insert); bad["status_code"] != "value should be between 100 and 599" {
		t.Errorf("status 99: %v", bad)
	}
}
