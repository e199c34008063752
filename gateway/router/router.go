// Package router finds the route of a request.
//
// A [Router] is built whole from all services and routes and never changes: a new configuration is
// a new router, swapped in one step. Which of several matching routes wins follows from the routes
// alone, never from the order in which they were read, so that all nodes agree.
package router

import (
	"net/http"

	"tidemark/gateway/entity"
)

// A Router matches requests. It is safe for concurrent use.
type Router struct{}

// A Match is the route of a request and what follows from it.
type Match struct {
	Route          *entity.Route
	Service        *entity.Service // nil: the route has none
	UpstreamPath   string          // escaped, without the query
	StrippedPrefix string          // what strip_path took away; empty when nothing or only "/"
}

// Build makes a router.
func Build(services []entity.Service, routes []entity.Route) (*Router, error) { return &Router{}, nil }

// Match finds the route of req, nil when there is none.
func (r *Router) Match(req *http.Request) *Match { return nil }
