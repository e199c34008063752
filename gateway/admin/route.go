package admin

import (
	"net/http"
	"slices"
	"strings"
)

// A node is one segment of the tree of endpoints. Paths are matched as they came, without decoding
// or cleaning them: `//services` is nothing, and no request is ever redirected.
type node struct {
	pattern string             // the whole path, as /endpoints lists it
	literal map[string]*node   // children with a fixed name, tried first
	param   *node              // the child that takes any other segment
	methods map[string]handler // nil: a path on the way, not an endpoint
}

// handle adds one method of the endpoint pattern, whose `{…}` segments take any value.
func (n *node) handle(method, pattern string, h handler) {
	segments, _ := split(pattern)
	for _, s := range segments {
		n = n.child(s)
	}
	n.pattern = pattern
	if n.methods == nil {
		n.methods = map[string]handler{}
	}
	n.methods[method] = h
}

func (n *node) child(segment string) *node {
	if strings.HasPrefix(segment, "{") {
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	c := n.literal[segment]
	if c == nil {
		c = &node{}
		n.literal[segment] = c
	}
	return c
}

// match finds the endpoint of a path's segments, and those of them that `{…}` took. A nil node: there
// is none.
func (n *node) match(segments []string) (*node, []string) {
	if len(segments) == 0 {
		if n.methods == nil {
			return nil, nil
		}
		return n, nil
	}
	if c := n.literal[segments[0]]; c != nil {
		if found, params := c.match(segments[1:]); found != nil {
			return found, params
		}
	}
	if n.param == nil {
		return nil, nil
	}
	found, params := n.param.match(segments[1:])
	if found == nil {
		return nil, nil
	}
	return found, append([]string{segments[0]}, params...)
}

// patterns lists every endpoint below n, sorted.
func (n *node) patterns() []string {
	var all []string
	if n.methods != nil {
		all = append(all, n.pattern)
	}
	for _, c := range n.literal {
		all = append(all, c.patterns()...)
	}
	if n.param != nil {
		all = append(all, n.param.patterns()...)
	}
	slices.Sort(all)
	return all
}

// allowed lists the methods of the endpoint as OPTIONS answers them.
func (n *node) allowed() string {
	methods := []string{http.MethodOptions}
	for m := range n.methods {
		methods = append(methods, m)
		if m == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// maxSegments is above what any endpoint has, and keeps a path of slashes from costing memory.
const maxSegments = 8

// split cuts a raw path into its segments; one slash at the end does not matter. ok is false for a path
// that cannot be an endpoint: no slash in front, an empty segment, too many of them.
func split(path string) (segments []string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, false
	}
	rest = strings.TrimSuffix(rest, "/")
	if rest == "" {
		return nil, path == "/"
	}
	segments = strings.SplitN(rest, "/", maxSegments+1)
	return segments, len(segments) <= maxSegments && !slices.Contains(segments, "")
}
