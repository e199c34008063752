package proxy

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tidemark/gateway/entity"
	"tidemark/gateway/router"
)

// hopByHop headers concern one connection and go no further.
func hopByHop() []string {
	return []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade"}
}

// removeHopByHop takes away what concerns the connection that header came on, and what its
// Connection header names.
func removeHopByHop(header http.Header) {
	for _, line := range header["Connection"] {
		for _, name := range strings.Split(line, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop() {
		header.Del(name)
	}
}

// request makes the request for the service; its body is the client's.
func (p *passage) request(s *entity.Service) *http.Request {
	c := p.x.Client
	header := c.Header.Clone()
	trailers := slices.ContainsFunc(header["Te"], func(v string) bool { return strings.Contains(strings.ToLower(v), "trailers") })
	removeHopByHop(header)
	header.Del("Expect")
	if trailers {
		header.Set("Te", "trailers")
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "") // net/http would name itself
	}
	p.introduce(header, c)
	path := p.matched.UpstreamPath
	u := &url.URL{
		Scheme: s.Protocol, Host: authority(s), RawQuery: c.URL.RawQuery, ForceQuery: c.URL.ForceQuery,
		Opaque: path, // as it stands: net/url would escape it its own way
	}
	if strings.HasPrefix(path, "//") {
		u.Opaque = "/" + strings.TrimLeft(path, "/") // else it would be read as an authority
	}
	out := (&http.Request{
		Method: c.Method, URL: u, Host: u.Host, Header: header, Body: c.Body, ContentLength: c.ContentLength,
		Trailer: c.Trailer, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(c.Context())
	if p.matched.Route.PreserveHost {
		out.Host = c.Host
	}
	if c.ContentLength == 0 || c.Body == nil {
		out.Body = http.NoBody
	}
	return out
}

// introduce tells the service who asked and how. What the client claims about itself is replaced,
// except the list of those that forwarded before us.
func (p *passage) introduce(header http.Header, c *http.Request) {
	ip, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		ip = c.RemoteAddr
	}
	proto := "http"
	if c.TLS != nil {
		proto = "https"
	}
	host := hostOnly(c.Host)
	if host == "" {
		host = "kong"
	}
	via := protocol(c) + " " + p.agent
	if before := header.Values("Via"); len(before) > 0 {
		via = strings.Join(before, ", ") + ", " + via
	}
	chain := ip
	if before := header.Values("X-Forwarded-For"); len(before) > 0 {
		chain = strings.Join(before, ", ") + ", " + ip
	}
	for name, value := range map[string]string{
		"Via":                via,
		"Connection":         "keep-alive",
		"X-Forwarded-For":    chain,
		"X-Forwarded-Proto":  proto,
		"X-Forwarded-Host":   host,
		"X-Forwarded-Port":   router.LocalPort(c),
		"X-Forwarded-Path":   c.URL.EscapedPath(),
		"X-Forwarded-Prefix": p.matched.StrippedPrefix,
		"X-Real-Ip":          ip,
		"X-Kong-Request-Id":  p.x.ID,
	} {
		if value == "" {
			header.Del(name)
		} else {
			header.Set(name, value)
		}
	}
}

// protocol is the version that the client spoke, as Via writes it.
func protocol(r *http.Request) string {
	if r.ProtoMinor == 0 {
		return strconv.Itoa(r.ProtoMajor)
	}
	return strconv.Itoa(r.ProtoMajor) + "." + strconv.Itoa(r.ProtoMinor)
}

// authority is the service's host, with the port unless it is the scheme's own.
func authority(s *entity.Service) string {
	host := s.Host
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	if s.Port == 0 || s.Protocol == "http" && s.Port == 80 || s.Protocol == "https" && s.Port == 443 {
		return host
	}
	return host + ":" + strconv.Itoa(s.Port)
}

// hostOnly cuts the port off and lowers the case.
func hostOnly(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		host = name
	}
	return strings.ToLower(host)
}
