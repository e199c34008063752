package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"tidemark/fixtures/postgres"
)

// at is the part of a node's environment that leads to a database; "PG_RO" is its replica.
func at(property string, a postgres.Addr) []string {
	return []string{
		"KONG_" + property + "_HOST=" + a.Host, fmt.Sprintf("KONG_%s_PORT=%d", property, a.Port),
		"KONG_" + property + "_USER=" + a.User, "KONG_" + property + "_DATABASE=" + a.Database,
	}
}

// call asks and gives the status, 0 for no answer, and the body.
func call(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// must asks a node's Admin API for what has to work.
func must(t *testing.T, method, url, body string) {
	t.Helper()
	if code, text := call(t, method, url, body); code/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, url, code, text)
	}
}

// wants is an error unless a request is answered so.
func wants(t *testing.T, status int, url string, header ...string) error {
	t.Helper()
	if code, text := call(t, http.MethodGet, url, "", header...); code != status {
		return fmt.Errorf("GET %s: %d %s, want %d", url, code, text, status)
	}
	return nil
}

func TestADatabaseWithoutASchema(t *testing.T) {
	const hint = "run `gateway migrate`"
	db := database(t)
	r := startNode(t, at("PG", db)...)
	ready := "http://" + r.Status[0] + "/status/ready"
	eventually(t, func() error {
		if code, body := call(t, http.MethodGet, ready, ""); code != 503 || !strings.Contains(body, hint) {
			return fmt.Errorf("ready: %d %s", code, body)
		}
		return nil
	})
	out, err := gateway(t, at("PG", db), "health", "--address-file", r.file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), hint) {
		t.Errorf("health: %v %s", err, out)
	}
	for _, want := range []string{"the schema was created", "up to date already"} {
		out, err = gateway(t, at("PG", db), "migrate").CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("migrate: %v %s, want %q", err, out, want)
		}
	}
	eventually(t, func() error { return wants(t, 200, ready) })
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.ended(t); code != 0 || !strings.Contains(r.log.String(), "poll failed, will try again at each interval\" error=\"read events: the database schema is not up to date: "+hint) {
		t.Errorf("ended with %d, log:\n%s", code, r.log)
	}
	if !strings.Contains(r.log.String(), "level=notice msg=\"poll recovered\"") {
		t.Errorf("the recovery is not told at the default level:\n%s", r.log)
	}
}

// A gate lets connections through to a database once it is open.
type gate struct {
	net.Listener
	open atomic.Bool
	all  sync.WaitGroup
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l}
	g.all.Go(func() { g.accept(t, to) })
	t.Cleanup(func() {
		_ = g.Close()
		g.all.Wait()
	})
	return g
}

func (g *gate) accept(t *testing.T, to string) {
	for {
		c, err := g.Accept()
		if err != nil {
			return
		}
		if !g.open.Load() {
			_ = c.Close()
			continue
		}
		s, err := net.Dial("tcp", to)
		if err != nil {
			t.Error(err)
			return
		}
		for _, way := range [][2]net.Conn{{c, s}, {s, c}} {
			g.all.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
			})
		}
	}
}

// A change of a node's own makes it load before it has a place in the log: what others change until
// then is told by no event, and must be found all the same.
func TestWhatWasLoadedBeforeThePlaceInTheLog(t *testing.T) {
	pair, err := template(t).Clone(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	other := serve(t, pair.Primary(), "KONG_DB_UPDATE_FREQUENCY=0.1")
	for _, change := range [][2]string{
		{"/routes", `{"name":"r","paths":["/k"]}`},
		{"/routes/r/plugins", `{"name":"key-auth"}`},
		{"/consumers", `{"username":"c"}`},
		{"/consumers/c/key-auth", `{"key":"K"}`},
	} {
		must(t, http.MethodPost, other.admin()+change[0], change[1])
	}
	replica := pair.Replica()
	g := newGate(t, replica.HostPort())
	replica.Port = g.Addr().(*net.TCPAddr).Port
	n := startNode(t, append(at("PG", pair.Primary()), at("PG_RO", replica)...)...)
	proxy := "http://" + n.Proxy[0] + "/k"
	must(t, http.MethodPost, "http://"+n.Admin[0]+"/routes", `{"paths":["/other"]}`)
	if err := wants(t, 503, proxy, "apikey", "K"); err != nil { // the route has no service
		t.Fatal("the node serves before its place in the log: ", err)
	}
	must(t, http.MethodDelete, other.admin()+"/consumers/c/key-auth/K", "")
	if err := pair.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.open.Store(true)
	eventually(t, func() error { return wants(t, 200, "http://"+n.Status[0]+"/status/ready") })
	eventually(t, func() error { return wants(t, 401, proxy, "apikey", "K") })
}

// What only SQL can write may be unreadable: such a route is left out, such a plugin guards nothing
// open, and both are told of while the others serve.
func TestRowsThatCannotBeRead(t *testing.T) {
	pair, err := template(t).ClonePrimary(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	n := serve(t, pair.Primary(), "KONG_DB_UPDATE_FREQUENCY=0.1")
	for _, change := range [][2]string{
		{"/routes", `{"name":"bad","paths":["/bad"]}`},
		{"/routes", `{"name":"guarded","paths":["/guarded"]}`},
		{"/routes", `{"name":"good","paths":["/good"]}`},
		{"/routes/guarded/plugins", `{"name":"key-auth"}`},
	} {
		must(t, http.MethodPost, n.admin()+change[0], change[1])
	}
	for _, sql := range []string{`UPDATE routes SET headers = '"x"' WHERE name = 'bad'`, `UPDATE plugins SET config = '[]'`} {
		if _, err := pair.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	must(t, http.MethodPost, n.admin()+"/routes", `{"paths":["/new"]}`)
	for path, status := range map[string]int{"/bad": 404, "/guarded": 500, "/good": 503, "/new": 503} {
		if err := wants(t, status, n.proxy()+path); err != nil {
			t.Error(err)
		}
	}
	n.stop()
	if !bytes.Contains(n.log.Bytes(), []byte("part of the configuration was left out")) {
		t.Errorf("the log does not tell:\n%s", n.log)
	}
}
