package admin

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	for path, want := range map[string][]string{
		"/":                  {},
		"/services":          {"services"},
		"/services/":         {"services"},
		"/services/a%2Fb":    {"services", "a%2Fb"},
		"/cache/services:1:": {"cache", "services:1:"},
	} {
		if got, valid := split(path); !valid || !slices.Equal(got, want) {
			t.Errorf("split(%q) = %q, %v; want %q", path, got, valid, want)
		}
	}
	for _, path := range []string{"", "*", "services", "//", "//services", "/services//", "/consumers//key-auth", "/a/b/c/d/e/f/g/h/i"} {
		if got, valid := split(path); valid {
			t.Errorf("split(%q) = %q, want none", path, got)
		}
	}
}

func TestTreeFollowsTheCatalogue(t *testing.T) {
	want := []string{
		"/", "/cache", "/cache/{key}",
		"/consumers", "/consumers/{consumers}",
		"/consumers/{consumers}/key-auth", "/consumers/{consumers}/key-auth/{keyauth_credentials}",
		"/consumers/{consumers}/plugins", "/consumers/{consumers}/plugins/{plugins}",
		"/endpoints",
		"/key-auths", "/key-auths/{keyauth_credentials}", "/key-auths/{keyauth_credentials}/consumer",
		"/plugins", "/plugins/{plugins}", "/plugins/{plugins}/consumer", "/plugins/{plugins}/route", "/plugins/{plugins}/service",
		"/routes", "/routes/{routes}", "/routes/{routes}/plugins", "/routes/{routes}/plugins/{plugins}", "/routes/{routes}/service",
		"/services", "/services/{services}", "/services/{services}/plugins", "/services/{services}/plugins/{plugins}",
		"/services/{services}/routes", "/services/{services}/routes/{routes}",
		"/status",
	}
	if got := newFixture(t).root.patterns(); !slices.Equal(got, want) {
		t.Errorf("endpoints\n%q, want\n%q", got, want)
	}
}

func TestLiteralBeforeParameter(t *testing.T) {
	root := &node{}
	for _, pattern := range []string{"/a/{x}", "/a/fixed", "/a/{x}/b"} {
		root.handle("GET", pattern, nil)
	}
	for path, want := range map[string]string{"/a/1": "/a/{x}", "/a/fixed": "/a/fixed", "/a/fixed/b": "/a/{x}/b"} {
		segments, _ := split(path)
		if n, _ := root.match(segments); n == nil || n.pattern != want {
			t.Errorf("%s matches %+v, want %s", path, n, want)
		}
	}
	for _, path := range []string{"/", "/a", "/b", "/a/1/c", "/a/1/b/2"} {
		segments, _ := split(path)
		if n, _ := root.match(segments); n != nil {
			t.Errorf("%s matches %s", path, n.pattern)
		}
	}
}
