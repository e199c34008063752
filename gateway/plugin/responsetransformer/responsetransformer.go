// Package responsetransformer changes headers and JSON bodies on their way back to the client.
//
// It works in five steps, each on what the last has left: remove, rename, replace, add, append.
package responsetransformer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

// maxBody is the largest JSON body that is changed, in bytes. A larger one passes as it is.
const maxBody = 8 << 20

type transformer struct{}

// New makes the plugin.
func New() plugin.Plugin { return transformer{} }

func (transformer) Name() string  { return "response-transformer" }
func (transformer) Priority() int { return 800 }

// Config declares the fields.
func (transformer) Config() *schema.Schema {
	list := func(name string, element schema.Field) schema.Field {
		return schema.Field{Name: name, Type: schema.Array, Required: true, Default: []any{}, Elements: &element}
	}
	bare := schema.Field{Type: schema.String}
	pair := schema.Field{Type: schema.String, Check: isPair}
	kind := schema.Field{Type: schema.String, OneOf: []string{"boolean", "number", "string"}}
	record := func(name string, fields ...schema.Field) schema.Field {
		return schema.Field{Name: name, Type: schema.Record, Required: true, Fields: fields}
	}
	valued := func(name string) schema.Field {
		return record(name, list("json", pair), list("json_types", kind), list("headers", pair))
	}
	return &schema.Schema{Name: "response-transformer", Fields: []schema.Field{
		record("remove", list("json", bare), list("headers", bare)),
		record("rename", list("json", pair), list("headers", pair)),
		valued("replace"),
		valued("add"),
		valued("append"),
	}}
}

// isPair wants a name and a value.
func isPair(value any) error {
	s, _ := value.(string)
	if name, _, ok := strings.Cut(s, ":"); !ok || name == "" {
		return fmt.Errorf("invalid value: %s", s)
	}
	return nil
}

// A pair is an entry of a list: a name, and what it is to become. kind is that of a JSON value.
type pair struct{ name, value, kind string }

// A step is what one of the five does.
type step struct{ headers, json []pair }

type handler struct {
	plugin.Quiet
	remove, rename, replace, add, appendix step
}

// New makes an instance.
func (transformer) New(config map[string]any) (plugin.Handler, error) {
	c := plugin.Read(config)
	h := &handler{
		remove:   read(c.Record("remove")),
		rename:   read(c.Record("rename")),
		replace:  read(c.Record("replace")),
		add:      read(c.Record("add")),
		appendix: read(c.Record("append")),
	}
	return h, c.Err()
}

func read(c plugin.Reader) step {
	kinds := c.Strings("json_types")
	pairs := func(entries []string) (out []pair) {
		for _, e := range entries {
			name, value, _ := strings.Cut(e, ":")
			out = append(out, pair{name: name, value: strings.TrimLeft(value, ":")})
		}
		return out
	}
	s := step{headers: pairs(c.Strings("headers")), json: pairs(c.Strings("json"))}
	for i := range min(len(kinds), len(s.json)) {
		s.json[i].kind = kinds[i]
	}
	return s
}

// Response changes the answer.
func (h *handler) Response(_ *plugin.Exchange, a *http.Response) error {
	wasJSON := isJSON(a.Header.Get("Content-Type"))
	h.headers(a.Header)
	if !wasJSON || !h.changesJSON() {
		return nil
	}
	return h.body(a)
}

func (h *handler) headers(header http.Header) {
	for _, p := range h.remove.headers {
		header.Del(p.name)
	}
	for _, p := range h.rename.headers {
		if v := header.Values(p.name); len(v) > 0 && p.value != "" {
			header.Del(p.name)
			header[http.CanonicalHeaderKey(p.value)] = v
		}
	}
	for _, p := range h.replace.headers {
		if len(header.Values(p.name)) > 0 && p.value != "" {
			header.Set(p.name, p.value)
		}
	}
	for _, p := range h.add.headers {
		if len(header.Values(p.name)) == 0 && p.value != "" {
			header.Set(p.name, p.value)
		}
	}
	for _, p := range h.appendix.headers {
		header.Add(p.name, p.value)
	}
}

// isJSON tells whether any of the listed content types is JSON.
func isJSON(contentType string) bool {
	for part := range strings.SplitSeq(contentType, ",") {
		if media, _, err := mime.ParseMediaType(part); err == nil && media == "application/json" {
			return true
		}
	}
	return false
}

func (h *handler) changesJSON() bool {
	return len(h.remove.json)+len(h.rename.json)+len(h.replace.json)+len(h.add.json)+len(h.appendix.json) > 0
}

// body changes a JSON object. What is none, is compressed or is too large passes as it is.
func (h *handler) body(a *http.Response) error {
	if e := a.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil
	}
	old := a.Body
	b, err := io.ReadAll(io.LimitReader(old, maxBody+1))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	a.Body = joined{bytes.NewReader(b), old}
	if len(b) > maxBody {
		a.Body = joined{io.MultiReader(bytes.NewReader(b), old), old}
		return nil
	}
	object := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&object) != nil || object == nil || d.More() {
		return nil
	}
	h.members(object)
	changed, err := encode(object)
	if err != nil {
		return err
	}
	a.Body, a.ContentLength = joined{bytes.NewReader(changed), old}, int64(len(changed))
	return nil
}

type joined struct {
	io.Reader
	io.Closer
}

func (h *handler) members(object map[string]any) {
	for _, p := range h.remove.json {
		delete(object, p.name)
	}
	for _, p := range h.rename.json {
		if v, have := object[p.name]; have && p.value != "" {
			delete(object, p.name)
			object[p.value] = v
		}
	}
	for _, p := range h.replace.json {
		if v, ok := p.typed(); ok && truthy(object[p.name]) {
			object[p.name] = v
		}
	}
	for _, p := range h.add.json {
		if v, ok := p.typed(); ok && !truthy(object[p.name]) {
			object[p.name] = v
		}
	}
	for _, p := range h.appendix.json {
		if v, ok := p.typed(); ok {
			object[p.name] = appended(object[p.name], v)
		}
	}
}

// truthy is what counts as present: neither absent nor false.
func truthy(v any) bool { return v != nil && v != false }

// appended makes a list of what is there and v. A value that is neither a string nor a list gives
// way.
func appended(there, v any) any {
	switch t := there.(type) {
	case string:
		return []any{t, v}
	case []any:
		return append(t, v)
	}
	return []any{v}
}

// typed is the value in its JSON type; false when there is none.
func (p pair) typed() (any, bool) {
	if p.value == "" {
		return nil, false
	}
	switch p.kind {
	case "boolean":
		return p.value == "true", true
	case "number":
		f, err := strconv.ParseFloat(p.value, 64)
		return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
	}
	return strings.ReplaceAll(p.value, `\"`, `"`), true
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
