package router

import (
	"strings"
)

const upperHex = "0123456789ABCDEF"

// Normalize gives the form of an escaped request path that routes are compared with: escapes are
// decoded except those of reserved characters, which end up in upper case; then empty and dot
// segments go. An empty path is "/".
func Normalize(path string) string {
	if path == "" {
		return "/"
	}
	if strings.IndexByte(path, '%') >= 0 {
		path = decode(path)
	}
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	return clean(path)
}

// decode undoes every escape but those of reserved characters: "%2F" is not a separator.
func decode(path string) string {
	var b strings.Builder
	b.Grow(len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			b.WriteByte(path[i])
			continue
		}
		if c := unhex(path[i+1])<<4 | unhex(path[i+2]); reserved(c) {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		} else {
			b.WriteByte(c)
		}
		i += 2
	}
	return b.String()
}

// clean removes empty and dot segments; what ends in one ends in a slash. ".." at the root stays
// there.
func clean(path string) string {
	segments := strings.Split(path, "/")
	kept := segments[:0]
	rooted, open := segments[0] == "", false
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case "", ".":
			open = last
		case "..":
			kept, open = kept[:max(0, len(kept)-1)], last
		default:
			kept = append(kept, s)
		}
	}
	out := strings.Join(kept, "/")
	if rooted {
		out = "/" + out
	}
	if open && len(kept) > 0 {
		out += "/"
	}
	return out
}

// Escape makes a normalised path fit for a request line. Escapes that Normalize has kept stay.
func Escape(path string) string {
	clear := true
	for i := 0; i < len(path) && clear; i++ {
		clear = plain(path[i])
	}
	if clear {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if c := path[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// upstreamPath joins the path of a service and that of a request (both unescaped). stripped is the
// part of the request's path that strip_path takes away; strip tells whether it does so at all.
func upstreamPath(service, request, stripped string, strip bool) string {
	if service == "" {
		service = "/"
	}
	base, slash := strings.CutSuffix(service, "/")
	if !strip {
		if request == "/" && !slash {
			return base
		}
		return base + "/" + strings.TrimPrefix(request, "/")
	}
	rest := request[len(stripped):]
	if stripped == "" {
		rest = strings.TrimPrefix(request, "/")
	}
	switch rest = withoutDots(rest); {
	case rest != "":
		return base + "/" + strings.TrimPrefix(rest, "/")
	case base == "":
		return "/"
	case len(request) > 1 && strings.HasSuffix(request, "/"):
		return base + "/"
	default:
		return base
	}
}

// withoutDots drops a dot segment that a prefix cut out of the middle of a segment, as "/r" does
// with "/r..": what is left must not lead out of the service's path.
func withoutDots(rest string) string {
	if rest == "." || rest == ".." {
		return ""
	}
	for _, p := range []string{"./", "../"} {
		if after, ok := strings.CutPrefix(rest, p); ok {
			return after
		}
	}
	return rest
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// reserved characters mean something in a URI; escaped they mean something else.
func reserved(c byte) bool { return strings.IndexByte("!*'();:@&=+$,/?%#[]", c) >= 0 }

// plain characters may stand in a request line as they are.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!$&'()*+,/:;=@[]-_.~%", c) >= 0
}
