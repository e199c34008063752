package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"tidemark/gateway/entity"
)

// The headers that tell a service who calls.
const (
	headerConsumerID = "X-Consumer-ID"
	headerUsername   = "X-Consumer-Username"
	headerCustomID   = "X-Consumer-Custom-ID"
	headerCredential = "X-Credential-Identifier"
	headerAnonymous  = "X-Anonymous-Consumer"
)

// An Exchange is one request on its way through the chain. It belongs to one goroutine.
type Exchange struct {
	ID       string        // 32 hexadecimal digits, X-Kong-Request-Id
	Client   *http.Request // as it came in; to be read, not changed
	Upstream *http.Request // as it will go out: headers, query and body may be changed; nil without a route
	Route    *entity.Route // nil when none matched: then only Response runs
	Service  *entity.Service
	Consumer *entity.Consumer // nil until a plugin has found out who calls

	Worker    *Worker // that accepted the request; nil where there is none to speak of
	Workspace string  // the id of the one that the configuration is in

	credential string
}

// Context ends when the client is gone.
func (x *Exchange) Context() context.Context { return x.Client.Context() }

// Credential is the id of the credential that the caller has shown, empty when there was none.
func (x *Exchange) Credential() string { return x.credential }

// Authenticate notes who calls and tells the service so. Whatever the client itself claimed under
// these names is gone. An empty credential means the anonymous consumer.
func (x *Exchange) Authenticate(consumer *entity.Consumer, credential string) {
	x.Consumer, x.credential = consumer, credential
	anonymous := ""
	if credential == "" {
		anonymous = "true"
	}
	for _, h := range [][2]string{
		{headerConsumerID, consumer.ID},
		{headerUsername, consumer.Username},
		{headerCustomID, consumer.CustomID},
		{headerCredential, credential},
		{headerAnonymous, anonymous},
	} {
		if v := printable(h[1]); v != "" {
			x.Upstream.Header.Set(h[0], v)
		} else {
			x.Upstream.Header.Del(h[0])
		}
	}
}

// printable leaves out what must not stand in a header: a name may hold any character.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// ErrBodyTooLarge is a body that a plugin must not hold in memory.
var ErrBodyTooLarge = errors.New("body is too large to be read whole")

// Body reads the request's body whole, at most limit bytes, and puts it back for whoever comes
// next. Above the limit it is [ErrBodyTooLarge], and the request goes on untouched.
func (x *Exchange) Body(limit int64) ([]byte, error) {
	if x.Upstream.Body == nil || x.Upstream.Body == http.NoBody {
		return nil, nil
	}
	old := x.Upstream.Body
	b, err := io.ReadAll(io.LimitReader(old, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read request body: %w", err)
	}
	if int64(len(b)) > limit {
		x.Upstream.Body = joined{io.MultiReader(bytes.NewReader(b), old), old}
		return nil, ErrBodyTooLarge
	}
	x.SetBody(b)
	return b, nil
}

// SetBody replaces the request's body. It can be sent again when the first try meets no server.
func (x *Exchange) SetBody(b []byte) {
	x.Upstream.ContentLength = int64(len(b))
	x.Upstream.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	x.Upstream.Body, _ = x.Upstream.GetBody()
	if len(b) == 0 {
		x.Upstream.Body = http.NoBody
	}
}

// joined reads what was read already and then the rest.
type joined struct {
	io.Reader
	io.Closer
}
