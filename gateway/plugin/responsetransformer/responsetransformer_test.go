package responsetransformer

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

func instance(t *testing.T, config map[string]any) plugin.Handler {
	t.Helper()
	filled, bad := New().Config().Process(config, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	h, err := New().New(filled)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// does is a configuration of one step.
func does(step, list string, entries ...any) map[string]any {
	return map[string]any{step: map[string]any{list: entries}}
}

func TestHeaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		config map[string]any
		want   http.Header
	}{
		{"remove", does("remove", "headers", "x-a"), http.Header{"X-B": {"1", "2"}}},
		{"rename", does("rename", "headers", "x-b:x-c"), http.Header{"X-A": {"a"}, "X-C": {"1", "2"}}},
		{"rename what is not there", does("rename", "headers", "x-z:x-c"), http.Header{"X-A": {"a"}, "X-B": {"1", "2"}}},
		{"replace", does("replace", "headers", "x-b:new", "x-z:new"), http.Header{"X-A": {"a"}, "X-B": {"new"}}},
		{"add", does("add", "headers", "x-a:new", "x-z:http://h:1/"), http.Header{"X-A": {"a"}, "X-B": {"1", "2"}, "X-Z": {"http://h:1/"}}},
		{"append", does("append", "headers", "x-a:b", "x-z:c"), http.Header{"X-A": {"a", "b"}, "X-B": {"1", "2"}, "X-Z": {"c"}}},
		{"removed, then added", map[string]any{
			"add": map[string]any{"headers": []any{"x-a:new"}}, "remove": map[string]any{"headers": []any{"x-a", "x-b"}},
		}, http.Header{"X-A": {"new"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &http.Response{Header: http.Header{"X-A": {"a"}, "X-B": {"1", "2"}}, Body: http.NoBody}
			if err := instance(t, c.config).Response(nil, a); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a.Header, c.want) {
				t.Errorf("%v, want %v", a.Header, c.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	typed := func(step string, entry, kind string) map[string]any {
		return map[string]any{step: map[string]any{"json": []any{entry}, "json_types": []any{kind}}}
	}
	for _, c := range []struct {
		name       string
		config     map[string]any
		body, want string
	}{
		{"remove", does("remove", "json", "a", "z"), `{"a":1,"b":2}`, `{"b":2}`},
		{"rename", does("rename", "json", "a:c"), `{"a":1,"b":2}`, `{"b":2,"c":1}`},
		{"replace what is there", does("replace", "json", "a:x", "z:x"), `{"a":1}`, `{"a":"x"}`},
		{"add what is not there", does("add", "json", "a:x", "z:x"), `{"a":1}`, `{"a":1,"z":"x"}`},
		{"append to a string", does("append", "json", "a:y"), `{"a":"x"}`, `{"a":["x","y"]}`},
		{"append to a list", does("append", "json", "a:y"), `{"a":[1]}`, `{"a":[1,"y"]}`},
		{"append to nothing", does("append", "json", "a:y"), `{}`, `{"a":["y"]}`},
		{"a number", typed("add", "a:1.5", "number"), `{}`, `{"a":1.5}`},
		{"a number that is none", typed("add", "a:x", "number"), `{"b":1}`, `{"b":1}`},
		{"a boolean", typed("add", "a:true", "boolean"), `{}`, `{"a":true}`},
		{"large numbers stay", does("remove", "json", "a"), `{"a":1,"n":12345678901234567890}`, `{"n":12345678901234567890}`},
		{"no object", does("remove", "json", "a"), `["a"]`, `["a"]`},
		{"null", does("remove", "json", "a"), `null`, `null`},
		{"no JSON", does("remove", "json", "a"), `{"a":`, `{"a":`},
		{"two values", does("remove", "json", "a"), `{"a":1} {}`, `{"a":1} {}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := response("application/json", c.body)
			if err := instance(t, c.config).Response(nil, a); err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(a.Body)
			if string(b) != c.want {
				t.Errorf("%s, want %s", b, c.want)
			}
			if a.ContentLength != int64(len(b)) {
				t.Errorf("length %d of %d", a.ContentLength, len(b))
			}
		})
	}
}

func response(contentType, body string) *http.Response {
	return &http.Response{
		Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func TestBodiesThatPassAsTheyAre(t *testing.T) {
	h := instance(t, does("add", "json", "a:x"))
	large := `{"b":"` + strings.Repeat("x", maxBody) + `"}`
	for name, a := range map[string]*http.Response{
		"another type": response("text/plain", "{}"),
		"compressed":   response("application/json", "{}"),
		"too large":    response("application/json", large),
	} {
		if name == "compressed" {
			a.Header.Set("Content-Encoding", "gzip")
		}
		want := "{}"
		if name == "too large" {
			want = large
		}
		if err := h.Response(nil, a); err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(a.Body); string(b) != want || a.ContentLength != int64(len(want)) {
			t.Errorf("%s: changed to %d bytes", name, len(b))
		}
	}
}

func TestConfig(t *testing.T) {
	for _, step := range []string{"rename", "replace", "add", "append"} {
		for _, list := range []string{"headers", "json"} {
			if _, bad := New().Config().Process(does(step, list, "novalue"), schema.Insert); bad == nil {
				t.Errorf("%s.%s takes an entry without a value", step, list)
			}
		}
	}
	if _, bad := New().Config().Process(does("add", "json_types", "list"), schema.Insert); bad == nil {
		t.Error("an unknown type was accepted")
	}
}

func FuzzBody(f *testing.F) {
	f.Add(`{"a":1}`, "a:b")
	f.Add(`[]`, ":")
	f.Fuzz(func(t *testing.T, body, entry string) {
		h := &handler{add: read(plugin.Read(map[string]any{"json": []any{entry}})), remove: step{json: []pair{{name: "x"}}}}
		a := response("application/json", body)
		if err := h.Response(nil, a); err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(a.Body)
		if string(b) != body && !json.Valid(b) {
			t.Errorf("%s became %s", strconv.Quote(body), b)
		}
	})
}
