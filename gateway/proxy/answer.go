package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// The messages of answers that the gateway gives itself.
const (
	msgBadRequest  = "Bad request"
	msgNotAllowed  = "Method not allowed"
	msgNoRoute     = "no Route matched with those values"
	msgNoService   = "no Service found with those values"
	msgHTTPS       = "Please use HTTPS protocol"
	msgUnexpected  = "An unexpected error occurred"
	msgUnavailable = "The upstream server is currently unavailable"
	msgNoName      = "name resolution failed"
	msgBadGateway  = "An invalid response was received from the upstream server"
	msgTimeout     = "The upstream server is timing out"
	msgNotLoaded   = "no configuration loaded yet"
)

// A format is one of the forms that an error body can have.
type format struct {
	media, contentType string
	body               func(message, id string) string
}

// formats lists the forms; the first serves who accepts anything or nothing that we have.
func formats() []format {
	return []format{
		{"application/json", "application/json; charset=utf-8", func(m, id string) string {
			return fmt.Sprintf("{\n  \"message\":%s,\n  \"request_id\":%s\n}", quote(m), quote(id))
		}},
		{"text/html", "text/html; charset=utf-8", func(m, id string) string {
			return fmt.Sprintf("<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n"+
				"  <body>\n    <h1>Error</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n  </body>\n</html>\n", html.EscapeString(m), id)
		}},
		{"text/plain", "text/plain; charset=utf-8", func(m, id string) string {
			return fmt.Sprintf("%s\nrequest_id: %s\n", m, id)
		}},
		{"application/xml", "application/xml; charset=utf-8", func(m, id string) string {
			return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%s</message>\n  <requestid>%s</requestid>\n</error>\n",
				html.EscapeString(m), id)
		}},
		{"application/grpc", " ", func(string, string) string { return "" }},
	}
}

// quote makes a JSON string and leaves <, > and & as they are.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// negotiate picks the form that accept prefers: the highest q, of equal ones the one named first.
func negotiate(accept string) format {
	all := formats()
	best, bestQ := all[0], 0.0
	for _, part := range strings.Split(accept, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(s, 64); err != nil {
				q = 0
			}
		}
		f, ok := find(all, media)
		if ok && q > bestQ {
			best, bestQ = f, q
		}
	}
	return best
}

// find gives the form for a media range.
func find(all []format, media string) (format, bool) {
	switch media {
	case "*/*", "application/*":
		return all[0], true
	case "text/*":
		media = "text/plain"
	}
	for _, f := range all {
		if f.media == media {
			return f, true
		}
	}
	return format{}, false
}

// An outcome is an answer on its way to the client.
type outcome struct {
	*http.Response
	proxied bool // the service was asked, even when it did not answer
}

// own makes an answer of the gateway itself, in the form that the client accepts.
func own(status int, message, id, accept string) *http.Response {
	f := negotiate(accept)
	return raw(status, f.contentType, []byte(f.body(message, id)))
}

// raw makes an answer with this body.
func raw(status int, contentType string, body []byte) *http.Response {
	a := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	if contentType != "" {
		a.Header.Set("Content-Type", contentType)
	}
	return a
}

// accepted is what decides over the form of an answer that stems from a plugin or the router.
func accepted(r *http.Request) string { return strings.Join(r.Header.Values("Accept"), ",") }

// acceptedOrSent decides where the transport failed: there a client that accepts nothing in
// particular gets what it sent itself, else plain text.
func acceptedOrSent(r *http.Request) string {
	for _, a := range []string{accepted(r), r.Header.Get("Content-Type")} {
		if a != "" {
			return a
		}
	}
	return "text/plain"
}
