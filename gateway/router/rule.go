package router

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tidemark/gateway/entity"
)

// A rule is a route with one of its paths. A route with several paths is several rules: each
// competes with other routes on its own, a long prefix of a route above a short one of another.
type rule struct {
	route   *entity.Route
	service *entity.Service
	rank    int // 0 wins

	prefix  string         // what the path must begin with: the path, or the literal start of the regex
	pattern *regexp.Regexp // nil: the prefix is all
	path    int            // which of the route's paths
	hosts   []hostRule
	headers []headerRule
	weight  weight
}

// A weight ranks a rule, the most important part first.
type weight struct {
	kinds         int  // how many kinds of matchers the route has
	plainHosts    bool // hosts, and no wildcard among them
	headers       int
	regex         bool
	regexPriority int // 0 unless regex
	length        int // of a prefix path
}

type hostRule struct {
	exact, prefix, suffix string // one of them is set
	port                  string // empty: any
}

type headerRule struct {
	name    string
	values  []string // lower case
	pattern *regexp.Regexp
}

// maxHeaders is where more headers stop to count.
const maxHeaders = 255

// rulesOf makes the rules of a route.
func rulesOf(r *entity.Route, service *entity.Service) ([]*rule, error) {
	base := rule{route: r, service: service, hosts: hostRules(r.Hosts)}
	headers, err := headerRules(r.Headers)
	if err != nil {
		return nil, err
	}
	base.headers = headers
	base.weight = weight{plainHosts: len(r.Hosts) > 0, headers: min(len(r.Headers), maxHeaders)}
	for _, n := range []int{len(r.Hosts), len(r.Paths), len(r.Methods), len(r.Headers), len(r.SNIs)} {
		if n > 0 {
			base.weight.kinds++
		}
	}
	for _, h := range base.hosts {
		base.weight.plainHosts = base.weight.plainHosts && h.exact != ""
	}
	if len(r.Paths) == 0 {
		return []*rule{&base}, nil
	}
	rules := make([]*rule, 0, len(r.Paths))
	for i, p := range r.Paths {
		u := base
		u.path = i
		if err := u.setPath(p); err != nil {
			return nil, err
		}
		rules = append(rules, &u)
	}
	return rules, nil
}

// setPath makes p, a prefix or "~" and a regular expression, the path of u.
func (u *rule) setPath(p string) error {
	expr, isRegex := strings.CutPrefix(p, "~")
	if !isRegex {
		u.prefix, u.weight.length = p, len(p)
		return nil
	}
	free, err := regexp.Compile(expr)
	if err != nil {
		return fmt.Errorf("path %q: %w", p, err)
	}
	u.pattern, err = regexp.Compile(`^(?:` + expr + `)`)
	if err != nil {
		return fmt.Errorf("path %q: %w", p, err)
	}
	u.prefix, _ = free.LiteralPrefix()
	u.weight.regex, u.weight.regexPriority = true, u.route.RegexPriority
	return nil
}

func hostRules(hosts []string) []hostRule {
	rules := make([]hostRule, 0, len(hosts))
	for _, h := range hosts {
		name, port := splitPort(strings.ToLower(h))
		switch {
		case strings.HasPrefix(name, "*"):
			rules = append(rules, hostRule{suffix: name[1:], port: port})
		case strings.HasSuffix(name, "*"):
			rules = append(rules, hostRule{prefix: name[:len(name)-1], port: port})
		default:
			rules = append(rules, hostRule{exact: name, port: port})
		}
	}
	return rules
}

func headerRules(headers map[string][]string) ([]headerRule, error) {
	rules := make([]headerRule, 0, len(headers))
	for name, values := range headers {
		u := headerRule{name: http.CanonicalHeaderKey(name)}
		for _, v := range values {
			expr, isRegex := strings.CutPrefix(v, "~*")
			if !isRegex || len(values) > 1 {
				u.values = append(u.values, strings.ToLower(v))
				continue
			}
			p, err := regexp.Compile(`(?i)` + expr)
			if err != nil {
				return nil, fmt.Errorf("header %s %q: %w", name, v, err)
			}
			u.pattern = p
		}
		rules = append(rules, u)
	}
	return rules, nil
}

// compare orders rules: what it puts first wins. The last resort, the larger id, is arbitrary but
// the same on every node.
func compare(a, b *rule) int {
	return cmp.Or(
		cmp.Compare(b.weight.kinds, a.weight.kinds),
		compareBool(b.weight.plainHosts, a.weight.plainHosts),
		cmp.Compare(b.weight.headers, a.weight.headers),
		compareBool(b.weight.regex, a.weight.regex),
		cmp.Compare(b.weight.regexPriority, a.weight.regexPriority),
		cmp.Compare(b.weight.length, a.weight.length),
		cmp.Compare(b.route.ID, a.route.ID),
		cmp.Compare(a.path, b.path),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// indexHosts says under which hosts the rule is filed: its plain hosts, and "" when it has a
// wildcard or no host at all.
func (u *rule) indexHosts() []string {
	if len(u.hosts) == 0 {
		return []string{""}
	}
	var at []string
	for _, h := range u.hosts {
		if !slices.Contains(at, h.exact) {
			at = append(at, h.exact)
		}
	}
	return at
}

// matches tells whether all that the rule asks for holds; the index has seen to its prefix.
func (u *rule) matches(q *query) bool {
	if len(u.hosts) > 0 && !slices.ContainsFunc(u.hosts, func(h hostRule) bool { return h.matches(q) }) {
		return false
	}
	if len(u.route.Methods) > 0 && !slices.Contains(u.route.Methods, q.req.Method) {
		return false
	}
	for i := range u.headers {
		if !u.headers[i].matches(q.req.Header) {
			return false
		}
	}
	if len(u.route.SNIs) > 0 && q.secure && !slices.Contains(u.route.SNIs, q.req.TLS.ServerName) {
		return false
	}
	return u.pattern == nil || u.pattern.MatchString(q.path)
}

// matchedPath is the part of path that the rule's path matched.
func (u *rule) matchedPath(path string) string {
	if u.pattern == nil {
		return u.prefix
	}
	return u.pattern.FindString(path)
}

func (h *hostRule) matches(q *query) bool {
	if h.port != "" && h.port != q.port {
		return false
	}
	switch {
	case h.exact != "":
		return h.exact == q.host
	case h.prefix != "":
		return strings.HasPrefix(q.host, h.prefix)
	default:
		return strings.HasSuffix(q.host, h.suffix)
	}
}

func (h *headerRule) matches(have http.Header) bool {
	for _, v := range have[h.name] {
		if h.pattern != nil && h.pattern.MatchString(v) || slices.Contains(h.values, strings.ToLower(v)) {
			return true
		}
	}
	return false
}

// splitPort cuts a numeric port off a host. IPv6 addresses keep their brackets.
func splitPort(host string) (name, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") || strings.Contains(host[:i], ":") && host[0] != '[' {
		return host, ""
	}
	if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
		return host, ""
	}
	return host[:i], host[i+1:]
}

// LocalPort is the port of the listener that req came in on, empty when that is not known.
func LocalPort(req *http.Request) string {
	addr, ok := req.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return ""
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return port
}
