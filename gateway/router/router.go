// Package router finds the route of a request.
//
// A [Router] is built whole from all services and routes and never changes: a new configuration is
// a new router, swapped in one step. Which of several matching routes wins follows from the routes
// alone, never from the order in which they were read, so that all nodes agree.
package router

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tidemark/gateway/entity"
)

// A Router matches requests. It is safe for concurrent use; the zero value matches nothing.
type Router struct {
	hosts map[string]*table // rules by plain host; "" holds those of wildcards and of no host
}

// A table holds rules by the prefix that a path must have for them, each list in order of rank. A
// request looks at one list for each length that any prefix has, however many routes there are.
type table struct {
	lengths  []int // of the prefixes, ascending
	byPrefix map[string][]*rule
}

// A Match is the route of a request and what follows from it.
type Match struct {
	Route          *entity.Route
	Service        *entity.Service // nil: the route has none
	UpstreamPath   string          // escaped, without the query
	StrippedPrefix string          // what strip_path took away; empty when nothing or only "/"
}

// Build makes a router. The routes of a disabled service are not in it, nor are those that serve
// neither http nor https. The error names each route that had to be left out, because it has a
// pattern that does not compile or a service that is not among services; the others work.
func Build(services []entity.Service, routes []entity.Route) (*Router, error) {
	byID := make(map[string]*entity.Service, len(services))
	for i := range services {
		byID[services[i].ID] = &services[i]
	}
	var rules []*rule
	var errs []error
	for i := range routes {
		r := &routes[i]
		service, known := byID[r.ServiceID]
		switch {
		case !servesHTTP(r), known && !service.Enabled:
			continue
		case !known && r.ServiceID != "":
			errs = append(errs, fmt.Errorf("build route %s: no service %s", r.ID, r.ServiceID))
			continue
		}
		of, err := rulesOf(r, service)
		if err != nil {
			errs = append(errs, fmt.Errorf("build route %s: %w", r.ID, err))
			continue
		}
		rules = append(rules, of...)
	}
	return index(rules), errors.Join(errs...)
}

// servesHTTP leaves out what this proxy does not speak: grpc, streams.
func servesHTTP(r *entity.Route) bool {
	return len(r.Protocols) == 0 || slices.Contains(r.Protocols, "http") || slices.Contains(r.Protocols, "https")
}

// index ranks the rules and files each under its hosts and its prefix.
func index(rules []*rule) *Router {
	slices.SortStableFunc(rules, compare)
	r := &Router{hosts: map[string]*table{}}
	for rank, u := range rules {
		u.rank = rank
		for _, h := range u.indexHosts() {
			t := r.hosts[h]
			if t == nil {
				t = &table{byPrefix: map[string][]*rule{}}
				r.hosts[h] = t
			}
			if _, have := t.byPrefix[u.prefix]; !have {
				t.lengths = append(t.lengths, len(u.prefix))
			}
			t.byPrefix[u.prefix] = append(t.byPrefix[u.prefix], u)
		}
	}
	for _, t := range r.hosts {
		slices.Sort(t.lengths)
		t.lengths = slices.Compact(t.lengths)
	}
	return r
}

// Match finds the route of req, nil when there is none. It never blocks.
func (r *Router) Match(req *http.Request) *Match {
	q := queryOf(req)
	best := r.hosts[q.host].best(&q, nil)
	if q.host != "" {
		best = r.hosts[""].best(&q, best)
	}
	if best == nil {
		return nil
	}
	return best.match(&q)
}

// best finds the rule of the lowest rank that matches q, if that is lower than so's.
func (t *table) best(q *query, so *rule) *rule {
	if t == nil {
		return so
	}
	for _, n := range t.lengths {
		if n > len(q.path) {
			break
		}
		for _, u := range t.byPrefix[q.path[:n]] {
			if so != nil && u.rank >= so.rank {
				break
			}
			if u.matches(q) {
				so = u
				break
			}
		}
	}
	return so
}

// match computes what follows from the rule for q.
func (u *rule) match(q *query) *Match {
	m := &Match{Route: u.route, Service: u.service}
	stripped := ""
	if u.route.StripPath {
		stripped = u.matchedPath(q.path)
	}
	servicePath := ""
	if u.service != nil {
		servicePath = u.service.Path
	}
	m.UpstreamPath = Escape(upstreamPath(servicePath, q.path, stripped, u.route.StripPath))
	if stripped != "/" {
		m.StrippedPrefix = Escape(stripped)
	}
	return m
}

// A query is a request in the form in which rules are compared with it.
type query struct {
	path   string
	host   string // lower case, without the port
	port   string // as the client named it, else the one that it connected to
	req    *http.Request
	secure bool
}

func queryOf(req *http.Request) query {
	host, port := splitPort(strings.ToLower(req.Host))
	if port == "" {
		port = LocalPort(req)
	}
	return query{path: Normalize(req.URL.EscapedPath()), host: host, port: port, req: req, secure: req.TLS != nil}
}
