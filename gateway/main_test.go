package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidemark/gateway/admin"
	"tidemark/gateway/config"
)

// TestMain lets this test's binary be the gateway, so that a node can be a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("TIDEMARK_TEST_GATEWAY") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// gateway prepares a process; the database that it gets is away unless environ says otherwise.
func gateway(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(stop)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append([]string{
		"TIDEMARK_TEST_GATEWAY=1", "GORACE=atexit_sleep_ms=0", "KONG_PG_PORT=1", "KONG_PROXY_LISTEN=127.0.0.1:0, 127.0.0.1:0 ssl http2",
		"KONG_ADMIN_LISTEN=127.0.0.1:0 reuseport backlog=9", "KONG_STATUS_LISTEN=127.0.0.1:0", "KONG_DB_UPDATE_FREQUENCY=0.05",
	}, environ...)
	return cmd
}

func TestCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kong.conf")
	if err := os.WriteFile(file, []byte("db_cache_ttl = 7\npg_password = s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, rule := range []struct {
		says    string
		environ []string
		args    []string
		code    int
		out     string // in what it printed on either stream
	}{
		{"version", nil, []string{"version"}, 0, "tidemark reference gateway"},
		{"a file is read", nil, []string{"config", "-c", file}, 0, "db_cache_ttl = 7\n"},
		{"the environment is over it", []string{"KONG_DB_CACHE_TTL=8"}, []string{"config", "-c", file}, 0, "db_cache_ttl = 8\n"},
		{"secrets are hidden", nil, []string{"config", "-c", file}, 0, "pg_password = ******\n"},
		{"configuration as JSON", nil, []string{"config", "-o", "json"}, 0, `"db_update_frequency": 0.05`},
		{"an unknown name warns", []string{"KONG_PG_HOTS=x"}, []string{"config"}, 0, "level=warn msg=configuration warning=\"KONG_PG_HOTS is not known; the nearest name is KONG_PG_HOST\""},
		{"a bad value", []string{"KONG_PG_PORT=x"}, nil, 64, `KONG_PG_PORT is "x": want a whole number from 1 to 65535`},
		{"a name that is like no other", []string{"KONG_ABRACADABRA=x"}, []string{"config"}, 0, "warning=\"KONG_ABRACADABRA is not known\"\n"},
		{"an unknown flag", nil, []string{"--adress-file", "x"}, 64, "the nearest name is --address-file"},
		{"a flag that is like no other", nil, []string{"--abracadabra"}, 64, "unknown flag: --abracadabra\n"},
		{"an unknown command", nil, []string{"migrat"}, 64, `unknown command "migrat"; the nearest name is migrate`},
		{"a command that is like no other", nil, []string{"abracadabra"}, 64, "unknown command \"abracadabra\"\n"},
		{"an argument too many", nil, []string{"migrate", "now"}, 64, "now"},
		{"an unknown defect", nil, []string{"--defect", "skip-events"}, 64, "the nearest name is skip-event"},
		{"a defect that is like no other", nil, []string{"--defect", "abracadabra"}, 64, "is not known; `gateway defects` lists all\n"},
		{"an unknown plugin", []string{"KONG_PLUGINS=bundled,nope"}, nil, 64, `KONG_PLUGINS (plugins) names "nope", which is no plugin; want bundled, key-auth, `},
		{"a plugin's name spelt wrong", []string{"KONG_PLUGINS=key-aut"}, nil, 64, "the nearest name is key-auth"},
		{"defects", nil, []string{"defects"}, 0, "skip-event"},
		{"a missing file", nil, []string{"-c", file + ".gone"}, 64, "no such file"},
		{"health of a node that is not there", []string{"KONG_STATUS_LISTEN=127.0.0.1:1"}, []string{"health"}, 1, "refused"},
		{"health without a status listener", []string{"KONG_STATUS_LISTEN=off"}, []string{"health"}, 64, "status_listen"},
		{"an address that cannot be had", []string{"KONG_ADMIN_LISTEN=192.0.2.1:1"}, nil, 64, "KONG_ADMIN_LISTEN another address"},
		{"an address that is taken", []string{"KONG_STATUS_LISTEN=" + taken.Addr().String()}, nil, 64, "configuration: open status listener: listen tcp " + taken.Addr().String()},
		{"an address file that cannot be written", nil, []string{"--address-file", file + "/x"}, 64, "configuration: write address file: open " + file},
		{"migrate without a database", nil, []string{"migrate"}, 70, "refused"},
	} {
		t.Run(rule.says, func(t *testing.T) {
			out, err := gateway(t, rule.environ, rule.args...).CombinedOutput()
			code := 0
			if exit := (&exec.ExitError{}); errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != rule.code || !strings.Contains(string(out), rule.out) {
				t.Errorf("exit %d, want %d, and %q in:\n%s", code, rule.code, rule.out, out)
			}
			if strings.Contains(string(out), "s3cret") {
				t.Errorf("a secret was printed:\n%s", out)
			}
		})
	}
}

func TestDefectsAsJSON(t *testing.T) {
	out, err := gateway(t, nil, "defects", "-o", "json").Output()
	var list []struct{ Name, Breaks string }
	if err = errors.Join(err, json.Unmarshal(out, &list)); err != nil || len(list) < 10 || list[0].Breaks == "" {
		t.Errorf("%v in %s", err, out)
	}
}

// A running node is a child process and where it listens.
type running struct {
	*exec.Cmd
	Proxy, Admin, Status []string
	PID                  int
	file                 string
	log                  *bytes.Buffer
}

// startNode runs a node, whose database is away unless environ says otherwise, and waits for its
// address file.
func startNode(t *testing.T, environ ...string) *running {
	t.Helper()
	r := &running{file: filepath.Join(t.TempDir(), "addresses"), log: &bytes.Buffer{}}
	r.Cmd = gateway(t, environ, "--address-file", r.file)
	r.Stderr = r.log
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		data, err := os.ReadFile(r.file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err = errors.Join(err, json.Unmarshal(data, r)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	return nil
}

func (r *running) get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if secure := strings.HasPrefix(url, "https:"); secure != (answer.ProtoMajor == 2) {
		t.Errorf("%s answers by %s", url, answer.Proto)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// ended waits for the process and gives its exit code, or minus the signal that ended it.
func (r *running) ended(t *testing.T) int {
	t.Helper()
	err := r.Wait()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return -int(status.Signal())
	}
	return exit.ExitCode()
}

func TestANodeWaitsForItsDatabaseAndSaysSo(t *testing.T) {
	r := startNode(t)
	if len(r.Proxy) != 2 || len(r.Admin) != 1 || len(r.Status) != 1 || r.PID != r.Process.Pid {
		t.Errorf("addresses %+v", r)
	}
	if code, body := r.get(t, "http://"+r.Status[0]+"/status/ready"); code != 503 || !strings.Contains(body, "failed to connect to database") {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, body := r.get(t, "http://"+r.Admin[0]+"/status"); code != 200 || !strings.Contains(body, `"reachable":false`) {
		t.Errorf("status: %d %s", code, body)
	}
	for _, url := range []string{"http://" + r.Proxy[0], "https://" + r.Proxy[1]} {
		if code, body := r.get(t, url+"/x"); code != 503 || !strings.Contains(body, "no configuration loaded yet") {
			t.Errorf("%s: %d %s", url, code, body)
		}
	}
	out, err := gateway(t, nil, "health", "--address-file", r.file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not ready: failed to connect to database") {
		t.Errorf("health: %v %s", err, out)
	}
	if err := r.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if code, _ := r.get(t, "http://"+r.Admin[0]+"/status"); code != 200 {
		t.Errorf("after SIGHUP: %d", code)
	}
	began := time.Now()
	idle, err := net.Dial("tcp", r.Proxy[0]) // a connection without a request must not delay the end
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.ended(t); code != 0 || time.Since(began) > 4*time.Second {
		t.Errorf("ended with %d after %v", code, time.Since(began))
	}
	if _, err := os.Stat(r.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the address file after the stop: %v", err)
	}
	for _, want := range []string{"SIGHUP is not supported", "level=notice msg=\"node started\"", "level=notice msg=\"node stopped\""} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, r.log)
		}
	}
}

// Requests whose head is too large, or says two things, get the answers of Kong's web server.
func TestOddRequests(t *testing.T) {
	r := startNode(t)
	for _, rule := range []struct{ says, lines, status, message string }{
		{"a long URI", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: x", "414", "URI too long"},
		{"a long header", "GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + strings.Repeat("a", 9000), "400", "Request header or cookie too large"},
		{"many headers", "GET / HTTP/1.1\r\nHost: x" + strings.Repeat("\r\nX-Big: "+strings.Repeat("a", 990), 40), "400", "Request header or cookie too large"},
		{"a flood of headers", "GET / HTTP/1.1\r\nHost: x" + strings.Repeat("\r\nX-Big: "+strings.Repeat("a", 990), 900), "400", "Request header or cookie too large"},
		{"two lengths", "POST /services HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2", "400", "Bad Request"},
		{"no length", "POST /services HTTP/1.1\r\nHost: x\r\nContent-Length: abc", "400", "Bad Request"},
	} {
		for plane, address := range map[string]string{"proxy": r.Proxy[0], "admin": r.Admin[0]} {
			code, header, body := rawly(t, address, rule.lines+"\r\n\r\n")
			if code != rule.status || !strings.Contains(body, rule.message) || header.Get("Connection") != "close" {
				t.Errorf("%s of %s: %s %v %q, want %s %q", plane, rule.says, code, header, body, rule.status, rule.message)
			}
			if kong := header.Get("Server") != ""; kong && plane == "admin" && body != `{"message":"`+rule.message+`"}` {
				t.Errorf("admin of %s: %s is no error object", rule.says, body)
			}
		}
	}
	// Both stay usable for what is just not too large.
	fits := "GET /services?x=" + strings.Repeat("a", 8000) + " HTTP/1.1\r\nHost: x\r\nConnection: close" + strings.Repeat("\r\nX: "+strings.Repeat("a", 990), 30) + "\r\n\r\n"
	if code, _, body := rawly(t, r.Proxy[0], fits); code != "503" {
		t.Errorf("just not too large: %s %s", code, body)
	}
}

func TestASlowBodyIsAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Defaults()
	h := admin.New(admin.Options{Catalog: catalog(cfg, plugins(cfg, nil, nil))})
	s := newServer(door{Listener: l}, h, 100*time.Millisecond, nil, slog.New(slog.DiscardHandler))
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) })
	code, header, body := rawly(t, l.Addr().String(), "POST /services HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
	if code != "408" || body != `{"message":"Request timeout"}` || header.Get("Connection") != "close" {
		t.Errorf("%s %v %s", code, header, body)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	serving.Wait()
}

// rawly sends bytes as they are and reads the one answer; the connection ends with it.
func rawly(t *testing.T, address, request string) (code string, h http.Header, body string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Close {
		answer.Header.Set("Connection", "close")
	}
	return answer.Status[:3], answer.Header, string(text)
}

// slowRequest sends half a request to the Admin API, and returns once the node is reading it.
func slowRequest(t *testing.T, r *running) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", r.Admin[0])
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatal(line, err)
	}
	return c
}

func TestARequestInFlightEnds(t *testing.T) {
	r := startNode(t)
	c := slowRequest(t, r)
	defer c.Close()
	if err := r.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	for { // until the node takes no more
		other, err := net.Dial("tcp", r.Admin[0])
		if err != nil {
			break
		}
		other.Close()
	}
	fmt.Fprint(c, "nope")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), "400 Bad Request") {
		t.Errorf("in flight: %v %s", err, answer)
	}
	if code := r.ended(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	r := startNode(t)
	c := slowRequest(t, r)
	defer c.Close()
	began := time.Now()
	if err := r.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for {
		other, err := net.Dial("tcp", r.Admin[0])
		if err != nil {
			break
		}
		other.Close()
	}
	if err := r.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := r.ended(t); code != -int(syscall.SIGINT) || time.Since(began) > 4*time.Second {
		t.Errorf("ended with %d after %v", code, time.Since(began))
	}
}
