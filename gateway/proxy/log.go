package proxy

import (
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"tidemark/gateway/plugin"
)

// statusClosed is what the log says of a client that left before there was an answer, as nginx has it.
const statusClosed = 499

// A delivery is how far an answer got.
type delivery struct {
	status  int // 0: nothing was sent
	header  http.Header
	body    int64 // bytes
	service bool  // it is the service's
	whole   bool
}

// answered tells whether the service was heard, rather than given up.
func (p *passage) answered() bool { return len(p.tries) > 0 && !p.tries[len(p.tries)-1].Failed }

// log tells the plugins that log how the exchange ended (QUE-01). What it takes is none of the
// client's time: the answer is handed to the connection before.
func (p *passage) log(w http.ResponseWriter) {
	var entry *plugin.Entry
	for _, b := range p.chain {
		logger, logs := b.Handler.(plugin.Logger)
		if !logs {
			continue
		}
		if entry == nil {
			if p.sent.whole {
				_ = http.NewResponseController(w).Flush() // where that fails, the client is gone
			}
			entry = p.entry()
		}
		entry.Bound = b
		p.tell(logger, entry)
	}
}

// tell hands the entry to one plugin. One that panics costs the others nothing.
func (p *passage) tell(l plugin.Logger, entry *plugin.Entry) {
	defer func() {
		if e := recover(); e != nil {
			p.o.Logger.Error("panic in a log plugin", "plugin", entry.Bound.Name, "request_id", p.x.ID, "panic", e, "stack", string(debug.Stack()))
		}
	}()
	l.Log(p.x, entry)
}

func (p *passage) entry() *plugin.Entry {
	e := &plugin.Entry{
		Started: p.start, Asked: p.asked, Heard: p.heard, Ended: time.Now(), Tries: p.tries,
		Service: p.sent.service, Status: p.sent.status, Header: p.sent.header,
		RequestSize: p.requestSize(),
	}
	if e.Heard.IsZero() {
		e.Heard = e.Ended // the client left while the service was asked
	}
	if e.Status == 0 {
		e.Status = statusClosed
		return e
	}
	e.ResponseSize = answerSize(e.Status, e.Header) + p.sent.body
	return e
}

// answerSize is what an answer takes without its body, in bytes: as net/http writes it in HTTP/1.1.
func answerSize(status int, header http.Header) int64 {
	n := len("HTTP/1.1 000 \r\n\r\n") + len(http.StatusText(status))
	if _, set := header["Date"]; !set {
		n += len("Date: \r\n") + len(http.TimeFormat)
	}
	if header.Get("Content-Length") == "" && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified {
		n += len("Transfer-Encoding: chunked\r\n")
	}
	return int64(n) + headerSize(header)
}

// requestSize is what the request took as HTTP/1.1, in bytes.
func (p *passage) requestSize() int64 {
	r := p.x.Client
	n := len(r.Method) + len(r.RequestURI) + len("  HTTP/1.1\r\nHost: \r\n\r\n") + len(r.Host)
	size := int64(n) + headerSize(r.Header)
	switch {
	case r.ContentLength > 0: // its header is among the others
		size += r.ContentLength
	case p.body != nil:
		p.body.mu.Lock()
		size += p.body.size
		p.body.mu.Unlock()
	}
	return size
}

func headerSize(h http.Header) int64 {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(": \r\n") + len(v)
		}
	}
	return int64(n)
}

// told is what the log says of an attempt that has ended.
func (a *attempt) told(answer *http.Response, err error, out *http.Request) plugin.Try {
	t := plugin.Try{Start: a.began, Chosen: a.chosen, Address: out.URL.Host}
	a.mu.Lock()
	remote := a.remote
	a.mu.Unlock()
	var dial *net.OpError
	switch {
	case remote != nil:
		t.Address = remote.String()
	case errors.As(err, &dial) && dial.Addr != nil:
		t.Address = dial.Addr.String()
	}
	switch {
	case err == nil:
		t.Status = answer.StatusCode
	case errors.Is(err, errTimeout):
		t.Status, t.Failed = http.StatusGatewayTimeout, true
	default:
		t.Status, t.Failed = http.StatusBadGateway, true
	}
	return t
}
