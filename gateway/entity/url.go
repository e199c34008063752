package entity

import (
	"strconv"
	"strings"
)

// expandURL gives the fields that a service's url stands for. It parses the way the original does,
// which takes anything: what is no scheme and no host is a path, and the fields' own checks object.
func expandURL(value any) map[string]any {
	rest, _ := value.(string)
	out := map[string]any{"host": nil, "path": nil}
	rest, _, _ = strings.Cut(rest, "#")
	if scheme, after, ok := strings.Cut(rest, ":"); ok && isScheme(scheme) {
		out["protocol"], rest = scheme, after
	}
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after+"/", "/?")
		expandAuthority(after[:end], out)
		rest = after[end:]
	}
	if _, explicit := out["port"]; !explicit {
		switch out["protocol"] {
		case "http":
			out["port"] = int64(80)
		case "https":
			out["port"] = int64(443)
		}
	}
	if rest, _, _ = strings.Cut(rest, "?"); rest != "" {
		out["path"] = rest
	}
	return out
}

func isScheme(text string) bool {
	return text != "" && only(text, "+-.", true) && alphanumeric(rune(text[0]))
}

// expandAuthority reads [user@]host[:port]. A port that is no number is kept, to be refused.
func expandAuthority(authority string, out map[string]any) {
	if _, after, ok := strings.Cut(authority, "@"); ok {
		authority = after
	}
	at := strings.LastIndexByte(authority, ':')
	if at >= 0 && !strings.Contains(authority[at:], "]") {
		port := authority[at+1:]
		authority = authority[:at]
		if n, err := strconv.ParseInt(port, 10, 64); err == nil {
			out["port"] = n
		} else if port != "" {
			out["port"] = port
		}
	}
	if authority != "" {
		out["host"] = strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")
	}
}
