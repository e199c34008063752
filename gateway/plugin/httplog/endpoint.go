package httplog

import (
	"encoding/base64"
	"errors"
	"net"
	"strconv"
	"strings"
)

// An endpoint is where entries go. What follows the path in the URL is not sent.
type endpoint struct {
	scheme        string // http or https
	host          string // with the port, always: host:port
	authority     string // as the Host header has it: without the scheme's own port
	path          string // as it was written, a % that escapes nothing included
	query         string // which is not sent
	authorization string // empty, or what the URL's userinfo stands for
}

var (
	errNoHost = errors.New("missing host in url")
	errScheme = errors.New("invalid url: only http and https are supported")
	errPort   = errors.New("invalid url: the port is not a number from 1 to 65535")
	errSpace  = errors.New("invalid url: it holds a space or a control character")
)

// parseEndpoint takes a URL apart without decoding anything: what was configured is what is sent.
func parseEndpoint(url string) (endpoint, error) {
	if strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return endpoint{}, errSpace
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return endpoint{}, errNoHost
	}
	e := endpoint{scheme: strings.ToLower(scheme), path: "/"}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
		if path := rest[i:]; path[0] == '/' {
			e.path, _, _ = strings.Cut(path, "#")
			e.path, e.query, _ = strings.Cut(e.path, "?")
			e.path = "/" + strings.TrimLeft(e.path, "/") // two would be read as another server
		}
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		e.authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(authority[:i]))
		authority = authority[i+1:]
	}
	return e, e.locate(authority)
}

// locate reads the host, and the port where it is not the scheme's own.
func (e *endpoint) locate(authority string) error {
	usual := map[string]string{"http": "80", "https": "443"}[e.scheme]
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), usual
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case host == "":
		return errNoHost
	case usual == "":
		return errScheme
	case err != nil || n == 0:
		return errPort
	}
	e.host = net.JoinHostPort(host, port)
	e.authority = e.host
	if port == usual {
		e.authority = strings.TrimSuffix(e.host, ":"+port)
	}
	return nil
}

func checkEndpoint(value any) error {
	_, err := parseEndpoint(value.(string))
	return err
}

// checkHeaderName refuses what the plugin sets itself, and what is no name.
func checkHeaderName(value any) error {
	name := value.(string)
	for _, own := range []string{"Host", "Content-Length", "Content-Type"} {
		if strings.EqualFold(name, own) {
			return errors.New("cannot contain '" + own + "' header")
		}
	}
	const marks = "!#$%&'*+-.^_`|~"
	if strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(marks, r))
	}) {
		return errors.New("bad header name '" + name + "', allowed characters are A-Z, a-z, 0-9 and " + marks)
	}
	return nil
}

func checkHeaderValue(value any) error {
	if strings.ContainsFunc(value.(string), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("must not contain control characters")
	}
	return nil
}

// checkLua says that there is no Lua here, rather than to leave fields out without a word.
func checkLua(value any) error {
	if m, ok := value.(map[string]any); ok && len(m) > 0 {
		return errors.New("not supported: this gateway runs no Lua; leave the field out")
	}
	return nil
}

// check holds what depends on two fields.
func check(config map[string]any) []string {
	url, _ := config["http_endpoint"].(string)
	e, err := parseEndpoint(url)
	headers, _ := config["headers"].(map[string]any)
	if err != nil || e.authorization == "" {
		return nil
	}
	for name := range headers {
		if strings.EqualFold(name, "Authorization") {
			return []string{"specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed"}
		}
	}
	return nil
}
