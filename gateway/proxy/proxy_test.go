package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/plugin/exampleplugin"
	"tidemark/gateway/plugin/keyauth"
	"tidemark/gateway/plugin/requesttermination"
	"tidemark/gateway/plugin/responsetransformer"
	"tidemark/gateway/router"
	"tidemark/gateway/schema"
)

// A world is a gateway on a real socket with what it is configured with.
type world struct {
	t        *testing.T
	URL      string
	live     *Live
	services []entity.Service
	routes   []entity.Route
	plugins  []entity.Plugin
	keys     keys
	defects  Defects
	through  http.RoundTripper
	takes    time.Duration // a build
	extra    []plugin.Plugin
}

// keys are the credentials of the consumer alice.
type keys struct{ err error }

func (k keys) Credential(_ context.Context, key string) (*entity.KeyAuth, error) {
	if k.err != nil || key != "k1" {
		return nil, k.err
	}
	return &entity.KeyAuth{ID: "cred", Key: "k1", ConsumerID: "alice-id"}, nil
}

func (k keys) Consumer(context.Context, string) (*entity.Consumer, error) {
	return &entity.Consumer{ID: "alice-id", Username: "alice", CustomID: "c-alice"}, k.err
}

func available(k keys) []plugin.Plugin {
	return []plugin.Plugin{keyauth.New(k), requesttermination.New("node"), responsetransformer.New(), exampleplugin.New()}
}

// serve starts the gateway.
func (w *world) serve() *world {
	w.t.Helper()
	w.live = NewLive(LiveOptions{Strict: true, Defects: w.defects, Load: func(context.Context) (*State, error) {
		if w.takes > 0 {
			<-time.After(w.takes)
		}
		r, err := router.Build(w.services, w.routes)
		if err != nil {
			return nil, err
		}
		x, err := plugin.Build(w.plugins, append(available(w.keys), w.extra...))
		return &State{Router: r, Plugins: x}, err
	}})
	must(w.t, w.live.Rebuild(w.t.Context()))
	s := httptest.NewServer(New(Options{Live: w.live, Transport: w.through, Defects: w.defects}))
	w.t.Cleanup(s.Close)
	w.URL = s.URL
	return w
}

// serviceAt is a service at an address, with timeouts that no test waits for.
func serviceAt(t *testing.T, id, address string) entity.Service {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	port, err := strconv.Atoi(u.Port())
	must(t, err)
	return entity.Service{
		ID: id, Protocol: u.Scheme, Host: u.Hostname(), Port: port, Path: u.Path, Enabled: true, Retries: 5,
		ConnectTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
	}
}

func routeTo(service, path string) entity.Route {
	return entity.Route{ID: "route:" + path, Protocols: []string{"http", "https"}, Paths: []string{path}, StripPath: true, ServiceID: service}
}

// gateway is a world with one service, reached through "/echo".
func gateway(t *testing.T, upstream http.HandlerFunc) *world {
	t.Helper()
	s := httptest.NewServer(upstream)
	t.Cleanup(s.Close)
	return &world{
		t: t, services: []entity.Service{serviceAt(t, "s", s.URL+"/base")}, routes: []entity.Route{routeTo("s", "/echo")},
	}
}

// seen is what the echo service says that it received.
type seen struct {
	Method, Target, Host, Body string
	Header                     http.Header
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Server", "echo-up/1.0")
	w.Header().Set("X-Up", "yes")
	w.Header()["Date"] = nil
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, string(b), r.Header})
}

type answer struct {
	*http.Response
	body string
}

func (w *world) do(method, target, body string, headers ...string) answer {
	w.t.Helper()
	r, err := http.NewRequest(method, w.URL+target, strings.NewReader(body))
	must(w.t, err)
	if body == "" {
		r.Body = nil
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	if h := r.Header.Get("Host"); h != "" {
		r.Host = h
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	a, err := client.Do(r)
	must(w.t, err)
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	must(w.t, err)
	return answer{a, string(b)}
}

func (a answer) seen(t *testing.T) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		t.Fatalf("%d %s: %v", a.StatusCode, a.body, err)
	}
	return s
}

func TestWhatTheServiceGets(t *testing.T) {
	w := gateway(t, echo).serve()
	port := w.URL[strings.LastIndex(w.URL, ":")+1:]
	a := w.do("POST", "/echo/%41%2f%20?q=%41&", `{"k":1}`,
		"Content-Type", "application/json", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "https",
		"X-Real-Ip", "5.6.7.8", "X-Kong-Request-Id", "mine", "Via", "1.1 other",
		"Connection", "X-Hop", "X-Hop", "1", "Te", "trailers, gzip", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive",
		"Expect", "", "Proxy-Authorization", "Basic x")
	got := a.seen(t)
	if got.Method != "POST" || got.Target != "/base/A%2F%20?q=%41&" || got.Body != `{"k":1}` {
		t.Errorf("%s %s %q", got.Method, got.Target, got.Body)
	}
	if got.Host != strings.TrimPrefix(upstreamOf(w), "http://") {
		t.Errorf("host %q", got.Host)
	}
	for name, want := range map[string]string{
		"X-Forwarded-For": "1.2.3.4, 127.0.0.1", "X-Forwarded-Host": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Port": port,
		"X-Forwarded-Path": "/echo/%41%2f%20", "X-Forwarded-Prefix": "/echo", "X-Real-Ip": "127.0.0.1", "Via": "1.1 other, 1.1 kong/3.8.1",
		"X-Kong-Request-Id": a.Header.Get("X-Kong-Request-Id"), "Te": "trailers", "Proxy-Authorization": "Basic x",
		"X-Hop": "", "Keep-Alive": "", "Proxy-Connection": "", "Expect": "", "Content-Length": "7", "Accept-Encoding": "gzip",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	for name, want := range map[string]string{"Server": "echo-up/1.0", "X-Up": "yes", "Via": "1.1 kong/3.8.1", "X-Kong-Response-Latency": "", "Date": ""} {
		if v := a.Header.Get(name); v != want {
			t.Errorf("answer's %s: %q, want %q", name, v, want)
		}
	}
	for _, name := range []string{"X-Kong-Upstream-Latency", "X-Kong-Proxy-Latency"} {
		if _, err := strconv.Atoi(a.Header.Get(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if id := a.Header.Get("X-Kong-Request-Id"); len(id) != 32 || id == "mine" {
		t.Errorf("request id %q", id)
	}
}

func upstreamOf(w *world) string {
	return fmt.Sprintf("http://%s:%d", w.services[0].Host, w.services[0].Port)
}

func TestPreserveHost(t *testing.T) {
	w := gateway(t, echo)
	w.routes[0].PreserveHost = true
	if got := w.serve().do("GET", "/echo", "", "Host", "My.host:81").seen(t).Host; got != "My.host:81" {
		t.Errorf("host %q", got)
	}
}

func TestNoRouteInEachForm(t *testing.T) {
	w := gateway(t, echo).serve()
	const m = "no Route matched with those values"
	jsonForm := "{\n  \"message\":\"" + m + "\",\n  \"request_id\":\"ID\"\n}"
	plain := m + "\nrequest_id: ID\n"
	for _, c := range []struct{ accept, contentType, body string }{
		{"", "application/json; charset=utf-8", jsonForm},
		{"*/*", "application/json; charset=utf-8", jsonForm},
		{"application/json", "application/json; charset=utf-8", jsonForm},
		{"application/vnd.x+json", "application/json; charset=utf-8", jsonForm},
		{"image/png", "application/json; charset=utf-8", jsonForm},
		{"text/html;q=0.5, application/json", "application/json; charset=utf-8", jsonForm},
		{"application/json;q=0.5, text/plain", "text/plain; charset=utf-8", plain},
		{"nonsense, ;;, text/*", "text/plain; charset=utf-8", plain},
		{"text/plain", "text/plain; charset=utf-8", plain},
		{"text/html", "text/html; charset=utf-8", "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>" + m + ".</p>\n    <p>request_id: ID</p>\n  </body>\n</html>\n"},
		{"application/xml", "application/xml; charset=utf-8", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>" + m + "</message>\n  <requestid>ID</requestid>\n</error>\n"},
		{"application/grpc", "", ""},
	} {
		a := w.do("GET", "/nope", "", "Accept", c.accept)
		id := a.Header.Get("X-Kong-Request-Id")
		if a.StatusCode != 404 || a.Header.Get("Content-Type") != c.contentType || a.body != strings.ReplaceAll(c.body, "ID", id) {
			t.Errorf("Accept %q: %d %q %q", c.accept, a.StatusCode, a.Header.Get("Content-Type"), a.body)
		}
		if a.Header.Get("Server") != "kong/3.8.1" || a.Header.Get("Via") != "" || a.Header.Get("X-Kong-Response-Latency") == "" {
			t.Errorf("headers %v", a.Header)
		}
	}
}

func TestOwnAnswers(t *testing.T) {
	w := gateway(t, echo)
	off := w.services[0]
	off.ID, off.Enabled = "off", false
	nowhere := w.services[0]
	nowhere.ID, nowhere.Host = "nowhere", "no-such-name.invalid"
	w.services = append(w.services, off, nowhere)
	secure, redirect := routeTo("s", "/sec"), routeTo("s", "/redirect")
	secure.Protocols, redirect.Protocols, redirect.HTTPSRedirectStatusCode = []string{"https"}, []string{"https"}, 301
	w.routes = append(w.routes, routeTo("", "/nosvc"), routeTo("off", "/off"), routeTo("nowhere", "/nodns"), secure, redirect)
	w.serve()
	for _, c := range []struct {
		method, path string
		status       int
		message      string
	}{
		{"GET", "/nosvc", 503, "no Service found with those values"},
		{"GET", "/off", 404, "no Route matched with those values"},
		{"GET", "/nodns", 503, "name resolution failed"},
		{"GET", "/sec", 426, "Please use HTTPS protocol"},
		{"GET", "/redirect?x=1", 301, ""},
		{"TRACE", "/echo", 405, "Method not allowed"},
	} {
		a := w.do(c.method, c.path, "", "Accept", "application/json")
		var body struct{ Message string }
		_ = json.Unmarshal([]byte(a.body), &body)
		if a.StatusCode != c.status || body.Message != c.message || a.Header.Get("Via") != "" {
			t.Errorf("%s: %d %s %v", c.path, a.StatusCode, a.body, a.Header)
		}
	}
	if a := w.do("GET", "/sec", ""); a.Header.Get("Upgrade") != "TLS/1.2, HTTP/1.1" || a.Header.Get("Connection") != "Upgrade" {
		t.Errorf("426 with %v", a.Header)
	}
	if a := w.do("GET", "/redirect?x=1", ""); a.Header.Get("Location") != "https://127.0.0.1/redirect?x=1" {
		t.Errorf("301 with %v", a.Header)
	}
}

// The same gateway behind TLS, spoken to in HTTP/2, in front of a service that speaks TLS itself.
func TestTLS(t *testing.T) {
	up := httptest.NewTLSServer(http.HandlerFunc(echo))
	t.Cleanup(up.Close)
	strict := true
	w := &world{t: t, services: []entity.Service{serviceAt(t, "s", up.URL), serviceAt(t, "strict", up.URL)}, routes: []entity.Route{routeTo("s", "/echo"), routeTo("strict", "/strict")}}
	w.services[1].TLSVerify = &strict
	w.routes[0].Protocols = []string{"https"}
	w.serve()
	front := httptest.NewUnstartedServer(New(Options{Live: w.live}))
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	get := func(path string) (*http.Response, string) {
		a, err := front.Client().Get(front.URL + path)
		must(t, err)
		defer a.Body.Close()
		b, _ := io.ReadAll(a.Body)
		return a, string(b)
	}
	a, body := get("/echo/x")
	if a.ProtoMajor != 2 || a.StatusCode != 200 || a.Header.Get("Via") != "1.1 kong/3.8.1" {
		t.Errorf("%s %d %v", a.Proto, a.StatusCode, a.Header)
	}
	got := answer{a, body}.seen(t).Header
	if got.Get("Via") != "2 kong/3.8.1" || got.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("%v", got)
	}
	if a, body := get("/strict"); a.StatusCode != 502 {
		t.Errorf("a certificate that cannot be verified: %d %s", a.StatusCode, body)
	}
}

// raw sends bytes and gives the first answer.
func (w *world) raw(request string) answer {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	must(w.t, err)
	defer c.Close()
	_, err = io.WriteString(c, request)
	must(w.t, err)
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(w.t, err)
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	return answer{a, string(b)}
}

func TestRawRequests(t *testing.T) {
	w := gateway(t, echo).serve()
	for _, c := range []struct {
		name, request string
		status        int
		want          string // in the body
	}{
		{"empty host", "GET /echo HTTP/1.1\r\nHost: \r\n\r\n", 400, "Bad request\nrequest_id: "},
		{"connect", "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "Bad request\n"},
		{"trace", "TRACE /echo HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Method not allowed\n"},
		{"http 1.0 without a host", "GET /echo HTTP/1.0\r\n\r\n", 200, `"Via":["1 kong/3.8.1"]`},
		{"http 1.0 without a host, forwarded as", "GET /echo HTTP/1.0\r\n\r\n", 200, `"X-Forwarded-Host":["kong"]`},
		{"chunked", "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, `"Body":"hi"`},
		{"no user agent", "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 200, `"Target":"/base"`},
		{"absolute form", "GET http://x/echo/y HTTP/1.1\r\nHost: x\r\n\r\n", 200, `"Target":"/base/y"`},
		{"empty query", "GET /echo? HTTP/1.1\r\nHost: x\r\n\r\n", 200, `"Target":"/base?"`},
		{"expect", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", 200, `"Method":"POST"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.raw(strings.Replace(c.request, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			if a.StatusCode != c.status || !strings.Contains(a.body, c.want) {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if strings.Contains(a.body, "Go-http-client") {
				t.Errorf("a user agent was made up: %s", a.body)
			}
		})
	}
}

func TestNothingIsServedBeforeTheFirstBuild(t *testing.T) {
	w := httptest.NewRecorder()
	New(Options{Live: NewLive(LiveOptions{})}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 {
		t.Errorf("status %d: a node that knows nothing must not say that there is no such route", w.Code)
	}
}

func TestHeadAndStatuses(t *testing.T) {
	w := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/base/"))
		w.Header().Set("Content-Length", "3")
		w.Header()["Content-Type"] = nil
		if code == 204 || code == 304 {
			w.Header().Del("Content-Length")
		}
		w.WriteHeader(code)
		if r.Method != "HEAD" && code != 204 && code != 304 {
			_, _ = io.WriteString(w, "abc")
		}
	}).serve()
	for _, c := range []struct {
		method string
		status int
		length string
		body   string
	}{
		{"GET", 200, "3", "abc"},
		{"HEAD", 200, "3", ""},
		{"GET", 500, "3", "abc"},
		{"GET", 204, "", ""},
		{"GET", 304, "", ""},
	} {
		a := w.do(c.method, "/echo/"+strconv.Itoa(c.status), "")
		if a.StatusCode != c.status || a.Header.Get("Content-Length") != c.length || a.body != c.body {
			t.Errorf("%s %d: %d %v %q", c.method, c.status, a.StatusCode, a.Header, a.body)
		}
		if _, ok := a.Header["Content-Type"]; ok {
			t.Errorf("a content type was made up: %v", a.Header)
		}
	}
}

// Both directions at once: the service answers each line as it comes, and the client sees it
// before it sends the next.
func TestStreaming(t *testing.T) {
	w := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		for in := bufio.NewScanner(r.Body); in.Scan(); {
			fmt.Fprintln(w, "got "+in.Text())
			_ = http.NewResponseController(w).Flush()
		}
	}).serve()
	body, in := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/echo", body)
	must(t, err)
	go func() { _, _ = io.WriteString(in, "0\n") }()
	a, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	defer a.Body.Close()
	out := bufio.NewScanner(a.Body)
	for i := range 3 {
		if !out.Scan() || out.Text() != fmt.Sprint("got ", i) {
			t.Fatalf("line %d: %q %v", i, out.Text(), out.Err())
		}
		if i < 2 {
			_, err := fmt.Fprintln(in, i+1)
			must(t, err)
		}
	}
	must(t, in.Close())
	if out.Scan() {
		t.Errorf("more: %q", out.Text())
	}
}

// A service that answers before the request has ended: the client sees the whole answer, and what
// is left of the request is not taken for another one.
func TestAnAnswerBeforeTheEndOfTheRequest(t *testing.T) {
	w := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "early")
	}).serve()
	a := w.raw("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
	if a.StatusCode != 200 || a.body != "early" || !a.Close {
		t.Errorf("%d %q, closes: %v", a.StatusCode, a.body, a.Close)
	}
}

// The body of a request that is refused stands in nobody's way.
func TestAConnectionIsReusedAfterABodyThatNobodyRead(t *testing.T) {
	w := gateway(t, echo).serve()
	request := "POST /nope HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
	c, err := net.Dial("tcp", strings.TrimPrefix(w.URL, "http://"))
	must(t, err)
	defer c.Close()
	in := bufio.NewReader(c)
	for range 3 {
		_, err = io.WriteString(c, request)
		must(t, err)
		a, err := http.ReadResponse(in, nil)
		must(t, err)
		_, _ = io.Copy(io.Discard, a.Body)
		if a.StatusCode != 404 || a.Close {
			t.Errorf("%d, closes: %v", a.StatusCode, a.Close)
		}
	}
}

// A service that breaks off in the middle must not look like one that has ended.
func TestABrokenAnswerBreaksTheConnection(t *testing.T) {
	w := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}).serve()
	a, err := http.Get(w.URL + "/echo")
	must(t, err)
	defer a.Body.Close()
	if b, err := io.ReadAll(a.Body); err == nil {
		t.Errorf("a whole answer: %q", b)
	}
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	wait := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/late") {
			_, _ = io.WriteString(w, "head")
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	w := gateway(t, wait)
	w.services[0].ReadTimeout = 100 * time.Millisecond
	w.serve()
	t.Cleanup(func() { close(release) })
	for _, method := range []string{"GET", "POST"} {
		began := time.Now()
		a := w.do(method, "/echo", "", "Accept", "*/*")
		if took := time.Since(began); a.StatusCode != 504 || !strings.Contains(a.body, `"message":"The upstream server is timing out"`) || took > 5*time.Second {
			t.Errorf("%s: %d %s after %v", method, a.StatusCode, a.body, took)
		}
		if ms, _ := strconv.Atoi(a.Header.Get("X-Kong-Upstream-Latency")); ms < 100 || a.Header.Get("Via") == "" || a.Header.Get("Server") != "kong/3.8.1" {
			t.Errorf("headers %v", a.Header)
		}
	}
	a, err := http.Get(w.URL + "/echo/late")
	must(t, err)
	defer a.Body.Close()
	if b, err := io.ReadAll(a.Body); err == nil {
		t.Errorf("an answer that stalled ended well: %q", b)
	}
}

// A client that is slow is not the service's fault: the service's timeouts rest.
func TestASlowClientIsNotATimeout(t *testing.T) {
	w := gateway(t, echo)
	w.services[0].ReadTimeout, w.services[0].WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	w.serve()
	body, in := io.Pipe()
	go func() {
		for range 4 {
			<-time.After(60 * time.Millisecond)
			_, _ = io.WriteString(in, "x")
		}
		_ = in.Close()
	}()
	r, err := http.NewRequestWithContext(t.Context(), "POST", w.URL+"/echo", body)
	must(t, err)
	a, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	defer a.Body.Close()
	b, _ := io.ReadAll(a.Body)
	if a.StatusCode != 200 || !strings.Contains(string(b), `"Body":"xxxx"`) {
		t.Errorf("%d %s", a.StatusCode, b)
	}
}

// A flaky service drops the first connections before it answers.
type flaky struct {
	net.Listener
	drops int64
	tries atomic.Int64
}

func (f *flaky) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil || f.tries.Add(1) > f.drops {
			return c, err
		}
		go func() { // read the head, or the close would be a reset before it is sent
			_, _ = bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
		}()
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name, method, body string
		drops              int64
		retries            int
		status             int
		tries              int64
	}{
		{"the second try answers", "GET", "", 1, 5, 200, 2},
		{"all tries fail", "GET", "", 100, 2, 502, 3},
		{"no retries", "GET", "", 100, 0, 502, 1},
		{"a POST that was sent is not repeated", "POST", "", 100, 5, 502, 1},
		{"nor is a PUT whose body is gone", "PUT", "x", 100, 5, 502, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			f := &flaky{Listener: l, drops: c.drops}
			s := &httptest.Server{Listener: f, Config: &http.Server{Handler: http.HandlerFunc(echo)}}
			s.Start()
			defer s.Close()
			w := &world{t: t, services: []entity.Service{serviceAt(t, "s", "http://"+l.Addr().String())}, routes: []entity.Route{routeTo("s", "/echo")}}
			w.services[0].Retries = c.retries
			a := w.serve().do(c.method, "/echo", c.body)
			if a.StatusCode != c.status || f.tries.Load() != c.tries {
				t.Errorf("%d after %d tries, want %d after %d", a.StatusCode, f.tries.Load(), c.status, c.tries)
			}
		})
	}
}

// counting is a transport that reaches nobody.
type counting struct{ tries atomic.Int64 }

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	c.tries.Add(1)
	return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
}

// A request that met no server is sent again whatever it is, with its body.
func TestRetriesWithoutAConnection(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		through := &counting{}
		w := gateway(t, echo)
		w.through = through
		a := w.serve().do(method, "/echo", "body", "Accept", "text/html")
		if a.StatusCode != 502 || through.tries.Load() != 6 {
			t.Errorf("%s: %d after %d tries, want 502 after 6", method, a.StatusCode, through.tries.Load())
		}
		if !strings.Contains(a.body, "<p>An invalid response was received from the upstream server.</p>") || a.Header.Get("Via") == "" {
			t.Errorf("%v %s", a.Header, a.body)
		}
	}
}

func TestFormOfTransportErrors(t *testing.T) {
	w := gateway(t, echo)
	w.through = &counting{}
	w.serve()
	for _, c := range []struct{ accept, sent, want string }{
		{"", "", "text/plain; charset=utf-8"},
		{"", "application/json", "application/json; charset=utf-8"},
		{"*/*", "", "application/json; charset=utf-8"},
		{"text/html", "application/json", "text/html; charset=utf-8"},
	} {
		a := w.do("GET", "/echo", "", "Accept", c.accept, "Content-Type", c.sent)
		if got := a.Header.Get("Content-Type"); got != c.want {
			t.Errorf("Accept %q, Content-Type %q: %q, want %q", c.accept, c.sent, got, c.want)
		}
	}
}

// When the client goes away, so does the request to the service.
func TestAClientThatGoesAway(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	w := gateway(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	}).serve()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", w.URL+"/echo", nil)
	must(t, err)
	go func() { <-arrived; cancel() }()
	if a, err := http.DefaultTransport.RoundTrip(r); err == nil {
		_ = a.Body.Close()
		t.Error("an answer")
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the service still works for a client that is gone")
	}
}

func on(name, route, service string, config map[string]any) entity.Plugin {
	for _, p := range available(keys{}) {
		if filled, bad := p.Config().Process(config, schema.Insert); p.Name() == name && bad == nil {
			config = filled
		}
	}
	return entity.Plugin{ID: name + route + service, Name: name, RouteID: route, ServiceID: service, Enabled: true, Config: config}
}

func TestPlugins(t *testing.T) {
	w := gateway(t, echo)
	w.routes = append(w.routes, routeTo("s", "/key"), routeTo("", "/end"))
	w.plugins = []entity.Plugin{
		on("example-plugin", "", "", nil),
		on("key-auth", "route:/key", "", nil),
		on("response-transformer", "route:/key", "", map[string]any{
			"remove": map[string]any{"headers": []any{"Server"}}, "add": map[string]any{"headers": []any{"X-Added:1"}},
		}),
		on("request-termination", "route:/end", "", map[string]any{"status_code": int64(418), "message": "tea"}),
	}
	w.serve()
	for _, c := range []struct {
		name, path, key string
		status          int
		body            string
	}{
		{"a global one on a route", "/echo", "", 200, `"Target":"/base"`},
		{"a global one where no route matched", "/nope", "", 404, "no Route"},
		{"no key", "/key", "", 401, "No API key found in request"},
		{"a wrong key", "/key", "zzz", 401, `"message":"Unauthorized"`},
		{"a good key", "/key", "k1", 200, `"X-Consumer-Username":["alice"]`},
		{"in place of a service that is not there", "/end", "", 418, `{"message":"tea"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.key != "" {
				headers = []string{"Apikey", c.key, "X-Consumer-Username", "root", "X-Anonymous-Consumer", "true"}
			}
			a := w.do("GET", c.path, "", headers...)
			if a.StatusCode != c.status || !strings.Contains(a.body, c.body) {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
			if a.Header.Get(exampleplugin.Header) != "active" {
				t.Errorf("the global plugin did not run: %v", a.Header)
			}
			if onKey := c.path == "/key"; (a.Header.Get("X-Added") == "1") != onKey {
				t.Errorf("X-Added %q", a.Header.Get("X-Added"))
			} else if onKey && a.Header.Get("Server") != "kong/3.8.1" {
				t.Errorf("Server %q", a.Header.Get("Server"))
			}
			if c.status == 401 && a.Header.Get("Www-Authenticate") != "Key" {
				t.Errorf("challenge %q", a.Header.Get("Www-Authenticate"))
			}
			if strings.Contains(a.body, "X-Anonymous-Consumer") || strings.Contains(a.body, "root") {
				t.Errorf("the client's claims reach the service: %s", a.body)
			}
		})
	}
}

// Once key-auth knows the caller, an instance bound to the consumer takes the place of another.
func TestAPluginOfAConsumer(t *testing.T) {
	w := gateway(t, echo)
	adds := func(v string) map[string]any {
		return map[string]any{"add": map[string]any{"headers": []any{"X-Whose:" + v}}}
	}
	alices := on("response-transformer", "", "", adds("alice"))
	alices.ConsumerID = "alice-id"
	w.plugins = []entity.Plugin{on("key-auth", "", "s", nil), on("response-transformer", "", "", adds("all")), alices}
	w.serve()
	for key, want := range map[string]string{"k1": "alice", "zzz": "all"} {
		if got := w.do("GET", "/echo", "", "Apikey", key).Header.Get("X-Whose"); got != want {
			t.Errorf("key %s: %q, want %q", key, got, want)
		}
	}
}

func TestPluginErrorsAreUnexpected(t *testing.T) {
	w := gateway(t, echo)
	w.keys.err = errors.New("database away")
	w.plugins = []entity.Plugin{on("key-auth", "", "", nil)}
	a := w.serve().do("GET", "/echo", "", "Apikey", "k1")
	if a.StatusCode != 500 || !strings.Contains(a.body, `"message":"An unexpected error occurred"`) || strings.Contains(a.body, "database") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// A plugin that this node cannot set up must not leave open what it guards.
func TestAPluginThatCannotBeSetUpRefuses(t *testing.T) {
	index, err := plugin.Build([]entity.Plugin{on("unknown", "route:/echo", "", nil), on("key-auth", "", "", map[string]any{"realm": int64(1)})},
		[]plugin.Plugin{keyauth.New(keys{})})
	if err == nil || !strings.Contains(err.Error(), "unknown") || !strings.Contains(err.Error(), "realm") {
		t.Errorf("error %v", err)
	}
	for _, b := range index.For("route:/echo", "s", "") {
		if _, err := b.Handler.Access(&plugin.Exchange{}); err == nil {
			t.Errorf("%s lets the request pass", b.Name)
		}
	}
}

func TestAPanicIsA500(t *testing.T) {
	w := gateway(t, echo)
	w.through = panicking{}
	if a := w.serve().do("GET", "/echo", ""); a.StatusCode != 500 || !strings.Contains(a.body, "An unexpected error occurred") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("oh") }

func TestFailClosed(t *testing.T) {
	for _, broken := range []bool{false, true} {
		w := gateway(t, echo)
		w.defects.FailClosed = broken
		w.serve()
		for _, c := range []struct {
			ok   bool
			want int
		}{{true, 200}, {false, map[bool]int{false: 200, true: 503}[broken]}, {true, 200}} {
			w.live.SetDatabase(c.ok)
			if a := w.do("GET", "/echo", ""); a.StatusCode != c.want {
				t.Errorf("broken=%v, database %v: %d, want %d", broken, c.ok, a.StatusCode, c.want)
			}
		}
	}
}

// A route that does not change is served without a gap while the configuration is replaced over
// and over; with the defect it is not.
func TestNoFlickerWhileRebuilding(t *testing.T) {
	for _, broken := range []bool{false, true} {
		w := gateway(t, echo)
		w.defects.EmptyWhileBuilding, w.takes = broken, 5*time.Millisecond
		w.serve()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		var builders sync.WaitGroup
		for range 2 {
			builders.Go(func() {
				for ctx.Err() == nil {
					_ = w.live.Rebuild(t.Context())
				}
			})
		}
		missed := 0
		for ctx.Err() == nil {
			if w.do("GET", "/echo", "").StatusCode != 200 {
				missed++
			}
		}
		builders.Wait()
		cancel()
		if (missed > 0) != broken {
			t.Errorf("broken=%v: %d requests missed the route", broken, missed)
		}
	}
}

func BenchmarkProxy(b *testing.B) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer up.Close()
	t := &testing.T{}
	s := serviceAt(t, "s", up.URL)
	live := NewLive(LiveOptions{Strict: true, Load: func(context.Context) (*State, error) {
		r, err := router.Build([]entity.Service{s}, []entity.Route{routeTo("s", "/echo")})
		return &State{Router: r, Plugins: &plugin.Index{}}, err
	}})
	if err := live.Rebuild(b.Context()); err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(New(Options{Live: live}))
	defer front.Close()
	b.ReportAllocs()
	for b.Loop() {
		a, err := http.Get(front.URL + "/echo")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, a.Body)
		_ = a.Body.Close()
	}
}
