// Package proxy is the data plane: it serves requests from the state in memory and needs no
// database to do so.
//
// A request is matched, runs through the plugins bound to what it matched, goes to the service and
// comes back through the plugins. [Live] replaces the state whole, so that one request sees one
// configuration from its first to its last step.
//
// The room is larger than others because three things here cannot be cut apart without a seam of
// their own: the passage of a request, the timeouts and retries of its attempts, and the state
// that it is served from. What an answer looks like, and what a service is told, are tables beside.
package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/router"
)

// Options configure the handler.
type Options struct {
	Live *Live
	// Transport carries requests to services. It honours [net/http/httptrace.ClientTrace] as
	// http.Transport does: the service's timeouts hang on GotConn and WroteRequest. It does not
	// decompress. Nil: [NewTransport].
	Transport http.RoundTripper
	// Refuse gives the answer to what is no request for a service, 0 for all else. May be nil.
	Refuse  func(r *http.Request) (status int, message string)
	Version string         // of Kong, as Server and Via say it; empty: 3.8.1
	Worker  *plugin.Worker // whose requests these are; may be nil
	Logger  *slog.Logger
	Defects Defects
}

type handler struct {
	o       Options
	agent   string    // kong/3.8.1
	buffers sync.Pool // of *[bufferSize]byte
}

// bufferSize is how much of an answer is copied at once, in bytes.
const bufferSize = 32 << 10

// New makes the handler. It holds no state of its own; a request ends with its context.
func New(o Options) http.Handler {
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == "" {
		o.Version = "3.8.1"
	}
	return &handler{o: o, agent: "kong/" + o.Version, buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

// A passage is one request's way through the handler.
type passage struct {
	*handler
	x       *plugin.Exchange
	start   time.Time
	asked   time.Time // when the request went to the service
	heard   time.Time // when the service's headers, or its failure, came back
	state   *State
	chain   []plugin.Bound
	matched *router.Match
	body    *watchedBody // nil: not forwarded, or empty
	duplex  bool         // the answer may begin before the request has ended
	tries   []plugin.Try
	sent    delivery
}

// ServeHTTP serves one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := &passage{handler: h, start: time.Now(), state: h.o.Live.Current()}
	p.x = &plugin.Exchange{ID: requestID(), Client: r, Worker: h.o.Worker, Workspace: p.state.Workspace}
	p.chain = p.state.Plugins.For("", "", "")
	sent := false
	defer p.log(w)
	defer func() {
		if e := recover(); e != nil {
			if e == http.ErrAbortHandler { //nolint:errorlint // the sentinel itself is the panic
				panic(e)
			}
			h.o.Logger.Error("panic in a request", "request_id", p.x.ID, "panic", e, "stack", string(debug.Stack()))
			if sent {
				panic(http.ErrAbortHandler)
			}
			p.send(w, outcome{Response: own(http.StatusInternalServerError, msgUnexpected, p.x.ID, accepted(r))})
		}
	}()
	a := p.answer(w, r)
	if a.Response == nil { // the client is gone
		panic(http.ErrAbortHandler)
	}
	defer a.Body.Close()
	a = p.respond(a)
	defer a.Body.Close() // it may be another one
	sent = true
	p.send(w, a)
}

// requestID makes 32 hexadecimal digits.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// answer finds who answers and lets it.
func (p *passage) answer(w http.ResponseWriter, r *http.Request) outcome {
	switch refused := p.refuse(r); {
	case refused != nil:
		return outcome{Response: refused}
	case p.o.Defects.FailClosed && p.o.Live.failing():
		return p.say(http.StatusServiceUnavailable, msgUnavailable)
	case p.state.Loaded.IsZero():
		return p.say(http.StatusServiceUnavailable, msgNotLoaded)
	}
	if p.matched = p.state.Router.Match(r); p.matched == nil {
		return p.say(http.StatusNotFound, msgNoRoute)
	}
	if to := insist(p.matched.Route, r, p.x.ID); to != nil {
		return outcome{Response: to}
	}
	p.x.Route, p.x.Service = p.matched.Route, p.matched.Service
	if p.x.Service == nil {
		p.x.Upstream = p.request(&entity.Service{Protocol: "http"})
	} else {
		p.x.Upstream = p.request(p.x.Service)
	}
	p.chain = p.bound("")
	if a := p.access(); a != nil {
		return outcome{Response: a}
	}
	if p.x.Service == nil {
		return p.say(http.StatusServiceUnavailable, msgNoService)
	}
	return p.forward(w)
}

// say is an answer of the gateway itself.
func (p *passage) say(status int, message string) outcome {
	return outcome{Response: own(status, message, p.x.ID, accepted(p.x.Client))}
}

// refuse answers what is no request for a service at all.
func (p *passage) refuse(r *http.Request) *http.Response {
	status, message := 0, ""
	switch {
	case r.Method == http.MethodTrace:
		status, message = http.StatusMethodNotAllowed, msgNotAllowed
	case r.Method == http.MethodConnect, r.Host == "" && r.ProtoAtLeast(1, 1):
		status, message = http.StatusBadRequest, msgBadRequest
	case p.o.Refuse != nil:
		status, message = p.o.Refuse(r)
	}
	if status == 0 {
		return nil
	}
	a := own(status, message, p.x.ID, acceptedOrSent(r))
	a.Header.Set("Connection", "close")
	return a
}

// insist answers a plain request on a route that is for https only.
func insist(route *entity.Route, r *http.Request, id string) *http.Response {
	if r.TLS != nil || len(route.Protocols) == 0 || slices.Contains(route.Protocols, "http") {
		return nil
	}
	status := route.HTTPSRedirectStatusCode
	if status == 0 || status == http.StatusUpgradeRequired {
		a := own(http.StatusUpgradeRequired, msgHTTPS, id, accepted(r))
		a.Header.Set("Connection", "Upgrade")
		a.Header.Set("Upgrade", "TLS/1.2, HTTP/1.1")
		return a
	}
	a := raw(status, "", nil)
	a.Header.Set("Location", "https://"+hostOnly(r.Host)+r.URL.RequestURI())
	return a
}

// bound lists the plugins of what was matched, for a consumer where one is known.
func (p *passage) bound(consumer string) []plugin.Bound {
	service := ""
	if p.x.Service != nil {
		service = p.x.Service.ID
	}
	return p.state.Plugins.For(p.x.Route.ID, service, consumer)
}

// access runs the chain until one plugin answers. When a plugin finds out who calls, those after
// it are chosen anew: an instance bound to the consumer may take the place of another.
func (p *passage) access() *http.Response {
	for i := 0; i < len(p.chain); i++ {
		before := p.x.Consumer
		a, err := p.chain[i].Handler.Access(p.x)
		if err != nil {
			p.o.Logger.Error("plugin failed", "plugin", p.chain[i].Name, "request_id", p.x.ID, "error", err)
			return own(http.StatusInternalServerError, msgUnexpected, p.x.ID, accepted(p.x.Client))
		}
		if a != nil {
			return p.fromPlugin(a)
		}
		if p.x.Consumer != before && p.x.Consumer != nil {
			p.chain = slices.Concat(p.chain[:i+1], after(p.bound(p.x.Consumer.ID), p.chain[i]))
		}
	}
	return nil
}

// after gives what runs later than done.
func after(chain []plugin.Bound, done plugin.Bound) []plugin.Bound {
	i := slices.IndexFunc(chain, func(b plugin.Bound) bool {
		return b.Priority < done.Priority || b.Priority == done.Priority && b.Name > done.Name
	})
	if i < 0 {
		return nil
	}
	return chain[i:]
}

// fromPlugin gives a plugin's answer its form.
func (p *passage) fromPlugin(a *plugin.Answer) *http.Response {
	r := raw(a.Status, a.ContentType, a.Body)
	if a.Message != "" {
		r = own(a.Status, a.Message, p.x.ID, accepted(p.x.Client))
	}
	for name, values := range a.Header {
		r.Header[name] = values
	}
	return r
}

// respond lets the chain change the answer. A plugin that fails turns it into a 500.
func (p *passage) respond(a outcome) outcome {
	for _, b := range p.chain {
		if err := b.Handler.Response(p.x, a.Response); err != nil {
			p.o.Logger.Error("plugin failed", "plugin", b.Name, "request_id", p.x.ID, "error", err)
			_ = a.Body.Close()
			return p.say(http.StatusInternalServerError, msgUnexpected)
		}
	}
	return a
}

// send writes the answer. Once the headers are out, a failure ends the connection, so that the
// client does not take a part for the whole.
func (p *passage) send(w http.ResponseWriter, a outcome) {
	header := w.Header()
	for name, values := range a.Header {
		header[name] = values
	}
	p.mark(header, a)
	length(header, a.Response)
	if p.duplex && !p.body.ended() {
		header.Set("Connection", "close") // the rest of the request must not pass for the next one
	}
	for _, quiet := range []string{"Date", "Content-Type"} {
		if _, have := header[quiet]; !have && a.proxied {
			header[quiet] = nil // net/http would make one up
		}
	}
	p.sent = delivery{status: a.StatusCode, header: header, service: a.proxied && p.answered()}
	w.WriteHeader(a.StatusCode)
	if p.x.Client.Method == http.MethodHead {
		p.sent.whole = true
		return
	}
	if err := p.pour(w, a.Response); err != nil {
		if p.x.Context().Err() == nil {
			p.o.Logger.Warn("answer broke off", "request_id", p.x.ID, "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	for name, values := range a.Trailer {
		header[http.TrailerPrefix+name] = values
	}
	p.sent.whole = true
}

// length says how long the body is, where there may be one.
func length(header http.Header, a *http.Response) {
	switch {
	case a.StatusCode < 200, a.StatusCode == http.StatusNoContent, a.StatusCode == http.StatusNotModified:
	case a.ContentLength < 0:
		header.Del("Content-Length")
	default:
		header.Set("Content-Length", strconv.FormatInt(a.ContentLength, 10))
	}
}

// mark adds the gateway's own headers.
func (p *passage) mark(header http.Header, a outcome) {
	if a.proxied {
		header.Set("X-Kong-Upstream-Latency", millis(p.heard.Sub(p.asked)))
		header.Set("X-Kong-Proxy-Latency", millis(p.asked.Sub(p.start)))
		via := "1.1 " + p.agent
		if a.Response.ProtoMajor == 2 {
			via = "2 " + p.agent
		}
		header.Set("Via", strings.Join(append(slices.Clip(header["Via"]), via), ", "))
	} else {
		header.Set("X-Kong-Response-Latency", millis(time.Since(p.start)))
	}
	if header.Get("Server") == "" {
		header.Set("Server", p.agent)
	}
	header.Set("X-Kong-Request-Id", p.x.ID)
}

// millis rounds down, as the latency headers do.
func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// pour copies the body and hands on what has come as soon as no more is there.
func (p *passage) pour(w http.ResponseWriter, a *http.Response) error {
	if a.ContentLength == 0 {
		return nil
	}
	flush := http.NewResponseController(w).Flush
	pooled := p.buffers.Get().(*[bufferSize]byte)
	defer p.buffers.Put(pooled)
	buffer := pooled[:]
	var total int64
	for {
		n, err := a.Body.Read(buffer)
		if n > 0 {
			if _, werr := w.Write(buffer[:n]); werr != nil {
				return fmt.Errorf("write answer: %w", werr)
			}
			total += int64(n)
			p.sent.body = total
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read answer: %w", err)
		case n < len(buffer) && total != a.ContentLength:
			if ferr := flush(); ferr != nil && !errors.Is(ferr, http.ErrNotSupported) {
				return fmt.Errorf("flush answer: %w", ferr)
			}
		}
	}
}
