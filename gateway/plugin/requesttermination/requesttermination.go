// Package requesttermination answers in place of the service: always, or where the request has a
// trigger. It can echo the request, to show what the gateway made of it.
package requesttermination

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/schema"
)

// maxBody is the largest body that is echoed, in bytes.
const maxBody = 1 << 20

type termination struct{ nodeID string }

// New makes the plugin; nodeID is shown where "echo" is on.
func New(nodeID string) plugin.Plugin { return &termination{nodeID: nodeID} }

func (*termination) Name() string  { return "request-termination" }
func (*termination) Priority() int { return 2 }

// Config declares the fields.
func (*termination) Config() *schema.Schema {
	return &schema.Schema{Name: "request-termination", Check: check, Fields: []schema.Field{
		{Name: "status_code", Type: schema.Integer, Required: true, Default: int64(503), Between: []float64{100, 599}},
		{Name: "message", Type: schema.String},
		{Name: "content_type", Type: schema.String},
		{Name: "body", Type: schema.String},
		{Name: "echo", Type: schema.Boolean, Required: true, Default: false},
		{Name: "trigger", Type: schema.String},
	}}
}

// check holds the rules between fields; the first broken one is the message.
func check(config map[string]any) []string {
	set := func(field string) bool {
		s, _ := config[field].(string)
		return s != ""
	}
	echo, _ := config["echo"].(bool)
	switch {
	case set("message") && (set("content_type") || set("body")):
		return []string{"message cannot be used with content_type or body"}
	case set("content_type") && !set("body"):
		return []string{"content_type requires a body"}
	case echo && (set("content_type") || set("body")):
		return []string{"echo cannot be used with content_type and body"}
	}
	return nil
}

// New makes an instance.
func (t *termination) New(config map[string]any) (plugin.Handler, error) {
	c := plugin.Read(config)
	h := &handler{
		nodeID:      t.nodeID,
		status:      c.Int("status_code", http.StatusServiceUnavailable),
		message:     c.String("message", ""),
		body:        c.String("body", ""),
		contentType: contentType(c.String("content_type", "")),
		echo:        c.Bool("echo", false),
		trigger:     c.String("trigger", ""),
	}
	if h.message == "" {
		h.message = usual(h.status)
	}
	return h, c.Err()
}

// usual is the message for a status that has one.
func usual(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "Unauthorized"
	case http.StatusNotFound:
		return "Not found"
	case http.StatusMethodNotAllowed:
		return "Method not allowed"
	case http.StatusInternalServerError:
		return "An unexpected error occurred"
	case http.StatusBadGateway:
		return "Bad Gateway"
	case http.StatusServiceUnavailable:
		return "Service unavailable"
	}
	return ""
}

// contentType names the charset of texts, as the server does.
func contentType(configured string) string {
	if configured == "" {
		configured = "text/plain"
	}
	media, params, err := mime.ParseMediaType(configured)
	if err == nil && len(params) == 0 && slices.Contains([]string{"text/html", "text/plain", "text/xml"}, media) {
		return media + "; charset=UTF-8"
	}
	return configured
}

type handler struct {
	plugin.Quiet
	nodeID      string
	status      int
	message     string
	body        string
	contentType string
	echo        bool
	trigger     string // a header or an argument; empty: every request
}

const jsonType = "application/json; charset=utf-8"

// Access ends the exchange.
func (h *handler) Access(x *plugin.Exchange) (*plugin.Answer, error) {
	if h.trigger != "" && x.Client.Header.Get(h.trigger) == "" && !x.Client.URL.Query().Has(h.trigger) {
		return nil, nil
	}
	a := &plugin.Answer{Status: h.status}
	switch {
	case h.echo:
		return h.show(x, a)
	case h.body != "":
		a.ContentType, a.Body = h.contentType, []byte(h.body)
	case h.message != "":
		b, err := encode(map[string]any{"message": h.message})
		if err != nil {
			return nil, err
		}
		a.ContentType, a.Body = jsonType, b
	}
	return a, nil
}

// show answers with the request and what it matched.
func (h *handler) show(x *plugin.Exchange, a *plugin.Answer) (*plugin.Answer, error) {
	body, err := x.Body(maxBody)
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	shown := map[string]any{
		"message":         h.message,
		"kong":            map[string]any{"node_id": h.nodeID, "hostname": name, "worker_pid": os.Getpid()},
		"matched_route":   routeFields(x.Route),
		"matched_service": serviceFields(x.Service),
		"request":         requestFields(x.Client, body),
	}
	a.ContentType = jsonType
	a.Body, err = encode(shown)
	return a, err
}

// encode makes JSON on one line and leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func routeFields(r *entity.Route) map[string]any {
	m := map[string]any{
		"id": r.ID, "protocols": r.Protocols, "strip_path": r.StripPath, "preserve_host": r.PreserveHost,
		"regex_priority": r.RegexPriority, "path_handling": r.PathHandling,
		"https_redirect_status_code": r.HTTPSRedirectStatusCode,
		"request_buffering":          r.RequestBuffering, "response_buffering": r.ResponseBuffering,
		"created_at": r.CreatedAt.Unix(),
	}
	for name, list := range map[string][]string{"paths": r.Paths, "hosts": r.Hosts, "methods": r.Methods, "snis": r.SNIs, "tags": r.Tags} {
		if len(list) > 0 {
			m[name] = list
		}
	}
	if r.Name != "" {
		m["name"] = r.Name
	}
	if len(r.Headers) > 0 {
		m["headers"] = r.Headers
	}
	if r.ServiceID != "" {
		m["service"] = map[string]any{"id": r.ServiceID}
	}
	return m
}

func serviceFields(s *entity.Service) any {
	if s == nil {
		return nil
	}
	m := map[string]any{
		"id": s.ID, "protocol": s.Protocol, "host": s.Host, "port": s.Port, "retries": s.Retries, "enabled": s.Enabled,
		"connect_timeout": s.ConnectTimeout.Milliseconds(), "write_timeout": s.WriteTimeout.Milliseconds(),
		"read_timeout": s.ReadTimeout.Milliseconds(),
	}
	if s.Name != "" {
		m["name"] = s.Name
	}
	if s.Path != "" {
		m["path"] = s.Path
	}
	return m
}

func requestFields(r *http.Request, body []byte) map[string]any {
	scheme, port := "http", 0
	if r.TLS != nil {
		scheme = "https"
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, p, err := net.SplitHostPort(addr.String()); err == nil {
			port, _ = strconv.Atoi(p)
		}
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	headers := map[string]any{"host": r.Host}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = oneOrAll(values)
	}
	query := map[string]any{}
	for name, values := range r.URL.Query() {
		query[name] = oneOrAll(values)
	}
	m := map[string]any{
		"method": r.Method, "path": r.URL.EscapedPath(), "scheme": scheme, "host": host, "port": port,
		"headers": headers, "query": query, "raw_body": string(body),
		"uri_captures": map[string]any{"named": map[string]any{}, "unnamed": map[string]any{}},
	}
	if parsed := parse(r.Header.Get("Content-Type"), body); parsed != nil {
		m["body"] = parsed
	}
	return m
}

// parse decodes a JSON or form body, nil for any other.
func parse(contentType string, body []byte) any {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil
	}
	switch media {
	case "application/json":
		var v any
		if json.Unmarshal(body, &v) == nil {
			return v
		}
	case "application/x-www-form-urlencoded":
		if q, err := url.ParseQuery(string(body)); err == nil {
			m := map[string]any{}
			for name := range maps.Keys(q) {
				m[name] = oneOrAll(q[name])
			}
			return m
		}
	}
	return nil
}

func oneOrAll(values []string) any {
	if len(values) == 1 {
		return values[0]
	}
	return values
}
