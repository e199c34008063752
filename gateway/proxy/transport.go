package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"tidemark/gateway/entity"
)

// A Transport carries requests to services over pooled connections. It sets no timeouts of its own
// beyond a minute for a dial: the service's own hold. It neither follows the environment's proxies
// nor decompresses.
type Transport struct {
	trusting, verifying *http.Transport
}

// NewTransport makes a Transport. Certificates of services are verified only where the service
// says tls_verify, as in Kong.
func NewTransport() *Transport {
	return &Transport{trusting: transport(&tls.Config{InsecureSkipVerify: true}), verifying: transport(nil)} //nolint:gosec // Kong's default
}

func transport(c *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: time.Minute}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     c,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 60,
		IdleConnTimeout:     time.Minute,
	}
}

// RoundTrip sends one request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if v, _ := r.Context().Value(verifyKey{}).(bool); v {
		return t.verifying.RoundTrip(r)
	}
	return t.trusting.RoundTrip(r)
}

// CloseIdleConnections closes what is not in use.
func (t *Transport) CloseIdleConnections() {
	t.trusting.CloseIdleConnections()
	t.verifying.CloseIdleConnections()
}

type verifyKey struct{}

// verifying notes in the context whether the service's certificate is to be verified.
func verifying(ctx context.Context, s *entity.Service) context.Context {
	if s.TLSVerify == nil || !*s.TLSVerify {
		return ctx
	}
	return context.WithValue(ctx, verifyKey{}, true)
}
