package admin

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync/atomic"
	"time"

	"tidemark/gateway/admin/body"
)

// A call is one request to one endpoint.
type call struct {
	ctx    context.Context
	params []string // the path's `{…}` segments, still percent-encoded
	args   url.Values
	body   body.Body
}

// A handler answers a call. Its error is mapped to an answer by fail.
type handler func(c *call) (answer, error)

// A plane is a tree of endpoints with what all of them share.
type plane struct {
	root        *node
	maxBody     int64
	refuse      func(r *http.Request) (status int, message string) // may be nil
	credentials bool                                               // tell browsers that they may send theirs
	log         *slog.Logger
	requests    atomic.Int64
}

// ServeHTTP answers every request, also one whose handler panics.
func (p *plane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	p.requests.Add(1)
	p.allowOrigin(w, r)
	if err := p.answer(w, r).write(w, r, began); err != nil {
		p.log.Error("admin answer", "error", err)
		_ = unexpected().write(w, r, began) // of a constant
	}
}

func (p *plane) allowOrigin(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		origin = "*"
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	if p.credentials {
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
}

// answer finds the endpoint and calls it.
func (p *plane) answer(w http.ResponseWriter, r *http.Request) (a answer) {
	defer func() {
		v := recover()
		if v == http.ErrAbortHandler {
			panic(v)
		}
		if v != nil {
			p.log.Error("admin handler panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
			a = unexpected()
		}
	}()
	if p.refuse != nil {
		if status, text := p.refuse(r); status != 0 {
			w.Header().Set("Connection", "close")
			return message(status, text)
		}
	}
	if r.Method == http.MethodTrace {
		return page(http.StatusMethodNotAllowed, "Not Allowed")
	}
	segments, valid := split(rawPath(r.URL))
	if !valid {
		return notFound()
	}
	n, params := p.root.match(segments)
	if n == nil {
		return notFound()
	}
	if r.Method == http.MethodOptions {
		return options(n)
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h := n.methods[method]
	if h == nil {
		return methodNotAllowed()
	}
	return p.call(w, r, h, params)
}

// call reads what h needs of the request and turns its error into an answer.
func (p *plane) call(w http.ResponseWriter, r *http.Request, h handler, params []string) answer {
	c := &call{ctx: r.Context(), params: params}
	var err error
	if c.args, err = body.Arguments(r.URL.RawQuery); err != nil {
		return p.fail(r, err)
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		if c.body, err = body.Read(w, r, p.maxBody); err != nil {
			return p.fail(r, err)
		}
	}
	a, err := h(c)
	if err != nil {
		return p.fail(r, err)
	}
	return a
}

func options(n *node) answer {
	allowed := n.allowed()
	return answer{status: http.StatusNoContent, header: map[string]string{
		"Allow":                        allowed,
		"Access-Control-Allow-Methods": allowed,
		"Access-Control-Allow-Headers": "Content-Type",
	}}
}

// rawPath is the path as the client sent it.
func rawPath(u *url.URL) string {
	if u.RawPath != "" {
		return u.RawPath
	}
	return u.EscapedPath()
}
