package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"

	"tidemark/gateway/entity"
)

// A Bound is one instance that an exchange runs.
type Bound struct {
	Name     string
	ID       string // the instance's
	Priority int
	Handler  Handler
}

// scope is where an instance is bound; an empty part means: to all.
type scope struct{ name, route, service, consumer string }

// An Index finds the instances of an exchange. It is immutable and safe for concurrent use.
type Index struct {
	names     []named // by priority; only names that have an instance
	instances map[scope]Bound
}

type named struct {
	name         string
	priority     int
	consumerFree bool
}

// Build makes an index of the enabled instances. The error names every instance that could not be
// set up; the index is usable all the same, and such an instance answers 500 wherever it is bound.
// Two instances with one name and one scope cannot be stored; of two, the first in order stays.
func Build(plugins []entity.Plugin, available []Plugin) (*Index, error) {
	sorts := make(map[string]Plugin, len(available))
	for _, p := range available {
		sorts[p.Name()] = p
	}
	x := &Index{instances: make(map[scope]Bound, len(plugins))}
	seen := map[string]bool{}
	var errs []error
	for _, p := range plugins {
		if !p.Enabled || !forHTTP(p.Protocols) {
			continue
		}
		b, n, err := bind(p, sorts[p.Name])
		if err != nil {
			errs = append(errs, err)
		}
		at := scope{p.Name, p.RouteID, p.ServiceID, p.ConsumerID}
		if _, taken := x.instances[at]; taken {
			errs = append(errs, fmt.Errorf("bind plugin %s %s: its scope is taken", p.Name, p.ID))
			continue
		}
		x.instances[at] = b
		if !seen[p.Name] {
			seen[p.Name] = true
			x.names = append(x.names, n)
		}
	}
	slices.SortFunc(x.names, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.name, b.name))
	})
	return x, errors.Join(errs...)
}

// bind makes one instance of p, or one that refuses when that is not possible.
func bind(p entity.Plugin, sort Plugin) (Bound, named, error) {
	if sort == nil {
		err := fmt.Errorf("bind plugin %s %s: it is not enabled on this node", p.Name, p.ID)
		return Bound{p.Name, p.ID, math.MaxInt, refusing{err: err}}, named{name: p.Name, priority: math.MaxInt}, err
	}
	_, free := sort.(ConsumerFree)
	n := named{name: p.Name, priority: sort.Priority(), consumerFree: free}
	h, err := sort.New(p.Config)
	if err != nil {
		err = fmt.Errorf("configure plugin %s %s: %w", p.Name, p.ID, err)
		h = refusing{err: err}
	}
	return Bound{p.Name, p.ID, n.priority, h}, n, err
}

// forHTTP tells whether an instance with these protocols concerns this proxy at all. Which of them
// a single request used makes no difference, as in Kong.
func forHTTP(protocols []string) bool {
	return len(protocols) == 0 || slices.ContainsFunc(protocols, func(p string) bool {
		return p == "http" || p == "https" || p == "grpc" || p == "grpcs"
	})
}

// For gives what an exchange runs, the highest priority first. Any id may be empty: without a
// route only global instances are left.
func (x *Index) For(route, service, consumer string) []Bound {
	if len(x.names) == 0 {
		return nil
	}
	found := make([]Bound, 0, len(x.names))
	for _, n := range x.names {
		who := consumer
		if n.consumerFree {
			who = ""
		}
		if b, ok := x.find(n.name, route, service, who); ok {
			found = append(found, b)
		}
	}
	return found
}

// find looks an instance of name up, from the most to the least specific scope.
func (x *Index) find(name, route, service, consumer string) (Bound, bool) {
	for _, s := range [...]scope{
		{name, route, service, consumer},
		{name, route, "", consumer},
		{name, "", service, consumer},
		{name, route, service, ""},
		{name, "", "", consumer},
		{name, route, "", ""},
		{name, "", service, ""},
		{name, "", "", ""},
	} {
		if b, ok := x.instances[s]; ok {
			return b, true
		}
	}
	return Bound{}, false
}

// Len counts the instances.
func (x *Index) Len() int { return len(x.instances) }

// refusing stands for an instance that could not be set up. To leave it out would open what it
// was meant to guard.
type refusing struct{ err error }

func (r refusing) Access(*Exchange) (*Answer, error)            { return nil, r.err }
func (r refusing) Response(_ *Exchange, _ *http.Response) error { return nil }
