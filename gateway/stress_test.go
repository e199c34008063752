package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidemark/fixtures/postgres"
)

// stressFor is how long the writers write while the faults strike.
const stressFor = 8 * time.Second

// A subject is something that a client of the proxy can ask for, and what it has to be answered. Only
// one writer changes it.
type subject struct {
	path, key string
	want      int
	doubted   int // what it is answered if a change without an acknowledgement happened; 0: none was
}

// A step is one change of a subject's life, and what the proxy answers after it.
type step struct {
	method, path, body string
	want               int
}

// lives are those that a subject with this name may lead: each step is sent once the one before is
// acknowledged.
func lives(name string) []struct {
	subject
	steps []step
} {
	route := fmt.Sprintf(`{"name":%q,"paths":["/%s"]}`, name, name)
	return []struct {
		subject
		steps []step
	}{
		{subject{path: "/" + name, want: 404}, []step{
			{"POST", "/routes", route, 503},
			{"PATCH", "/routes/" + name, `{"paths":["/elsewhere"]}`, 404},
			{"PATCH", "/routes/" + name, route, 503},
			{"DELETE", "/routes/" + name, "", 404},
		}},
		{subject{path: "/keyed", key: name, want: 401}, []step{
			{"PUT", "/consumers/" + name, `{}`, 401},
			{"POST", "/consumers/" + name + "/key-auth", fmt.Sprintf(`{"key":%q}`, name), 503},
			{"PATCH", "/consumers/" + name + "/key-auth/" + name, fmt.Sprintf(`{"key":"%s-2"}`, name), 401},
			{"PATCH", "/consumers/" + name + "/key-auth/" + name + "-2", fmt.Sprintf(`{"key":%q}`, name), 503},
			{"DELETE", "/consumers/" + name, "", 401},
		}},
		{subject{path: "/" + name, want: 404}, []step{
			{"PUT", "/routes/" + name, route, 503},
			{"POST", "/routes/" + name + "/plugins", fmt.Sprintf(`{"name":"request-termination","instance_name":%q,"config":{"status_code":418}}`, name), 418},
			{"PATCH", "/plugins/" + name, `{"config":{"status_code":419}}`, 419},
			{"DELETE", "/plugins/" + name, "", 503},
		}},
	}
}

// A stress is three nodes over a primary and a replica, with writers and faults.
type stress struct {
	*testing.T
	pair  *postgres.Pair
	acked atomic.Int64

	mu       sync.Mutex
	nodes    []*running
	subjects []*subject
}

// node is one of them as it runs now.
func (s *stress) node(i int) *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[i]
}

// start runs node i anew: the first reads the primary only.
func (s *stress) start(i int) {
	environ := append(at("PG", s.pair.Primary()), "KONG_DB_UPDATE_FREQUENCY=0.1")
	if i > 0 {
		environ = append(environ, at("PG_RO", s.pair.Replica())...)
	}
	n := startNode(s.T, environ...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[i] = n
}

func (s *stress) probe(i int, of *subject) int {
	var header []string
	if of.key != "" {
		header = []string{"apikey", of.key}
	}
	code, _ := call(s.T, http.MethodGet, "http://"+s.node(i).Proxy[0]+of.path, "", header...)
	return code
}

// write leads lives until the time is up, each step through any node, with requests in between that
// make nodes know what is there and what is not.
func (s *stress) write(writer int, chance *rand.Rand, until time.Time) {
	for n := 0; time.Now().Before(until); n++ {
		choice := lives(fmt.Sprintf("w%d-%d.", writer, n)) // the dot: a path is a prefix of others
		life := choice[chance.IntN(len(choice))]
		of := &life.subject
		s.mu.Lock()
		s.subjects = append(s.subjects, of)
		s.mu.Unlock()
		look := func() {
			s.probe(chance.IntN(3), of)
			s.probe(chance.IntN(3), of)
		}
		look()
		for _, next := range life.steps[:1+chance.IntN(len(life.steps))] {
			code, text := call(s.T, next.method, "http://"+s.node(chance.IntN(3)).Admin[0]+next.path, next.body)
			if code/100 != 2 {
				if of.doubted = next.want; code/100 == 4 {
					s.Errorf("%s %s: %d %s", next.method, next.path, code, text)
				}
				break
			}
			of.want = next.want
			s.acked.Add(1)
			look()
		}
	}
}

// strike does one thing to the cluster, and takes it back.
func (s *stress) strike(fault, node int) {
	sql := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemark'"
	switch fault {
	case 0: // a node dies
		old := s.node(node)
		if err := old.Process.Signal(syscall.SIGKILL); err != nil {
			s.Error(err)
		}
		old.ended(s.T)
		s.start(node)
		return
	case 1: // the replica lags
		if err := s.pair.PauseReplay(s.Context()); err != nil {
			s.Error(err)
		}
		<-time.After(400 * time.Millisecond)
		if err := s.pair.ResumeReplay(s.Context()); err != nil {
			s.Error(err)
		}
		return
	case 2: // writers wait
		sql = "DO $$ BEGIN LOCK TABLE cluster_events IN EXCLUSIVE MODE; PERFORM pg_sleep(0.4); END $$"
	}
	if _, err := s.pair.Exec(s.Context(), sql); err != nil {
		s.Error(err)
	}
}

// agree is an error until every node answers every subject as it was acknowledged, or, where a change
// had no answer, all of them in the same one of the two ways.
func (s *stress) agree() error {
	for _, of := range s.subjects {
		first := s.probe(0, of)
		for i := range s.nodes {
			if got := s.probe(i, of); got != first || got != of.want && (of.doubted == 0 || got != of.doubted) {
				return fmt.Errorf("%s %s on node %d: %d, on the first %d; want %d, or %d in doubt", of.path, of.key, i, got, first, of.want, of.doubted)
			}
		}
	}
	return nil
}

// Whatever befalls nodes and connections while clients write: every change that was acknowledged is
// what every node serves once it is quiet, and stays so until somebody changes it again.
func TestEveryAcknowledgedChangeArrives(t *testing.T) {
	pair, err := template(t).Clone(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := gateway(t, at("PG", pair.Primary()), "migrate").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	s := &stress{T: t, pair: pair, nodes: make([]*running, 3)}
	for i := range s.nodes {
		s.start(i)
		eventually(t, func() error { return wants(t, 200, "http://"+s.node(i).Status[0]+"/status/ready") })
	}
	must(t, "POST", "http://"+s.node(0).Admin[0]+"/routes", `{"name":"keyed","paths":["/keyed"]}`)
	must(t, "POST", "http://"+s.node(0).Admin[0]+"/routes/keyed/plugins", `{"name":"key-auth"}`)
	until := time.Now().Add(stressFor)
	var writers sync.WaitGroup
	for w := range 4 {
		own := rand.New(rand.NewPCG(seed, uint64(w)+1))
		writers.Go(func() { s.write(w, own, until) })
	}
	for fault := 0; time.Now().Before(until); fault++ {
		<-time.After(time.Duration(chance.IntN(400)) * time.Millisecond)
		s.strike(fault%4, chance.IntN(3))
	}
	writers.Wait()
	for i := range s.nodes {
		eventually(t, func() error { return wants(t, 200, "http://"+s.node(i).Status[0]+"/status/ready") })
	}
	eventually(t, s.agree)
	t.Logf("%d subjects, %d changes acknowledged", len(s.subjects), s.acked.Load())
	if s.acked.Load() < 20 {
		t.Error("too few for a verdict")
	}
}
