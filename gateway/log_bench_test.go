package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidemark/fixtures/postgres"
)

// clients is how many connections the benchmarks here use, each one request at a time.
const clients = 8

// BenchmarkDelivery sends 200 000 requests through a node with http-log at batch 200 and a healthy log
// server, and wants each of them delivered once and in the order of its connection.
func BenchmarkDelivery(b *testing.B) {
	const each = 200_000 / clients
	n := startProcess(b, database(b))
	log := newTally(b)
	hello := fixed(b)
	for b.Loop() {
		configure(b, n, hello, "/all", log.URL, `"max_batch_size":200,"max_coalescing_delay":0.1`)
		began := time.Now()
		drive(b, n, "/all", each, "")
		sent := time.Since(began)
		log.await(b, each*clients)
		b.ReportMetric(float64(each*clients)/sent.Seconds(), "requests/s")
		b.ReportMetric(float64(log.requests.Load()), "deliveries")
		b.ReportMetric(float64(log.astray.Load()), "astray")
	}
	if astray, entries := log.astray.Load(), log.entries.Load(); astray > 0 || entries != each*clients {
		b.Errorf("%d entries of %d came, %d of them not when it was their turn", entries, each*clients, astray)
	}
}

// BenchmarkProxyCPU is what http-log costs a node: processor time for each request without it, with it at
// batch 200, and at batch 1, in turns on one node. The promise is batch200-times-plain <= 1.6.
func BenchmarkProxyCPU(b *testing.B) {
	const each, rounds = 1000, 5 // requests a connection, turns
	n := startProcess(b, database(b))
	hello := fixed(b)
	batched, single := newTally(b), newTally(b)
	configure(b, n, hello, "/plain", "", "")
	configure(b, n, hello, "/batched", batched.URL, `"max_batch_size":200,"max_coalescing_delay":0.1,"max_entries":1000000`)
	configure(b, n, hello, "/single", single.URL, `"max_entries":1000000`)
	turn := func(path string, log *tally, round int) time.Duration {
		before := n.cpu(b)
		drive(b, n, path, each, "")
		if log != nil {
			log.await(b, (round+1)*each*clients)
		}
		return n.cpu(b) - before
	}
	for b.Loop() {
		var plain, with, alone time.Duration
		for round := range rounds + 1 {
			p, w, a := turn("/plain", nil, round), turn("/batched", batched, round), turn("/single", single, round)
			if round > 0 { // the first one warms up
				plain, with, alone = plain+p, with+w, alone+a
			}
		}
		per := func(d time.Duration) float64 { return float64(d.Microseconds()) / (each * clients * rounds) }
		b.ReportMetric(per(plain), "µs-plain")
		b.ReportMetric(per(with), "µs-batch200")
		b.ReportMetric(per(alone), "µs-batch1")
		b.ReportMetric(float64(with)/float64(plain), "batch200-times-plain")
		b.ReportMetric(float64(with)/float64(alone), "batch200-times-batch1")
		b.ReportMetric(float64(batched.requests.Load())/float64(single.requests.Load()), "deliveries-times-batch1")
	}
}

// BenchmarkDeadLogServer is the memory that a node takes while its log server is away: 20 000 requests
// with 20 kB of headers each at max_entries 1000. What waits is 1000 entries, some 20 MB.
func BenchmarkDeadLogServer(b *testing.B) {
	const each = 20_000 / clients
	n := startProcess(b, database(b))
	configure(b, n, fixed(b), "/dead", "http://127.0.0.1:1", `"max_entries":1000`)
	configure(b, n, fixed(b), "/plain", "", "")
	headers := ""
	for i := range 20 {
		headers += fmt.Sprintf("X-Pad-%d: %s\r\n", i, strings.Repeat("x", 1000))
	}
	for b.Loop() {
		drive(b, n, "/plain", each, headers)
		before := n.memory(b, "VmRSS")
		drive(b, n, "/dead", each, headers)
		b.ReportMetric(before, "MB-plain")
		b.ReportMetric(n.memory(b, "VmRSS"), "MB-dead")
		b.ReportMetric(n.memory(b, "VmHWM"), "MB-peak")
	}
}

// startProcess runs a node as a process of its own until the benchmark ends, so that what it takes
// can be told from what its clients take.
func startProcess(b *testing.B, db postgres.Addr) *running {
	b.Helper()
	environ := append(os.Environ(), "TIDEMARK_TEST_GATEWAY=1", "KONG_PG_HOST="+db.Host, "KONG_PG_PORT="+strconv.Itoa(db.Port),
		"KONG_PG_USER="+db.User, "KONG_PG_DATABASE="+db.Database, "KONG_PROXY_LISTEN=127.0.0.1:0", "KONG_ADMIN_LISTEN=127.0.0.1:0",
		"KONG_STATUS_LISTEN=127.0.0.1:0", "KONG_LOG_LEVEL=crit", "KONG_QUEUE_FLUSH_TIMEOUT=1")
	r := &running{file: filepath.Join(b.TempDir(), "addresses")}
	migrate := exec.Command(os.Args[0], "migrate")
	migrate.Env = environ
	if out, err := migrate.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	r.Cmd = exec.Command(os.Args[0], "--address-file", r.file)
	r.Env = environ
	if err := r.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(r.Process.Signal(syscall.SIGTERM), r.Wait()); err != nil {
			b.Error(err)
		}
	})
	eventually(b, func() error {
		text, err := os.ReadFile(r.file)
		if err = errors.Join(err, json.Unmarshal(text, r)); err != nil {
			return err
		}
		answer, err := http.Get("http://" + r.Status[0] + "/status/ready")
		if err == nil && answer.StatusCode != http.StatusOK {
			err = errors.New(answer.Status)
		}
		return err
	})
	return r
}

// cpu is the processor time that the node's threads have taken so far.
func (r *running) cpu(b *testing.B) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", r.PID))
	if err != nil || len(threads) == 0 {
		b.Skip("the system does not tell what a process takes")
	}
	var total time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has just ended
		}
		nanoseconds, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(nanoseconds, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(n)
	}
	return total
}

// memory is a line of the node's status, in MB.
func (r *running) memory(b *testing.B, name string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.PID))
	if err != nil {
		b.Skip("the system does not tell what a process takes: ", err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1000
}

// fixed is a service that costs next to nothing.
func fixed(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	b.Cleanup(s.Close)
	return s.URL
}

// configure adds a route of its own, with an http-log on it where there is a log server.
func configure(b *testing.B, n *running, upstream, path, log, queue string) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	name := strings.Trim(path, "/")
	calls := [][2]string{
		{"/services", fmt.Sprintf(`{"name":%q,"url":%q}`, name, upstream)},
		{"/services/" + name + "/routes", fmt.Sprintf(`{"name":%q,"paths":[%q]}`, name, path)},
	}
	if log != "" {
		calls = append(calls, [2]string{"/routes/" + name + "/plugins", fmt.Sprintf(`{"name":"http-log","config":{"http_endpoint":"%s%s","queue":{%s}}}`, log, path, queue)})
	}
	for _, call := range calls {
		if err := post(client, "http://"+n.Admin[0]+call[0], call[1]); err != nil {
			b.Fatal(err)
		}
	}
}

// drive sends each requests on every connection and reads the answers.
func drive(b *testing.B, n *running, path string, each int, headers string) {
	b.Helper()
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			conn, err := net.Dial("tcp", n.Proxy[0])
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			from := bufio.NewReader(conn)
			for i := range each {
				fmt.Fprintf(conn, "GET %s?c=%d&n=%d HTTP/1.1\r\nHost: h\r\n%s\r\n", path, c, i, headers)
				answer, err := http.ReadResponse(from, nil)
				if err == nil {
					_, err = io.Copy(io.Discard, answer.Body)
				}
				if err != nil || answer.StatusCode != http.StatusOK {
					b.Error(answer, err)
					return
				}
			}
		})
	}
	running.Wait()
}

// A tally is a log server that counts. Its entries are those of drive: it knows which one of each
// connection comes next.
type tally struct {
	*httptest.Server
	requests, entries, astray atomic.Int64

	mu   sync.Mutex
	next [clients]int
}

func newTally(b *testing.B) *tally {
	t := &tally{}
	t.Server = httptest.NewServer(t)
	b.Cleanup(t.Close)
	return t
}

func (t *tally) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	t.requests.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		_, after, found := bytes.Cut(body, []byte(`"uri":"`))
		if !found {
			return
		}
		uri, rest, _ := bytes.Cut(after, []byte(`"`))
		body = rest
		var client, number int
		_, query, _ := strings.Cut(string(uri), "?")
		if _, err := fmt.Sscanf(query, "c=%d&n=%d", &client, &number); err != nil || number != 0 && number != t.next[client] {
			t.astray.Add(1)
		}
		t.next[client] = number + 1
		t.entries.Add(1)
	}
}

// await waits until so many entries have come.
func (t *tally) await(b *testing.B, want int) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); t.entries.Load() < int64(want); <-tick.C {
		if time.Now().After(deadline) {
			b.Fatalf("%d entries of %d have come", t.entries.Load(), want)
		}
	}
}
