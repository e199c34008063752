package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/fixtures/postgres"
)

// A sink is a log server: it keeps the entries that it gets, in order, and how many came at once.
type sink struct {
	*httptest.Server
	mu       sync.Mutex
	uris     []string
	requests int
	hold     chan struct{} // nil: answers at once
}

func newSink(tb testing.TB) *sink {
	s := &sink{}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	type entry struct{ Request struct{ URI string } }
	list := make([]entry, 1)
	if body[0] == '[' {
		err = json.Unmarshal(body, &list)
	} else {
		err = json.Unmarshal(body, &list[0])
	}
	s.mu.Lock()
	s.requests++
	for _, e := range list {
		s.uris = append(s.uris, e.Request.URI)
	}
	if err != nil {
		s.uris = append(s.uris, err.Error())
	}
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
}

func (s *sink) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.uris...)
}

// logging gives a node a service behind "/x" and an http-log for everything, with these fields.
func logging(tb testing.TB, n *served, upstream, fields string) {
	tb.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, call := range [][2]string{
		{"/services", fmt.Sprintf(`{"name":"s","url":%q}`, upstream)},
		{"/services/s/routes", `{"name":"r","paths":["/x"]}`},
		{"/plugins", fmt.Sprintf(`{"name":"http-log","config":{%s}}`, fields)},
	} {
		if call[0] == "/plugins" && fields == "" {
			continue
		}
		if err := post(client, n.admin()+call[0], call[1]); err != nil {
			tb.Fatal(err)
		}
	}
}

// ask sends requests over one connection, one after the other.
func ask(tb testing.TB, url string, n int) {
	tb.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := range n {
		answer, err := client.Get(fmt.Sprintf("%s/x?n=%d", url, i+1))
		if err != nil {
			tb.Error(err)
			return
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
			tb.Error(answer.Status, err)
			return
		}
	}
}

func numbered(n int) string {
	uris := make([]string, n)
	for i := range uris {
		uris[i] = fmt.Sprintf("/x?n=%d", i+1)
	}
	return strings.Join(uris, " ")
}

func echo(tb testing.TB) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	tb.Cleanup(s.Close)
	return s.URL
}

func TestLogging(t *testing.T) {
	fresh := databases(t)
	for says, test := range map[string]func(*testing.T, postgres.Addr){
		"each request is one entry":             eachRequestIsOneEntry,
		"a stop flushes":                        aStopFlushes,
		"what cannot be flushed is counted":     whatCannotBeFlushedIsCounted,
		"each worker has queues of its own":     eachWorkerHasQueuesOfItsOwn,
		"a stop waits for the requests it logs": aStopWaitsForRequests,
	} {
		t.Run(says, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func eachRequestIsOneEntry(t *testing.T, db postgres.Addr) {
	n := serve(t, db)
	log := newSink(t)
	logging(t, n, echo(t), fmt.Sprintf(`"http_endpoint":"%s/log"`, log.URL))
	ask(t, n.proxy(), 5)
	eventually(t, func() error {
		if got := strings.Join(log.got(), " "); got != numbered(5) {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	eventually(t, func() error {
		if jobs := timers(t, n); len(jobs) > 0 {
			return fmt.Errorf("jobs of empty queues: %q", jobs)
		}
		return nil
	})
}

func aStopFlushes(t *testing.T, db postgres.Addr) {
	n := serve(t, db)
	log := newSink(t)
	logging(t, n, echo(t), fmt.Sprintf(`"http_endpoint":"%s/log","queue":{"max_batch_size":100,"max_coalescing_delay":600}`, log.URL))
	ask(t, n.proxy(), 5)
	if jobs := timers(t, n); len(jobs) != 1 || !strings.HasSuffix(jobs[0], "/log:POST:application/json:10000:60000:nil") {
		t.Errorf("timers while a queue holds entries: %q", jobs)
	}
	n.stop()
	if got := strings.Join(log.got(), " "); got != numbered(5) || log.requests != 1 {
		t.Errorf("%d requests with %s", log.requests, got)
	}
}

func aStopWaitsForRequests(t *testing.T, db postgres.Addr) {
	n := serve(t, db)
	log := newSink(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-answer
	}))
	defer slow.Close()
	logging(t, n, slow.URL, fmt.Sprintf(`"http_endpoint":"%s/log"`, log.URL))
	var client, stopping sync.WaitGroup
	client.Go(func() { ask(t, n.proxy(), 1) })
	<-asked
	stopping.Go(n.stop)
	eventually(t, func() error { // until the node takes no more
		c, err := net.Dial("tcp", n.Proxy[0])
		if err == nil {
			err = errors.Join(errors.New("it does"), c.Close())
			return err
		}
		return nil
	})
	close(answer)
	client.Wait()
	stopping.Wait()
	if got := strings.Join(log.got(), " "); got != numbered(1) {
		t.Errorf("got %s", got)
	}
}

func whatCannotBeFlushedIsCounted(t *testing.T, db postgres.Addr) {
	n := serve(t, db, "KONG_QUEUE_FLUSH_TIMEOUT=0.2")
	logging(t, n, echo(t), `"http_endpoint":"http://127.0.0.1:1/log"`)
	ask(t, n.proxy(), 5)
	began := time.Now()
	n.stop()
	if took := time.Since(began); took > drainTimeout {
		t.Errorf("the stop took %v", took)
	}
	if !strings.Contains(n.log.String(), `entries are lost" entries=5`) {
		t.Errorf("not counted in:\n%s", n.log)
	}
}

func eachWorkerHasQueuesOfItsOwn(t *testing.T, db postgres.Addr) {
	n := serve(t, db, "KONG_NGINX_WORKER_PROCESSES=3", "KONG_QUEUE_FLUSH_TIMEOUT=0.1")
	log := newSink(t)
	log.hold = make(chan struct{})
	defer close(log.hold)
	logging(t, n, echo(t), fmt.Sprintf(`"http_endpoint":"%s/log"`, log.URL))
	if len(n.Proxy) != 1 {
		t.Errorf("proxy listens on %q, want one address for all workers", n.Proxy)
	}
	var clients sync.WaitGroup
	for range 24 { // connections; the system spreads them
		clients.Go(func() { ask(t, n.proxy(), 2) })
	}
	clients.Wait()
	eventually(t, func() error {
		log.mu.Lock()
		defer log.mu.Unlock()
		if jobs := timers(t, n); len(jobs) != 3 || log.requests != 3 {
			return fmt.Errorf("%d deliveries at once, want one a worker; jobs %q", log.requests, jobs)
		}
		return nil
	})
}

// timers lists the jobs of GET /timers.
func timers(tb testing.TB, n *served) []string {
	tb.Helper()
	answer, err := http.Get(n.admin() + "/timers")
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	var said struct {
		Worker struct{ Count int }
		Stats  struct{ Timers map[string]any }
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil || said.Worker.Count == 0 {
		tb.Fatal(err, said)
	}
	var jobs []string
	for name := range said.Stats.Timers {
		jobs = append(jobs, name)
	}
	return jobs
}
