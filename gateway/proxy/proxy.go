// Package proxy is the data plane: it serves requests from the state in memory and needs no
// database to do so.
//
// A request is matched, runs through the plugins bound to what it matched, goes to the service and
// comes back through the plugins. [Live] replaces the state whole, so that one request sees one
// configuration from its first to its last step.
package proxy

import (
	"log/slog"
	"net/http"
)

// Options configure the handler.
type Options struct {
	Live *Live
	// Transport carries requests to services. It honours [net/http/httptrace.ClientTrace] as
	// http.Transport does: the service's timeouts hang on GotConn and WroteRequest.
	Transport http.RoundTripper
	Version   string // of Kong, as Server and Via say it; empty: 3.8.1
	Logger    *slog.Logger
	Defects   Defects
}

// New makes the handler.
func New(o Options) http.Handler { return http.NotFoundHandler() }
