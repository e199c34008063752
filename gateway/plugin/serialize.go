package plugin

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// workspaceName is the only workspace's.
const workspaceName = "default"

// redacted stands for what must not be logged.
const redacted = "REDACTED"

// Serialize is the log entry of an exchange as one JSON object (QUE-04). It is encoded once for
// all plugins that ask; who gets it must not change it. Keys of key-auth are in it as the client
// sent them, the two authorization headers are not.
func Serialize(x *Exchange, e *Entry) []byte {
	if e.text == nil {
		var room [4 << 10]byte
		w := writer{b: room[:0]}
		w.open("", '{')
		w.request(x, e)
		w.response(e)
		w.passage(x, e)
		w.entities(x, e.Defects.BareEntry)
		w.close('}')
		e.text = bytes.Clone(w.b)
	}
	return e.text
}

// A writer appends JSON. It knows from what it wrote last where a comma belongs.
type writer struct{ b []byte }

func (w *writer) request(x *Exchange, e *Entry) {
	c := x.Client
	host, _, _ := strings.Cut(strings.ToLower(c.Host), ":")
	if strings.HasPrefix(c.Host, "[") {
		host = strings.ToLower(c.Host[:strings.LastIndexByte(c.Host, ']')+1])
	}
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	uri := c.RequestURI
	w.open("request", '{')
	w.text("id", x.ID)
	w.text("method", c.Method)
	w.text("uri", uri)
	w.text("url", scheme+"://"+host+":"+localPort(c)+uri)
	w.number("size", e.RequestSize)
	w.query(c.URL.RawQuery)
	w.open("headers", '{')
	w.text("host", c.Host)
	w.headers(c.Header, func(name string) bool {
		return !e.Defects.ShowAuthorization && (name == "Authorization" || name == "Proxy-Authorization")
	}, x.hidden)
	w.close('}')
	if c.TLS != nil {
		w.open("tls", '{')
		w.text("version", strings.Replace(tls.VersionName(c.TLS.Version), "TLS ", "TLSv", 1))
		w.text("cipher", tls.CipherSuiteName(c.TLS.CipherSuite))
		w.text("client_verify", "NONE")
		w.close('}')
	}
	w.close('}')
}

func (w *writer) response(e *Entry) {
	w.open("response", '{')
	w.number("status", int64(e.Status))
	w.number("size", e.ResponseSize)
	w.open("headers", '{')
	w.headers(e.Header, nil, nil)
	w.close('}')
	w.close('}')
}

// passage is how the request went and how long its parts took, in milliseconds.
func (w *writer) passage(x *Exchange, e *Entry) {
	kong, proxied, receive := e.Ended.Sub(e.Started), int64(-1), int64(0)
	if !e.Asked.IsZero() {
		kong, proxied = e.Asked.Sub(e.Started), e.Heard.Sub(e.Asked).Milliseconds()
		receive = e.Ended.Sub(e.Heard).Milliseconds()
	}
	w.open("latencies", '{')
	w.number("kong", kong.Milliseconds())
	w.number("proxy", proxied)
	w.number("receive", receive)
	w.number("request", e.Ended.Sub(e.Started).Milliseconds())
	w.close('}')
	w.tries(e.Tries)
	uri := ""
	if x.Upstream != nil {
		uri = x.Upstream.URL.Opaque
		if q := x.Upstream.URL.RawQuery; q != "" && !e.Asked.IsZero() {
			uri += "?" + q
		}
	}
	w.text("upstream_uri", uri)
	source := "kong"
	if e.Service {
		source = "upstream"
	}
	w.text("source", source)
	ip, _, err := net.SplitHostPort(x.Client.RemoteAddr)
	if err != nil {
		ip = x.Client.RemoteAddr
	}
	w.text("client_ip", ip)
	w.number("started_at", e.Started.UnixMilli())
}

// tries lists the attempts, and their statuses parted by commas; empty when there was none.
func (w *writer) tries(all []Try) {
	statuses := make([]byte, 0, 16)
	for i, t := range all {
		if i > 0 {
			statuses = append(statuses, ", "...)
		}
		statuses = strconv.AppendInt(statuses, int64(t.Status), 10)
	}
	w.text("upstream_status", string(statuses))
	if len(all) == 0 {
		return
	}
	w.open("tries", '[')
	for _, t := range all {
		w.open("", '{')
		host, port, _ := net.SplitHostPort(t.Address)
		w.text("ip", host)
		if n, err := strconv.ParseInt(port, 10, 32); err == nil {
			w.number("port", n)
		}
		w.number("balancer_start", t.Start.UnixMilli())
		w.number("balancer_start_ns", t.Start.UnixNano())
		w.number("balancer_latency", t.Chosen.Milliseconds())
		w.number("balancer_latency_ns", t.Chosen.Nanoseconds())
		if t.Failed {
			w.text("state", "failed")
			w.number("code", int64(t.Status))
		}
		w.close('}')
	}
	w.close(']')
}

// entities are what the request had to do with, whole.
func (w *writer) entities(x *Exchange, bare bool) {
	if x.Route != nil && !bare {
		w.raw("route", x.Route.Whole.JSON(x.Workspace))
	}
	if x.Service != nil && !bare {
		w.raw("service", x.Service.Whole.JSON(x.Workspace))
	}
	if x.Consumer != nil {
		w.raw("consumer", x.Consumer.Whole.JSON(x.Workspace))
	}
	if x.credential != "" {
		w.open("authenticated_entity", '{')
		w.text("id", x.credential)
		w.close('}')
	}
	w.text("workspace", x.Workspace)
	w.text("workspace_name", workspaceName)
}

// hidden tells whether a plugin has taken a header of the client's out of what the service gets:
// credentials that are hidden there do not belong into a log either.
func (x *Exchange) hidden(name string) bool {
	if x.Upstream == nil || x.credential == "" {
		return false
	}
	if _, kept := x.Upstream.Header[name]; kept {
		return false
	}
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade", "Expect":
		return false
	}
	return true
}

// headers writes names in lower case; several values of one are a list.
func (w *writer) headers(all http.Header, redact, skip func(name string) bool) {
	for name, values := range all {
		if len(values) == 0 || strings.HasPrefix(name, http.TrailerPrefix) || skip != nil && skip(name) {
			continue
		}
		w.name(name)
		for i := len(w.b) - len(name) - 2; i < len(w.b); i++ {
			if c := w.b[i]; c >= 'A' && c <= 'Z' {
				w.b[i] += 'a' - 'A'
			}
		}
		switch {
		case redact != nil && redact(name):
			w.string(redacted)
		case len(values) == 1:
			w.string(values[0])
		default:
			w.strings(values)
		}
	}
}

// query writes the arguments: a string each, true without a value, a list for several of one name.
func (w *writer) query(raw string) {
	w.open("querystring", '{')
	defer w.close('}')
	if raw == "" {
		return
	}
	var names []string
	values := map[string][]any{}
	for part := range strings.SplitSeq(raw, "&") {
		name, v, given := strings.Cut(part, "=")
		if name = unescape(name); name == "" {
			continue
		}
		if _, seen := values[name]; !seen {
			names = append(names, name)
		}
		if given {
			values[name] = append(values[name], unescape(v))
		} else {
			values[name] = append(values[name], true)
		}
	}
	for _, name := range names {
		var shown any = values[name]
		if len(values[name]) == 1 {
			shown = values[name][0]
		}
		text, _ := json.Marshal(shown) // strings and true
		w.raw(name, text)
	}
}

// unescape leaves what is not escaped well as it is.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// localPort is the port that the client connected to.
func localPort(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if _, port, err := net.SplitHostPort(a.String()); err == nil {
			return port
		}
	}
	return "0"
}

func (w *writer) comma() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) name(name string) {
	w.comma()
	w.string(name)
	w.b = append(w.b, ':')
}

// open begins an object or a list; without a name it is the whole or an element.
func (w *writer) open(name string, bracket byte) {
	if name == "" {
		w.comma()
	} else {
		w.name(name)
	}
	w.b = append(w.b, bracket)
}

func (w *writer) close(bracket byte) { w.b = append(w.b, bracket) }

func (w *writer) text(name, v string) {
	w.name(name)
	w.string(v)
}

func (w *writer) number(name string, v int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, v, 10)
}

// raw writes what is JSON already, and nothing at all where that is empty.
func (w *writer) raw(name string, v []byte) {
	if len(v) > 0 {
		w.name(name)
		w.b = append(w.b, v...)
	}
}

func (w *writer) strings(all []string) {
	w.b = append(w.b, '[')
	for i, v := range all {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.string(v)
	}
	w.b = append(w.b, ']')
}

func (w *writer) string(v string) {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(v) // a string never fails; bytes that are no UTF-8 are replaced
			w.b = append(w.b, text...)
			return
		}
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, v...)
	w.b = append(w.b, '"')
}
