package httplog

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"tidemark/gateway/plugin"
	"tidemark/gateway/queue"
)

const (
	maxAnswer = 1 << 20 // bytes of an answer that are read; a longer one costs its connection
	maxQuoted = 1 << 10 // bytes of an answer that an error quotes
)

// A target is where and how one instance delivers.
type target struct {
	endpoint            endpoint
	method, contentType string
	timeout             time.Duration // to connect, to send, for each part of the answer
	keepalive           time.Duration // how long an idle connection is kept; 0 or less: not at all
	headers             map[string]string
	single              bool // one entry is an object; otherwise it is a list
}

// A sender makes deliveries. Connections are shared by all instances of one keepalive, so that a
// change of the configuration leaves none behind.
type sender struct {
	defects plugin.LogDefects

	mu         sync.Mutex
	transports map[time.Duration]*http.Transport
	bodies     int // made so far; see NewBody
}

func (s *sender) transport(keepalive time.Duration) *http.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.transports[keepalive]
	if t == nil {
		t = &http.Transport{
			DialContext:         new(net.Dialer).DialContext,
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // Kong's default
			DisableCompression:  true,
			DisableKeepAlives:   keepalive <= 0,
			IdleConnTimeout:     max(keepalive, 0),
			MaxIdleConnsPerHost: 60,
		}
		if s.transports == nil {
			s.transports = map[time.Duration]*http.Transport{}
		}
		s.transports[keepalive] = t
	}
	return t
}

// CloseIdleConnections closes what no delivery uses.
func (l *httpLog) CloseIdleConnections() {
	l.sender.mu.Lock()
	defer l.sender.mu.Unlock()
	for _, t := range l.sender.transports {
		t.CloseIdleConnections()
	}
}

// errTimeout ends a delivery in which nothing happened for too long.
var errTimeout = errors.New("timeout")

// send makes one delivery. Nil means that the server answered 2xx; everything else is worth
// another try (QUE-26). It blocks for at most the time-out at each step.
func (s *sender) send(ctx context.Context, t *target, entries []queue.Entry) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(t.timeout, func() { cancel(errTimeout) })
	defer patience.Stop()
	if s.defects.ForgetTimeout {
		patience.Stop()
	}
	again := func() {
		if patience.Stop() {
			patience.Reset(t.timeout)
		}
	}
	r := t.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { again() },
		WroteRequest:         func(httptrace.WroteRequestInfo) { again() },
		GotFirstResponseByte: again,
	}), s.body(t, entries))
	if s.defects.HostWithoutPort {
		r.Host, _, _ = strings.Cut(r.Host, ":")
	}
	if s.defects.KeepQuery {
		r.URL.RawQuery = t.endpoint.query
	}
	answer, err := s.transport(t.keepalive).RoundTrip(r)
	var said []byte
	if err == nil {
		defer answer.Body.Close()
		said, err = read(answer.Body, again)
	}
	switch {
	case err != nil:
		return fmt.Errorf("failed request to %s: %w", t.endpoint.host, cause(ctx, err))
	case s.delivered(answer.StatusCode):
		return nil
	}
	return fmt.Errorf("request to %s returned status code %d and body %s", t.endpoint.host, answer.StatusCode, said)
}

// delivered tells whether a status means that the entries have arrived.
func (s *sender) delivered(status int) bool {
	switch {
	case s.defects.NotFoundDelivered && status == http.StatusNotFound,
		s.defects.RedirectDelivered && status == http.StatusFound:
		return true
	case s.defects.AcceptedFailed && status != http.StatusOK:
		return false
	}
	return status >= 200 && status < 300
}

func (t *target) request(ctx context.Context, body []byte) *http.Request {
	header := http.Header{"Content-Type": {t.contentType}, "User-Agent": {"tidemark"}}
	for name, v := range t.headers {
		header.Set(name, v)
	}
	if t.endpoint.authorization != "" {
		header.Set("Authorization", t.endpoint.authorization)
	}
	r := &http.Request{
		Method: t.method, Header: header, Host: t.endpoint.authority,
		URL:   &url.URL{Scheme: t.endpoint.scheme, Host: t.endpoint.host, Opaque: t.endpoint.path},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	return r.WithContext(ctx)
}

// body is one entry as it is, or a list. The same entries always make the same body.
func (s *sender) body(t *target, entries []queue.Entry) []byte {
	if t.single && len(entries) == 1 && !s.defects.NewBody {
		return entries[0].Data
	}
	size := 2
	for _, e := range entries {
		size += len(e.Data) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, '[')
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.Data...)
	}
	b = append(b, ']')
	if t.single && len(entries) == 1 {
		b = b[1 : len(b)-1]
	}
	if s.defects.NewBody {
		s.mu.Lock()
		s.bodies++
		b = append(b, bytes.Repeat([]byte{' '}, s.bodies)...)
		s.mu.Unlock()
	}
	return b
}

// read takes the answer's body to its end, so that the connection can serve again, and returns its
// beginning. again is called for each part.
func read(from io.Reader, again func()) ([]byte, error) {
	var said []byte
	buffer := make([]byte, 4<<10)
	for total := 0; total < maxAnswer; {
		n, err := from.Read(buffer)
		again()
		total += n
		if room := maxQuoted - len(said); room > 0 {
			said = append(said, buffer[:min(n, room)]...)
		}
		if errors.Is(err, io.EOF) {
			return said, nil
		}
		if err != nil {
			return said, err
		}
	}
	return said, nil
}

// cause is the reason for a failure in the fewest words.
func cause(ctx context.Context, err error) error {
	switch why := context.Cause(ctx); {
	case why != nil:
		return why
	case errors.Is(err, syscall.ECONNREFUSED):
		return syscall.ECONNREFUSED
	case errors.Is(err, syscall.ECONNRESET):
		return syscall.ECONNRESET
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return errClosed
	}
	return err
}

var errClosed = errors.New("closed")
