package entity

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	s "tidemark/gateway/schema"
)

// of turns a rule over strings into a field's check.
func of(rule func(string) string) func(any) error {
	return func(value any) error {
		text, _ := value.(string)
		if message := rule(text); message != "" {
			return errors.New(message)
		}
		return nil
	}
}

func alphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// only says whether every ASCII character of text is alphanumeric or one of others.
func only(text, others string, ascii bool) bool {
	for _, c := range text {
		if !alphanumeric(c) && !strings.ContainsRune(others, c) && (ascii || c < 128) {
			return false
		}
	}
	return true
}

func checkName(value any) error {
	return of(func(name string) string {
		if only(name, ".-_~", false) {
			return ""
		}
		return "invalid value '" + name + "': the only accepted ascii characters are alphanumerics or ., -, _, and ~"
	})(value)
}

func checkTag(value any) error {
	return of(func(tag string) string {
		for _, c := range tag {
			if c < ' ' || c == ',' || c == '/' || c == 127 {
				return "invalid tag '" + tag + "': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"
			}
		}
		return ""
	})(value)
}

// hostname says whether a name without a port can be resolved; Kong lets a label begin with a
// dash, never end with one.
func hostname(name string) bool {
	if name == "" || !only(name, "-._", true) {
		return false
	}
	labels := strings.Split(name, ".")
	for i, label := range labels {
		if strings.HasSuffix(label, "-") || label == "" && i < len(labels)-1 {
			return false
		}
	}
	return true
}

// splitPort parts a host from its port; port is empty when there is none, and ok false when what
// stands there is no port.
func splitPort(host string) (name, port string, ok bool) {
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && addr.Is6() {
		return host, "", true
	}
	if after, found := strings.CutPrefix(host, "["); found {
		name, port, found = strings.Cut(after, "]:")
		if addr, err := netip.ParseAddr(name); !found || err != nil || !addr.Is6() {
			return host, "", false
		}
	} else {
		at := strings.LastIndexByte(host, ':')
		if at < 0 {
			return host, "", hostname(host)
		}
		name, port = host[:at], host[at+1:]
		if !hostname(name) {
			return host, "", false
		}
	}
	n, err := strconv.Atoi(port)
	return name, port, err == nil && n >= 0 && n <= 65535
}

func checkHost(value any) error {
	return of(func(host string) string {
		_, port, ok := splitPort(host)
		switch {
		case !ok:
			return "invalid value: " + host
		case port != "":
			return "must not have a port"
		}
		return ""
	})(value)
}

func checkRouteHost(value any) error {
	return of(func(host string) string {
		name := host
		switch stars := strings.Count(host, "*"); {
		case stars > 1:
			return "invalid wildcard: must have at most one wildcard"
		case stars == 1 && !strings.HasPrefix(host, "*.") && !strings.HasSuffix(host, ".*"):
			return "invalid wildcard: must be placed at leftmost or rightmost label"
		case stars == 1:
			name = strings.Replace(host, "*", "abc", 1)
		}
		if _, _, ok := splitPort(name); !ok {
			return "invalid hostname: " + name
		}
		return ""
	})(value)
}

func checkSNI(value any) error {
	host, _ := value.(string)
	if _, err := netip.ParseAddr(host); err == nil {
		return errors.New("must not be an IP")
	}
	if _, port, ok := splitPort(host); ok && port != "" {
		return errors.New("must not have a port")
	}
	return checkRouteHost(value)
}

func checkMethod(value any) error {
	return of(func(method string) string {
		for _, c := range method {
			if c < 'A' || c > 'Z' {
				return "invalid value: " + method
			}
		}
		return ""
	})(value)
}

func checkHeaderName(value any) error {
	return of(func(name string) string {
		switch {
		case strings.EqualFold(name, "host"):
			return "cannot contain 'host' header, which must be specified in the 'hosts' attribute"
		case !only(name, "-_", true):
			return "header name '" + name + "' is invalid, allowed characters are A-Z, a-z, 0-9, '_', and '-'"
		}
		return ""
	})(value)
}

var badEscape = regexp.MustCompile(`%([^0-9A-Fa-f]|[0-9A-Fa-f]([^0-9A-Fa-f]|$)|$)`)

func checkServicePath(value any) error {
	return of(func(path string) string {
		switch {
		case !strings.HasPrefix(path, "/"):
			return "should start with: /"
		case strings.Contains(path, "//"):
			return "must not have empty segments"
		case !only(path, ".-_~/%:@!$&'()*+,;=", true):
			return "invalid path: '" + path + "' (characters outside of the reserved list of RFC 3986 found)"
		case badEscape.MatchString(path):
			return "invalid url-encoded value: '" + badEscape.FindString(path) + "'"
		}
		return ""
	})(value)
}

func checkRoutePath(value any) error {
	return of(func(path string) string {
		switch {
		case strings.HasPrefix(path, "~/"):
			return ""
		case !strings.HasPrefix(path, "/"):
			return "should start with: / (fixed path) or ~/ (regex path)"
		case strings.Contains(path, "//"):
			return "must not have empty segments"
		}
		if normal := Normalize(path); normal != path {
			return "non-normalized path, consider use '" + normal + "' instead"
		}
		return ""
	})(value)
}

// Normalize writes a path one way, so that the paths of routes and of requests compare: characters
// that need no escape are unescaped, the digits of the other escapes upper case, dot segments
// resolved, slashes merged.
func Normalize(path string) string {
	var plain strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			plain.WriteByte(path[i])
			continue
		}
		n, err := strconv.ParseUint(path[i+1:i+3], 16, 8)
		switch {
		case err != nil:
			plain.WriteByte('%')
			continue
		case alphanumeric(rune(n)) || strings.ContainsRune("-._~", rune(n)):
			plain.WriteByte(byte(n))
		default:
			plain.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	segments := strings.Split(plain.String(), "/")
	out := make([]string, 0, len(segments))
	for i, segment := range segments {
		last := i == len(segments)-1
		switch {
		case segment == "..":
			out = out[:max(0, len(out)-1)]
		case segment != "." && segment != "":
			out = append(out, segment)
		}
		if last && (segment == "" || segment == "." || segment == "..") && len(out) > 0 {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}

// subsets are the protocols that a route may mix.
var subsets = [][]string{{"http", "https"}, {"tcp", "tls", "udp"}, {"tls_passthrough"}, {"grpc", "grpcs"}}

func checkProtocols(value any) error {
	used := map[int]bool{}
	for _, p := range texts(value) {
		at := slices.IndexFunc(subsets, func(set []string) bool { return slices.Contains(set, p) })
		if at < 0 {
			return fmt.Errorf("unknown type: %s", p)
		}
		used[at] = true
	}
	if len(used) < 2 {
		return nil
	}
	var sets []string
	for i, set := range subsets {
		if used[i] {
			sets = append(sets, "("+quoted(set)+")")
		}
	}
	return errors.New("these sets are mutually exclusive: " + strings.Join(sets, ", "))
}

// texts reads the strings of a list, and nothing else.
func texts(value any) []string {
	list, _ := value.([]any)
	var out []string
	for _, v := range list {
		if text, ok := v.(string); ok {
			out = append(out, text)
		}
	}
	return out
}

func quoted(names []string) string { return "'" + strings.Join(names, "', '") + "'" }

// needs says which fields a route of a protocol can be matched by; the first protocol of the list
// that a route has decides.
var needs = []struct {
	protocol, when string
	fields         []string
}{
	{"https", "'https'", []string{"methods", "hosts", "headers", "paths", "snis"}},
	{"http", "'http'", []string{"methods", "hosts", "headers", "paths"}},
	{"grpcs", "'grpcs'", []string{"hosts", "headers", "paths", "snis"}},
	{"grpc", "'grpc'", []string{"hosts", "headers", "paths"}},
	{"tls_passthrough", "'tls_passthrough'", []string{"snis"}},
	{"tcp", "'tcp', 'tls' or 'udp'", []string{"sources", "destinations", "snis"}},
	{"tls", "'tcp', 'tls' or 'udp'", []string{"sources", "destinations", "snis"}},
	{"udp", "'tcp', 'tls' or 'udp'", []string{"sources", "destinations", "snis"}},
}

func checkRoute(o map[string]any) []string {
	var out []string
	protocols := texts(o["protocols"])
	for _, need := range needs {
		if !slices.Contains(protocols, need.protocol) {
			continue
		}
		if !slices.ContainsFunc(need.fields, func(f string) bool { return filled(o[f]) }) {
			out = append(out, "must set one of "+quoted(need.fields)+" when 'protocols' is "+need.when)
		}
		break
	}
	for _, path := range texts(o["paths"]) {
		if expression, ok := strings.CutPrefix(path, "~"); ok {
			if _, err := regexp.Compile(expression); err != nil {
				out = append(out, "Router Expression failed validation: "+err.Error())
			}
		}
	}
	return out
}

// filled says whether a matcher is set: an empty list or map matches nothing.
func filled(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

// checkRouteFields holds what a route's protocols forbid.
func checkRouteFields(o map[string]any) s.Violations {
	bad := s.Violations{}
	forbid := func(when string, names ...string) {
		for _, name := range names {
			if o[name] != nil {
				bad[name] = "cannot set '" + name + "' when 'protocols' is " + when
			}
		}
	}
	protocols := texts(o["protocols"])
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(protocols, n) })
	}
	switch {
	case has("http", "https"):
		forbid("'http' or 'https'", "sources", "destinations")
	case has("grpc", "grpcs"):
		forbid("'grpc' or 'grpcs'", "sources", "destinations", "methods")
		if o["strip_path"] == true {
			bad["strip_path"] = "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"
		}
	case has("tcp", "tls", "tls_passthrough", "udp"):
		forbid("'tcp', 'tls', 'tls_passthrough' or 'udp'", "methods", "hosts", "paths", "headers")
	}
	if o["snis"] != nil && len(protocols) > 0 && !has("grpcs", "https", "tls", "tls_passthrough") {
		bad["snis"] = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'"
	}
	return bad
}
