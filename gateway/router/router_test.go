package router

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tidemark/gateway/entity"
)

// route makes a route of service s with the defaults of the Admin API.
func route(id string, with func(*entity.Route)) entity.Route {
	r := entity.Route{ID: id, Protocols: []string{"http", "https"}, StripPath: true, ServiceID: "s"}
	with(&r)
	return r
}

func service(path string) entity.Service {
	return entity.Service{ID: "s", Protocol: "http", Host: "up", Port: 80, Path: path, Enabled: true}
}

func build(t testing.TB, routes ...entity.Route) *Router {
	t.Helper()
	r, err := Build([]entity.Service{service("")}, routes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request is a GET whose target goes through the server's own parsing.
func request(t testing.TB, host, target string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Request{Method: "GET", Host: host, URL: u, Header: http.Header{}}
}

func TestUpstreamPath(t *testing.T) {
	for _, c := range []struct {
		service, path string
		strip         bool
		request, want string
	}{
		{"", "/r", true, "/r", "/"},
		{"", "/r", true, "/r/", "/"},
		{"", "/r", true, "/r/x", "/x"},
		{"", "/r", true, "/rx", "/x"},
		{"", "/", false, "/p", "/p"},
		{"/", "/r", true, "/r/x", "/x"},
		{"/s", "/", true, "/r", "/s/r"},
		{"/s", "/", false, "/r", "/s/r"},
		{"/s", "/", false, "/", "/s"},
		{"/s", "/", true, "/", "/s"},
		{"/s/", "/", false, "/", "/s/"},
		{"/s", "/r", true, "/r", "/s"},
		{"/s", "/r", true, "/r/", "/s/"},
		{"/s", "/r", true, "/r/x", "/s/x"},
		{"/s", "/r", true, "/rx", "/s/x"},
		{"/s", "/r", false, "/r/x", "/s/r/x"},
		{"/s", "/r/", true, "/r/", "/s/"},
		{"/s", "/r/", true, "/r/x", "/s/x"},
		{"/s/", "/r", true, "/r", "/s"},
		{"/s/", "/r", true, "/rx", "/s/x"},
		{"/s/", "/r", true, "/r/x", "/s/x"},
		{"/s/", "/r/", true, "/r/", "/s/"},
		{"/s/", "/r", false, "/r/x", "/s/r/x"},
		{"/base", `~/rx/\d+`, true, "/rx/42/tail", "/base/tail"},
		{"/base", `~/rx/\d+`, false, "/rx/42/tail", "/base/rx/42/tail"},
		{"/base", "/echo", true, "/echo/%41%2f%20?q=%41", "/base/A%2F%20"},
		{"/base", "/echo", true, "/echo//x", "/base/x"},
		{"/base", "/r", true, "/r../x", "/base/x"},
		{"/base", "/r", true, "/r..", "/base"},
	} {
		t.Run(fmt.Sprint(c.service, " ", c.path, " ", c.strip, " ", c.request), func(t *testing.T) {
			r, err := Build([]entity.Service{service(c.service)}, []entity.Route{route("r", func(r *entity.Route) {
				r.Paths, r.StripPath = []string{c.path}, c.strip
			})})
			if err != nil {
				t.Fatal(err)
			}
			m := r.Match(request(t, "h", c.request))
			if m == nil {
				t.Fatal("no match")
			}
			if m.UpstreamPath != c.want {
				t.Errorf("upstream path %q, want %q", m.UpstreamPath, c.want)
			}
		})
	}
}

func TestStrippedPrefix(t *testing.T) {
	for _, c := range []struct {
		path    string
		strip   bool
		request string
		want    string
	}{
		{"/r", true, "/r/x", "/r"},
		{"/r", false, "/r/x", ""},
		{"/", true, "/r/x", ""},
		{`~/rx/\d+`, true, "/rx/42/tail", "/rx/42"},
	} {
		r := build(t, route("r", func(r *entity.Route) { r.Paths, r.StripPath = []string{c.path}, c.strip }))
		if got := r.Match(request(t, "h", c.request)).StrippedPrefix; got != c.want {
			t.Errorf("%s strip=%v %s: stripped %q, want %q", c.path, c.strip, c.request, got, c.want)
		}
	}
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"":                "/",
		"/":               "/",
		"/a/b":            "/a/b",
		"/a//b":           "/a/b",
		"//":              "/",
		"/a/./b":          "/a/b",
		"/a/../b":         "/b",
		"/a/..":           "/",
		"/a/b/..":         "/a/",
		"/..":             "/",
		"/../../x":        "/x",
		"/a/.":            "/a/",
		"/a//../b":        "/b",
		"/%41%2f%20":      "/A%2F ",
		"/%2e%2e/x":       "/x",
		"/%25%zz%4":       "/%25%zz%4",
		"/.hidden/..name": "/.hidden/..name",
		"*":               "*",
	} {
		if got := Normalize(in); got != want {
			t.Errorf("Normalize(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	set := func(f func(*entity.Route)) entity.Route { return route("r", f) }
	hosts := func(h ...string) entity.Route { return set(func(r *entity.Route) { r.Hosts = h }) }
	paths := func(p ...string) entity.Route { return set(func(r *entity.Route) { r.Paths = p }) }
	headers := func(v ...string) entity.Route {
		return set(func(r *entity.Route) { r.Headers = map[string][]string{"x-ver": v} })
	}
	for _, c := range []struct {
		name  string
		route entity.Route
		host  string
		path  string
		edit  func(*http.Request)
		want  bool
	}{
		{"exact host", hosts("h.test"), "h.test", "/", nil, true},
		{"host in another case", hosts("H.test"), "h.TEST", "/", nil, true},
		{"host with any port", hosts("h.test"), "h.test:8000", "/", nil, true},
		{"host with its port", hosts("h.test:8000"), "h.test:8000", "/", nil, true},
		{"host with another port", hosts("h.test:8000"), "h.test:8001", "/", nil, false},
		{"host without the port", hosts("h.test:8000"), "h.test", "/", nil, false},
		{"other host", hosts("h.test"), "g.test", "/", nil, false},
		{"leading wildcard", hosts("*.w.test"), "a.b.w.test", "/", nil, true},
		{"leading wildcard, bare", hosts("*.w.test"), "w.test", "/", nil, false},
		{"trailing wildcard", hosts("w.*"), "w.example", "/", nil, true},
		{"trailing wildcard with a port", hosts("w.*:1"), "w.example:2", "/", nil, false},
		{"ipv6 host", hosts("[::1]"), "[::1]:80", "/", nil, true},
		{"second host of a list", hosts("a", "b"), "b", "/", nil, true},

		{"path", paths("/r"), "h", "/r/x", nil, true},
		{"prefix inside a segment", paths("/r"), "h", "/rx", nil, true},
		{"path in another case", paths("/r"), "h", "/R", nil, false},
		{"path with dots", paths("/echo"), "h", "/echo/../nope", nil, false},
		{"encoded path", paths("/echo"), "h", "/%65cho", nil, true},
		{"regex is anchored at the start", paths(`~/\d+`), "h", "/x/1", nil, false},
		{"regex is open at the end", paths(`~/\d+`), "h", "/12/x", nil, true},
		{"every branch of a regex is anchored", paths(`~/a|/b`), "h", "/x/b", nil, false},
		{"named group", paths(`~/(?<n>\d+)$`), "h", "/12", nil, true},
		{"second path of a list", paths("/a", "~/b.$"), "h", "/bc", nil, true},

		{"method", set(func(r *entity.Route) { r.Methods = []string{"DELETE"} }), "h", "/", func(r *http.Request) { r.Method = "DELETE" }, true},
		{"other method", set(func(r *entity.Route) { r.Methods = []string{"DELETE"} }), "h", "/", nil, false},

		{"header", headers("1", "2"), "h", "/", func(r *http.Request) { r.Header.Set("X-Ver", "2") }, true},
		{"header value in another case", headers("AbC"), "h", "/", func(r *http.Request) { r.Header.Set("X-Ver", "aBc") }, true},
		{"one of several header values", headers("2"), "h", "/", func(r *http.Request) { r.Header["X-Ver"] = []string{"1", "2"} }, true},
		{"header absent", headers("1"), "h", "/", nil, false},
		{"header regex", headers("~*^v[0-9]+$"), "h", "/", func(r *http.Request) { r.Header.Set("X-Ver", "V12") }, true},
		{"header regex that does not match", headers("~*^v[0-9]+$"), "h", "/", func(r *http.Request) { r.Header.Set("X-Ver", "x") }, false},

		{"sni over http is no question", set(func(r *entity.Route) { r.SNIs = []string{"a"} }), "h", "/", nil, true},
		{"other sni", set(func(r *entity.Route) { r.SNIs = []string{"a"} }), "h", "/", func(r *http.Request) { r.TLS = &tls.ConnectionState{ServerName: "b"} }, false},
		{"grpc only", set(func(r *entity.Route) { r.Protocols = []string{"grpc"} }), "h", "/", nil, false},
		{"https only matches over http, for the proxy to refuse", set(func(r *entity.Route) { r.Protocols = []string{"https"} }), "h", "/", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := request(t, c.host, c.path)
			if c.edit != nil {
				c.edit(req)
			}
			if got := build(t, c.route).Match(req) != nil; got != c.want {
				t.Errorf("match = %v, want %v", got, c.want)
			}
		})
	}
}

// Each pair of routes matches GET http://a.test/x/yz with header v: 1; the first must win,
// whatever the order in which they are read.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name          string
		winner, loser func(*entity.Route)
	}{
		{
			"more kinds of matchers",
			func(r *entity.Route) { r.Hosts, r.Methods = []string{"*.test"}, []string{"GET"} },
			func(r *entity.Route) { r.Paths = []string{"/x/yz"} },
		},
		{
			"plain host over wildcard",
			func(r *entity.Route) { r.Hosts = []string{"a.test"} },
			func(r *entity.Route) { r.Hosts = []string{"a.test", "*.test"} },
		},
		{
			"plain host over more headers",
			func(r *entity.Route) { r.Hosts, r.Headers = []string{"a.test"}, map[string][]string{"v": {"1"}} },
			func(r *entity.Route) {
				r.Hosts, r.Headers = []string{"*.test"}, map[string][]string{"v": {"1"}, "w": {"1"}}
			},
		},
		{
			"more headers over regex",
			func(r *entity.Route) {
				r.Paths, r.Headers = []string{"/x"}, map[string][]string{"v": {"1"}, "w": {"1"}}
			},
			func(r *entity.Route) { r.Paths, r.Headers = []string{"~/x"}, map[string][]string{"v": {"1"}} },
		},
		{
			"regex over a longer prefix",
			func(r *entity.Route) { r.Paths = []string{"~/."} },
			func(r *entity.Route) { r.Paths = []string{"/x/yz"} },
		},
		{
			"higher regex_priority",
			func(r *entity.Route) { r.Paths, r.RegexPriority = []string{"~/x"}, 1 },
			func(r *entity.Route) { r.Paths = []string{"~/x/.*"} },
		},
		{
			"regex_priority does not count for a prefix",
			func(r *entity.Route) { r.Paths = []string{"/x/y"} },
			func(r *entity.Route) { r.Paths, r.RegexPriority = []string{"/x"}, 100 },
		},
		{
			"longer prefix",
			func(r *entity.Route) { r.Paths = []string{"/x/y"} },
			func(r *entity.Route) { r.Paths = []string{"/x"} },
		},
		{
			"each path of a list counts by itself",
			func(r *entity.Route) { r.Paths = []string{"/a", "/x/yz"} },
			func(r *entity.Route) { r.Paths = []string{"/x/y", "/longer/than/all"} },
		},
		{
			"larger id in a tie",
			func(r *entity.Route) { r.ID, r.Paths = "2", []string{"/x"} },
			func(r *entity.Route) { r.ID, r.Paths = "1", []string{"/x"} },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := route("1", func(*entity.Route) {}), route("2", func(*entity.Route) {})
			c.winner(&a)
			c.loser(&b)
			req := request(t, "a.test", "/x/yz")
			req.Header = http.Header{"V": {"1"}, "W": {"1"}}
			for _, routes := range [][]entity.Route{{a, b}, {b, a}} {
				if m := build(t, routes...).Match(req); m == nil || m.Route.ID != a.ID {
					t.Errorf("read as %s, %s: got %+v, want %s", routes[0].ID, routes[1].ID, m, a.ID)
				}
			}
		})
	}
}

func TestWhatIsNotInTheRouter(t *testing.T) {
	off := service("")
	off.ID, off.Enabled = "off", false
	routes := []entity.Route{
		route("no-service", func(r *entity.Route) { r.Paths, r.ServiceID = []string{"/none"}, "" }),
		route("disabled", func(r *entity.Route) { r.Paths, r.ServiceID = []string{"/off"}, "off" }),
		route("dangling", func(r *entity.Route) { r.Paths, r.ServiceID = []string{"/dangling"}, "gone" }),
		route("broken", func(r *entity.Route) { r.Paths = []string{"~/(", "/broken"} }),
		route("broken-header", func(r *entity.Route) { r.Headers = map[string][]string{"v": {"~*("}} }),
		route("good", func(r *entity.Route) { r.Paths = []string{"/good"} }),
	}
	r, err := Build([]entity.Service{service(""), off}, routes)
	if err == nil {
		t.Fatal("no error for a broken regex")
	}
	for _, id := range []string{"dangling", "broken", "broken-header"} {
		if !strings.Contains(err.Error(), "build route "+id+":") {
			t.Errorf("error does not name %s: %v", id, err)
		}
	}
	for path, want := range map[string]string{"/none": "no-service", "/off": "", "/dangling": "", "/broken": "", "/good": "good"} {
		got := ""
		if m := r.Match(request(t, "h", path)); m != nil {
			got = m.Route.ID
		}
		if got != want {
			t.Errorf("%s: route %q, want %q", path, got, want)
		}
	}
	if m := r.Match(request(t, "h", "/none")); m.Service != nil {
		t.Errorf("route without service has service %v", m.Service)
	}
}

func TestZeroRouterMatchesNothing(t *testing.T) {
	if m := new(Router).Match(request(t, "h", "/")); m != nil {
		t.Errorf("got %+v", m)
	}
}

// linear is Match without the index: the first rule in order that matches.
func linear(r *Router, req *http.Request) *rule {
	q := queryOf(req)
	var best *rule
	for _, t := range r.hosts {
		for _, list := range t.byPrefix {
			for _, u := range list {
				if strings.HasPrefix(q.path, u.prefix) && u.matches(&q) && (best == nil || u.rank < best.rank) {
					best = u
				}
			}
		}
	}
	return best
}

func TestIndexAgreesWithALinearSearch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	some := func(n int, of ...string) (out []string) {
		for range rnd.IntN(n + 1) {
			out = append(out, pick(of...))
		}
		return out
	}
	for range 200 {
		var routes []entity.Route
		for i := range 1 + rnd.IntN(12) {
			routes = append(routes, route(fmt.Sprint(i), func(r *entity.Route) {
				r.Hosts = some(2, "a.test", "b.test", "*.test", "a.*", "a.test:80")
				r.Paths = some(3, "/", "/a", "/a/b", "/b", "~/a.", "~/(a|b)/", "~/[ab]", "/a/")
				r.Methods = some(1, "GET", "POST")
				if rnd.IntN(3) == 0 {
					r.Headers = map[string][]string{"v": {pick("1", "2")}}
				}
			}))
		}
		r := build(t, routes...)
		for range 30 {
			req := request(t, pick("a.test", "b.test", "c.test", "a.x", "A.test:80", "z"), pick("/", "/a", "/a/b/c", "/b/a", "/ab", "/c"))
			req.Method = pick("GET", "POST")
			req.Header.Set("V", pick("1", "2", "3"))
			want, got := linear(r, req), r.Match(req)
			if (want == nil) != (got == nil) || want != nil && want.route != got.Route {
				t.Fatalf("%s %s%s: got %+v, want %+v", req.Method, req.Host, req.URL.Path, got, want)
			}
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/", "", "/echo/%41%2f%20", "/a/../..//b", "/rx/1", "%", "/%", "/%2", "*", "\x00", "/r..", "/é"} {
		f.Add("GET", "a.test:80", s)
	}
	r := build(f,
		route("1", func(r *entity.Route) { r.Paths = []string{"/", "/r", `~/rx/\d+`, "~/(?i)Echo"} }),
		route("2", func(r *entity.Route) { r.Hosts = []string{"a.test:80", "*.b", "c.*", "[::1]:1"} }),
		route("3", func(r *entity.Route) { r.Methods, r.Paths = []string{"GET"}, []string{"~(.*)x"} }))
	f.Fuzz(func(t *testing.T, method, host, path string) {
		req := httptest.NewRequest("GET", "/", nil)
		req.Method, req.Host, req.URL = method, host, &url.URL{Path: path, RawPath: path}
		if m := r.Match(req); m != nil {
			if !strings.HasPrefix(m.UpstreamPath, "/") {
				t.Errorf("upstream path %q", m.UpstreamPath)
			}
			if i := strings.IndexFunc(m.UpstreamPath, func(c rune) bool { return c <= ' ' || c > '~' || c == '?' || c == '#' }); i >= 0 {
				t.Errorf("upstream path %q is not fit for a request line", m.UpstreamPath)
			}
			if strings.Contains(m.UpstreamPath+"/", "/../") {
				t.Errorf("upstream path %q leads out of the service's path", m.UpstreamPath)
			}
		}
		if once := Normalize(path); Normalize(once) != once && !strings.Contains(path, "%") {
			t.Errorf("Normalize is not stable: %q, %q", once, Normalize(once))
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n, "-routes"), func(b *testing.B) {
			var routes []entity.Route
			for i := range n {
				routes = append(routes, route(fmt.Sprint(i), func(r *entity.Route) {
					r.Hosts, r.Paths = []string{fmt.Sprintf("h%d.test", i%100)}, []string{fmt.Sprintf("/api/%d", i)}
				}))
			}
			r := build(b, routes...)
			req := request(b, fmt.Sprintf("h%d.test", (n-1)%100), fmt.Sprintf("/api/%d/x", n-1))
			b.ReportAllocs()
			for b.Loop() {
				if r.Match(req) == nil {
					b.Fatal("no match")
				}
			}
		})
	}
}
