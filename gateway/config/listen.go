package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A Listen is one address of a listener. Without TLS, HTTP2 means HTTP/2 by prior knowledge beside
// HTTP/1.1.
type Listen struct {
	Address   string // IP:port; port 0 is any free one
	TLS       bool
	HTTP2     bool
	ReusePort bool // several processes may listen on the address
	Backlog   int  // connections that wait to be accepted; 0: the system's number
	// Ignored are the words that nginx knows and this gateway does not; they are warned of.
	Ignored []string
}

// String writes it the way it is configured.
func (l Listen) String() string {
	words := []string{l.Address}
	for _, w := range []struct {
		on   bool
		word string
	}{{l.HTTP2, "http2"}, {l.TLS, "ssl"}, {l.ReusePort, "reuseport"}, {l.Backlog > 0, fmt.Sprint("backlog=", l.Backlog)}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}

// parseListens reads Kong's syntax: addresses with their words, parted by commas, or "off".
func parseListens(v string) ([]Listen, error) {
	if strings.TrimSpace(v) == "off" {
		return nil, nil
	}
	var list []Listen
	for _, part := range strings.Split(v, ",") {
		l, err := parseListen(strings.Fields(part))
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

func parseListen(words []string) (Listen, error) {
	if len(words) == 0 {
		return Listen{}, errBad
	}
	host, port, err := net.SplitHostPort(words[0])
	if err != nil {
		return Listen{}, errBad
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return Listen{}, errBad
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return Listen{}, errBad
	}
	l := Listen{Address: net.JoinHostPort(host, port)}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case word == "ssl":
			l.TLS = true
		case word == "http2":
			l.HTTP2 = true
		case word == "reuseport":
			l.ReusePort = true
		case name == "backlog":
			if l.Backlog, err = strconv.Atoi(value); err != nil || l.Backlog < 1 || l.Backlog > 1<<16 {
				return Listen{}, errBad
			}
		case strings.Contains(" deferred bind proxy_protocol ipv6only so_keepalive ", " "+name+" "):
			l.Ignored = append(l.Ignored, word)
		default:
			return Listen{}, errBad
		}
	}
	return l, nil
}
