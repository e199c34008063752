package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/gateway/entity"
)

// errTimeout is the cause of a context that one of the service's timeouts has ended.
var errTimeout = errors.New("service timed out")

// forward asks the service, again when it could not be reached, and gives its answer or the error
// that stands for it. The outcome is empty when the client went away.
func (p *passage) forward(w http.ResponseWriter) outcome {
	p.asked = time.Now()
	out := p.x.Upstream
	if out.Body != http.NoBody {
		p.body = &watchedBody{ReadCloser: out.Body}
	}
	if p.body != nil && out.ContentLength < 0 && p.x.Client.ProtoMajor == 1 {
		// A stream: HTTP/1 otherwise swallows the rest of it before the answer begins.
		p.duplex = http.NewResponseController(w).EnableFullDuplex() == nil
	}
	var err error
	for try := 0; try <= p.x.Service.Retries; try++ {
		attempt := &attempt{began: time.Now()}
		var a *http.Response
		a, err = p.try(attempt, out)
		p.tries = append(p.tries, attempt.told(a, err, out))
		if err == nil {
			p.heard = time.Now()
			removeHopByHop(a.Header)
			return outcome{Response: a, proxied: true}
		}
		if p.x.Context().Err() != nil {
			return outcome{}
		}
		if !retryable(out.Method, attempt.connected(), err) || !p.body.rewind(out) {
			break
		}
	}
	p.heard = time.Now()
	p.o.Logger.Warn("service did not answer", "service", p.x.Service.ID, "request_id", p.x.ID, "error", err)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return p.say(http.StatusServiceUnavailable, msgNoName)
	case errors.Is(err, errTimeout):
		return p.fail(http.StatusGatewayTimeout, msgTimeout)
	default:
		return p.fail(http.StatusBadGateway, msgBadGateway)
	}
}

// fail is an answer for a service that was asked and gave none.
func (p *passage) fail(status int, message string) outcome {
	return outcome{Response: own(status, message, p.x.ID, acceptedOrSent(p.x.Client)), proxied: true}
}

// retryable tells whether the same request may be sent again: it never reached a server, or it may
// be repeated without harm. A service that is slow once is not asked again.
func retryable(method string, connected bool, err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return false
	}
	if !connected {
		return true
	}
	if errors.Is(err, errTimeout) {
		return false
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return true
	default:
		return false
	}
}

// try sends the request once. The answer's body must be closed.
func (p *passage) try(a *attempt, out *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(verifying(p.x.Context(), p.x.Service))
	a.cancel, a.service = cancel, p.x.Service
	req := out.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:      func(i httptrace.GotConnInfo) { a.got(i.Conn.RemoteAddr()) },
		WroteRequest: func(httptrace.WroteRequestInfo) { a.asking(a.service.ReadTimeout) },
	}))
	if p.body != nil {
		req.Body = p.body.on(a)
	}
	a.asking(a.service.ConnectTimeout)
	a.chosen = time.Since(a.began)
	answer, err := p.o.Transport.RoundTrip(req)
	if err != nil {
		a.end()
		if cause := context.Cause(ctx); errors.Is(cause, errTimeout) {
			err = fmt.Errorf("%v: %w", err, cause)
		}
		cancel(nil)
		return nil, fmt.Errorf("ask %s: %w", req.URL.Host, err)
	}
	a.answers()
	answer.Body = &timedBody{ReadCloser: answer.Body, a: a, ctx: ctx}
	return answer, nil
}

// An attempt is one request to a service under its timeouts. Each limits the time in which nothing
// happens, not the whole: connect until there is a connection, then write between two pieces of
// the request, then read between two pieces of the answer.
type attempt struct {
	service *entity.Service
	cancel  context.CancelCauseFunc
	began   time.Time
	chosen  time.Duration // what it took to get ready

	mu       sync.Mutex
	timer    *time.Timer
	deadline time.Time // zero: none
	ended    bool
	conn     bool // there is a connection
	remote   net.Addr
	answered bool // the headers of the answer are here
}

func (a *attempt) connected() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.conn
}

func (a *attempt) got(remote net.Addr) {
	a.mu.Lock()
	a.conn, a.remote = true, remote
	a.mu.Unlock()
	a.asking(a.service.WriteTimeout)
}

// answers ends the part in which the request is what is waited for. The rest of it may still be on
// its way, but only the answer counts from here on.
func (a *attempt) answers() {
	a.mu.Lock()
	a.answered = true
	a.mu.Unlock()
	a.arm(0)
}

// asking is arm until the answer has begun.
func (a *attempt) asking(d time.Duration) {
	a.mu.Lock()
	done := a.answered
	a.mu.Unlock()
	if !done {
		a.arm(d)
	}
}

// arm ends the attempt after d unless something happens; 0 sets no limit.
func (a *attempt) arm(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.deadline = time.Time{}
	if d <= 0 {
		return
	}
	a.deadline = time.Now().Add(d)
	if a.timer == nil {
		a.timer = time.AfterFunc(d, a.expire)
	} else {
		a.timer.Reset(d)
	}
}

// expire runs when the timer does, which may be just when something has happened after all.
func (a *attempt) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended || a.deadline.IsZero() || time.Now().Before(a.deadline) {
		return
	}
	a.ended = true
	a.cancel(errTimeout)
}

// end stops the clock for good.
func (a *attempt) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// A timedBody is the body of an answer under the read timeout.
type timedBody struct {
	io.ReadCloser
	a   *attempt
	ctx context.Context
}

func (b *timedBody) Read(to []byte) (int, error) {
	b.a.arm(b.a.service.ReadTimeout)
	n, err := b.ReadCloser.Read(to)
	b.a.arm(0) // from here on the client is waited for
	if err != nil && errors.Is(context.Cause(b.ctx), errTimeout) {
		err = fmt.Errorf("%v: %w", err, errTimeout)
	}
	return n, err
}

func (b *timedBody) Close() error {
	b.a.end()
	err := b.ReadCloser.Close()
	b.a.cancel(nil)
	return err
}

// A watchedBody is the client's body, which outlives a transport that closes it and knows whether
// a part of it is gone.
type watchedBody struct {
	io.ReadCloser
	mu        sync.Mutex
	read, eof bool
	size      int64 // bytes that the client has sent
}

// ended tells whether all of it has been read.
func (b *watchedBody) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.eof
}

// rewind makes the body ready to be sent from its start; false when that is not possible.
func (b *watchedBody) rewind(out *http.Request) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.read {
		return true
	}
	if out.GetBody == nil {
		return false
	}
	body, err := out.GetBody()
	if err != nil {
		return false
	}
	b.ReadCloser, b.read, b.size = body, false, 0
	return true
}

// on gives the body to one attempt. While the client is waited for, the write timeout rests.
func (b *watchedBody) on(a *attempt) io.ReadCloser { return &attemptBody{watched: b, a: a} }

type attemptBody struct {
	watched *watchedBody
	a       *attempt
	closed  atomic.Bool
}

func (b *attemptBody) Read(to []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	b.watched.mu.Lock()
	b.watched.read = true
	source := b.watched.ReadCloser
	b.watched.mu.Unlock()
	b.a.asking(0)
	n, err := source.Read(to)
	b.watched.mu.Lock()
	b.watched.size += int64(n)
	b.watched.eof = b.watched.eof || errors.Is(err, io.EOF)
	b.watched.mu.Unlock()
	b.a.asking(b.a.service.WriteTimeout)
	return n, err
}

// Close leaves the client's body open: net/http closes it with the exchange. It never waits for a
// Read under way, which waits for the client.
func (b *attemptBody) Close() error {
	b.closed.Store(true)
	return nil
}
