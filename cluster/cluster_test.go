package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tidemark/cluster"
	"tidemark/fixtures/postgres"
	"tidemark/history"
	"tidemark/target"
	"tidemark/toxics"
)

var program string // built once, by TestMain

// shared is the driver of tests that need none of their own, opened by the first.
var shared = sync.OnceValues(func() (*cluster.Driver, error) {
	began := time.Now()
	d, err := cluster.Open(context.Background(), cluster.Options{Target: fake(), Program: program, Cells: 4})
	fmt.Printf("driver open in %v\n", time.Since(began))
	return d, err
})

func TestMain(m *testing.M) {
	if os.Getenv("BE_THE_RUN") != "" {
		beTheRun()
	}
	os.Exit(test(m))
}

func test(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fakenode")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "fakenode")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/fakenode").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	status := m.Run()
	if d, err := shared(); err == nil {
		if err := d.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

func fake() *target.Target {
	return &target.Target{
		Name: "fake",
		Start: target.Start{
			Program: "fakenode", Prepare: []string{"migrate"}, AddressFile: []string{"--address-file", "{file}"},
			ConfigFile: []string{"-c", "{file}"}, Defect: []string{"--defect", "{name}"},
			Env: map[string]string{
				"pg_host": "FAKE_PG_HOST", "pg_port": "FAKE_PG_PORT", "pg_user": "FAKE_PG_USER", "pg_database": "FAKE_PG_DATABASE",
				"pg_ro_host": "FAKE_PG_RO_HOST", "pg_ro_port": "FAKE_PG_RO_PORT", "color": "FAKE_COLOR", "broken": "FAKE_BROKEN",
				"proxy_listen": "FAKE_PROXY_LISTEN",
			},
			Ready: target.Ready{Path: "/status/ready", Status: 200, Timeout: 5000},
			Stop:  target.Stop{Signal: "SIGTERM", Timeout: 3000},
		},
		Settings: map[string]target.Setting{
			"color": {Unit: "text", Default: "none", Suite: "grey"}, "broken": {Unit: "text"}, "shape": {Unit: "text", Fixed: "round"},
		},
		SQL: map[string]string{
			"insert_event":  "INSERT INTO cluster_events VALUES ({id}::int, {data})",
			"delete_events": "DELETE FROM cluster_events",
			"lose_events":   "SET LOCAL session_replication_role = replica; DELETE FROM cluster_events",
			"deletions":     "SELECT * FROM deletions",
			"events":        "SELECT * FROM cluster_events",
			"break":         "ALTER TABLE cluster_events DISABLE TRIGGER ALL",
		},
		PollPattern: "/* poll */",
	}
}

func openDriver(t *testing.T, o cluster.Options) *cluster.Driver {
	t.Helper()
	if o.Target == nil {
		o.Target = fake()
	}
	o.Program = program
	began := time.Now()
	d, err := cluster.Open(t.Context(), o)
	if errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("driver open in %v", time.Since(began))
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func takeCell(t *testing.T, d *cluster.Driver) *cluster.Cell {
	t.Helper()
	began := time.Now()
	c, err := d.Cell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cell %d in %v", c.Number(), time.Since(began))
	return c
}

func release(t *testing.T, c *cluster.Cell) {
	t.Helper()
	began := time.Now()
	if err := c.Release(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	t.Logf("cell released in %v", time.Since(began))
}

func startIn(t *testing.T, c *cluster.Cell, s cluster.Spec) *cluster.Cluster {
	t.Helper()
	began := time.Now()
	cl, err := c.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes in %v", s.Nodes, time.Since(began))
	return cl
}

// start starts a cluster in a cell of the shared driver.
func start(t *testing.T, s cluster.Spec) *cluster.Cluster {
	t.Helper()
	c := takeCell(t, sharedDriver(t))
	t.Cleanup(func() { release(t, c) })
	return startIn(t, c, s)
}

func sharedDriver(t *testing.T) *cluster.Driver {
	t.Helper()
	d, err := shared()
	if errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
	must(t, err)
	return d
}

type answer struct {
	Listener string
	PID      int
	Args     []string
	Env      []string
}

func get(t *testing.T, url string) (answer, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 300 * time.Millisecond}
	got, err := client.Get(url)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	var a answer
	return a, json.NewDecoder(got.Body).Decode(&a)
}

func mustGet(t *testing.T, url string) answer {
	t.Helper()
	a, err := get(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sql(t *testing.T, c *cluster.Cluster, template string, params map[string]string) int64 {
	t.Helper()
	n, err := c.SQL(t.Context(), template, params)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually fails the test when the condition does not come true within two seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Second); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 2 s", what)
		}
	}
}

func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func witnessed(t *testing.T, f history.Fault) {
	t.Helper()
	if !f.Witnessed {
		t.Errorf("%s: no witness: %s", f.Name, f.Evidence)
	} else {
		t.Logf("%s on %s of node %d: %s", f.Name, f.Wire, f.Node, f.Evidence)
	}
}

func TestNodesGetTheirSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.conf")
	must(t, os.WriteFile(file, []byte("# comment\ncolor = from-file\n"), 0o644))
	for _, rule := range []struct {
		name string
		spec cluster.Spec
		want string // FAKE_COLOR of node 2
	}{
		{"the suite's default", cluster.Spec{}, "FAKE_COLOR=grey"},
		{"the scenario's", cluster.Spec{Settings: map[string]string{"color": "red"}}, "FAKE_COLOR=red"},
		{"the node's own", cluster.Spec{Settings: map[string]string{"color": "red"}, PerNode: map[int]map[string]string{2: {"color": "blue"}}}, "FAKE_COLOR=blue"},
		{"another node's", cluster.Spec{PerNode: map[int]map[string]string{1: {"color": "blue"}}}, "FAKE_COLOR=grey"},
		{"a file's, not repeated", cluster.Spec{ConfigFile: file}, ""},
		{"stated over a file's", cluster.Spec{ConfigFile: file, Settings: map[string]string{"color": "red"}}, "FAKE_COLOR=red"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			rule.spec.Nodes = 2
			c := start(t, rule.spec)
			a := mustGet(t, c.Node(2).ProxyURL())
			got := ""
			for _, v := range a.Env {
				if strings.HasPrefix(v, "FAKE_COLOR=") {
					got = v
				}
			}
			if got != rule.want || a.Listener != "proxy" {
				t.Errorf("listener %s with %q, want proxy with %q", a.Listener, got, rule.want)
			}
			if rule.spec.ConfigFile != "" && !slices.Contains(a.Args, file) {
				t.Errorf("arguments %q lack the file", a.Args)
			}
		})
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	d := sharedDriver(t)
	for _, rule := range []struct {
		name     string
		settings map[string]string
		want     func(error) bool
	}{
		{"a node that ends", map[string]string{"broken": "yes"}, func(err error) bool {
			var setup *cluster.SetupError
			return errors.As(err, &setup) && strings.Contains(err.Error(), "broken, as asked for")
		}},
		{"a setting that the product fixes", map[string]string{"shape": "square"}, func(err error) bool {
			var unsupported *cluster.UnsupportedError
			return errors.As(err, &unsupported)
		}},
		{"a setting that nobody knows", map[string]string{"size": "1"}, func(err error) bool {
			var setup *cluster.SetupError
			return errors.As(err, &setup)
		}},
	} {
		t.Run(rule.name, func(t *testing.T) {
			c := takeCell(t, d)
			defer release(t, c)
			if _, err := c.Start(t.Context(), cluster.Spec{Nodes: 2, Settings: rule.settings}); !rule.want(err) {
				t.Errorf("start: %v", err)
			}
		})
	}
	if _, err := cluster.Open(t.Context(), cluster.Options{Target: fake(), Program: "/nowhere/gateway"}); err == nil {
		t.Error("opened without a program")
	}
}

func TestPollsAreSeenAndFaultsWitnessed(t *testing.T) {
	for _, replica := range []bool{false, true} {
		for _, f := range []toxics.Fault{toxics.CutFromDatabase, toxics.DeafToDatabase, toxics.HeldFromDatabase} {
			t.Run(fmt.Sprintf("%s, replica %v", f.Name, replica), func(t *testing.T) {
				c := start(t, cluster.Spec{Nodes: 2, Replica: replica})
				n := c.Node(2)
				eventually(t, "polls", func() bool { return len(n.Polls()) > 2 && len(c.Node(1).Polls()) > 2 })
				i, err := n.Inflict(t.Context(), f)
				must(t, err)
				if _, err := n.Inflict(t.Context(), f); err == nil {
					t.Error("a second fault at once was taken")
				}
				from := time.Now()
				pass(t, 300*time.Millisecond)
				if yes, why := i.Witnessed(); !yes {
					t.Errorf("not witnessed before healing: %s", why)
				}
				to := time.Now()
				must(t, n.Heal(t.Context()))
				healed := time.Now()
				eventually(t, "polls again", func() bool { polls := n.Polls(); return polls[len(polls)-1].After(healed) })
				for _, at := range n.Polls() {
					if at.After(from) && at.Before(to) {
						t.Errorf("a poll %v into the fault", at.Sub(from))
					}
				}
				witnessed(t, i.Fault())
			})
		}
	}
}

func TestReplicaLags(t *testing.T) {
	c := start(t, cluster.Spec{Nodes: 1, Replica: true})
	const lag = 300 * time.Millisecond
	i, err := c.Inflict(t.Context(), toxics.LaggingReplica(lag))
	must(t, err)
	began := time.Now()
	sql(t, c, "insert_event", map[string]string{"id": "1", "data": "x"})
	must(t, c.ReplicaCaughtUp(t.Context()))
	if took := time.Since(began); !toxics.Within(took, lag) {
		t.Errorf("caught up after %v, want %v", took, lag)
	}
	must(t, c.Heal(t.Context()))
	witnessed(t, i.Fault())
	began = time.Now()
	sql(t, c, "insert_event", map[string]string{"id": "1", "data": "x"})
	must(t, c.ReplicaCaughtUp(t.Context()))
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("caught up after %v without a lag", took)
	}
}

func TestReplicaFreezes(t *testing.T) {
	c := start(t, cluster.Spec{Nodes: 1, Replica: true})
	i, err := c.Inflict(t.Context(), toxics.FrozenReplica)
	must(t, err)
	sql(t, c, "insert_event", map[string]string{"id": "1", "data": "x"})
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.ReplicaCaughtUp(short); err == nil {
		t.Error("a frozen replica caught up")
	}
	must(t, c.Heal(t.Context()))
	must(t, c.ReplicaCaughtUp(t.Context()))
	witnessed(t, i.Fault())
}

// The wire to the log server is there from the first moment on; what lies beyond it stays at its address.
func TestTheLogServerIsCutOffAndHeld(t *testing.T) {
	c := start(t, cluster.Spec{Nodes: 1})
	wire := "http://" + c.LogServerAddr()
	post := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, wire, strings.NewReader("entry"))
		must(t, err)
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err
	}
	must(t, post(2*time.Second))
	for _, f := range []toxics.Fault{toxics.CutFromLogServer, toxics.HeldFromLogServer} {
		i, err := c.Inflict(t.Context(), f)
		must(t, err)
		if err := post(200 * time.Millisecond); err == nil {
			t.Errorf("%s: it was reached", f.Name)
		}
		must(t, c.Heal(t.Context()))
		must(t, post(2*time.Second))
		witnessed(t, i.Fault())
	}
	if n := c.LogServer().Count(); n < 3 {
		t.Errorf("%d requests arrived, want the three that were not disturbed", n)
	}
	if conn, err := net.Dial("tcp", c.NobodyAddr()); err == nil {
		_ = conn.Close()
		t.Error("somebody listens where nobody should")
	}
}

func TestProcessesComeAndGo(t *testing.T) {
	c := start(t, cluster.Spec{Nodes: 2})
	n := c.Node(1)
	url := n.ProxyURL()
	first := mustGet(t, url).PID

	must(t, n.Freeze(t.Context()))
	if _, err := get(t, url); err == nil || !n.Running() {
		t.Errorf("a frozen node answered (%v) or is not there", err)
	}
	must(t, n.Thaw(t.Context()))
	if again := mustGet(t, url).PID; again != first {
		t.Errorf("process %d went on as %d", first, again)
	}
	must(t, n.Kill(t.Context()))
	if _, err := get(t, url); err == nil || n.Running() {
		t.Errorf("a killed node answered (%v) or runs", err)
	}
	must(t, n.Restart(t.Context()))
	second := mustGet(t, url).PID
	if second == first {
		t.Errorf("process %d was not replaced", first)
	}
	must(t, n.Terminate(t.Context()))
	must(t, n.Restart(t.Context()))
	must(t, n.Restart(t.Context()))
	if third := mustGet(t, url).PID; third == second {
		t.Errorf("process %d was not replaced", second)
	}
	var told []string
	for _, f := range c.Faults() {
		witnessed(t, f)
		told = append(told, f.Name)
	}
	if want := []string{"frozen", "killed", "stopped", "stopped"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
	if mustGet(t, c.Node(2).ProxyURL()).PID == 0 {
		t.Error("the other node took part")
	}
}

func TestWhatHappensToADisturbedNodeThatDies(t *testing.T) {
	for _, f := range []toxics.Fault{toxics.CutFromDatabase, toxics.DeafToDatabase, toxics.HeldFromDatabase, toxics.SlowDatabase(400 * time.Millisecond)} {
		t.Run(f.Name, func(t *testing.T) {
			c := start(t, cluster.Spec{Nodes: 1})
			n := c.Node(1)
			eventually(t, "polls", func() bool { return len(n.Polls()) > 1 })
			_, err := n.Inflict(t.Context(), f)
			must(t, err)
			pass(t, 100*time.Millisecond)
			must(t, n.Kill(t.Context()))
			began := time.Now()
			must(t, n.Heal(t.Context()))
			must(t, n.Restart(t.Context()))
			if took := time.Since(began); took > time.Second {
				t.Errorf("healed and restarted in %v", took)
			}
			now := time.Now()
			eventually(t, "polls again", func() bool { polls := n.Polls(); return polls[len(polls)-1].After(now) })
		})
	}
}

func TestEventsAreLostWithoutATrace(t *testing.T) {
	c := start(t, cluster.Spec{Nodes: 1})
	one := map[string]string{"id": "1", "data": "it's"}
	sql(t, c, "insert_event", one)
	if n := sql(t, c, "delete_events", nil); n != 1 {
		t.Errorf("deleted %d events, want 1", n)
	}
	if n := sql(t, c, "deletions", nil); n != 1 {
		t.Errorf("%d deletions recorded, want 1", n)
	}
	sql(t, c, "insert_event", one)
	if n := sql(t, c, "lose_events", nil); n != 1 {
		t.Errorf("lost %d events, want 1", n)
	}
	if n := sql(t, c, "deletions", nil); n != 1 {
		t.Errorf("%d deletions recorded, want still 1", n)
	}
	if _, err := c.SQL(t.Context(), "no such", nil); err == nil {
		t.Error("ran a template that is not there")
	}
}

func TestACellIsCleanForTheNext(t *testing.T) {
	d := openDriver(t, cluster.Options{Cells: 1})
	for round, f := range []toxics.Fault{toxics.FrozenReplica, toxics.LaggingReplica(500 * time.Millisecond), toxics.HeldFromDatabase, toxics.CutFromDatabase, {Name: "a trigger that is off"}} {
		t.Run(f.Name, func(t *testing.T) {
			cell := takeCell(t, d)
			defer release(t, cell)
			c := startIn(t, cell, cluster.Spec{Nodes: 2, Replica: true})
			if n := sql(t, c, "events", nil); n != 0 {
				t.Errorf("round %d found %d events", round, n)
			}
			sql(t, c, "insert_event", map[string]string{"id": "1", "data": "x"})
			var err error
			switch f.Wire {
			case toxics.WAL:
				_, err = c.Inflict(t.Context(), f)
			case toxics.Database:
				_, err = c.Node(1).Inflict(t.Context(), f)
			default:
				sql(t, c, "break", nil)
			}
			must(t, err)
			sql(t, c, "insert_event", map[string]string{"id": "2", "data": "y"})
			must(t, c.Node(2).Kill(t.Context()))
		})
	}
	cell := takeCell(t, d)
	defer release(t, cell)
	c := startIn(t, cell, cluster.Spec{Nodes: 1})
	if sql(t, c, "insert_event", map[string]string{"id": "1", "data": "x"}); sql(t, c, "delete_events", nil) != 1 || sql(t, c, "deletions", nil) != 1 {
		t.Error("the trigger is off, or old events are there")
	}
}

func TestCellsAreWaitedFor(t *testing.T) {
	d := openDriver(t, cluster.Options{Cells: 2})
	a, b := takeCell(t, d), takeCell(t, d)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Cell(short); err == nil {
		t.Fatal("a third of two cells")
	}
	release(t, a)
	c := takeCell(t, d)
	if c.Number() != a.Number() {
		t.Errorf("cell %d, want the free one, %d", c.Number(), a.Number())
	}
	release(t, b)
	release(t, c)
}

func TestManyClustersAtOnce(t *testing.T) {
	d := openDriver(t, cluster.Options{Cells: 8})
	began := time.Now()
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			c, err := d.Cell(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			cl, err := c.Start(t.Context(), cluster.Spec{Nodes: 2, Replica: true})
			if err != nil {
				t.Error(err)
			} else if n, err := cl.SQL(t.Context(), "events", nil); err != nil || n != 0 {
				t.Errorf("found %d events (%v)", n, err)
			} else if _, err := cl.SQL(t.Context(), "insert_event", map[string]string{"id": "1", "data": "x"}); err != nil {
				t.Error(err)
			}
			if err := c.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	t.Logf("16 clusters on 8 cells in %v", time.Since(began))
}

// beTheRun starts a cluster, says which processes it has, and waits to be killed.
func beTheRun() {
	program = os.Getenv("BE_THE_RUN")
	d, err := cluster.Open(context.Background(), cluster.Options{Target: fake(), Program: program})
	if err != nil {
		panic(err)
	}
	c, err := d.Cell(context.Background())
	if err != nil {
		panic(err)
	}
	if _, err := c.Start(context.Background(), cluster.Spec{Nodes: 2, Replica: true}); err != nil {
		panic(err)
	}
	fmt.Println("up")
	select {}
}

// children lists the processes below one, deepest first.
func children(pid int) (all []int) {
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(pid)).Output()
	for _, line := range strings.Fields(string(out)) {
		var child int
		if _, err := fmt.Sscan(line, &child); err == nil {
			all = append(append(all, children(child)...), child)
		}
	}
	return all
}

func TestAKilledRunLeavesNothing(t *testing.T) {
	if _, err := exec.LookPath("pgrep"); err != nil {
		t.Skip(err)
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux ends children with their parent")
	}
	run := exec.Command(os.Args[0])
	run.Env = append(os.Environ(), "BE_THE_RUN="+program)
	run.Stderr = os.Stderr
	out, err := run.StdoutPipe()
	must(t, err)
	must(t, run.Start())
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	left := children(run.Process.Pid)
	if len(left) < 4 {
		t.Fatalf("processes: %v, want two servers and two nodes at least", left)
	}
	folders, err := filepath.Glob(fmt.Sprintf("/dev/shm/tidemark-%d-*", run.Process.Pid))
	must(t, err)
	must(t, run.Process.Kill())
	_ = run.Wait()
	eventually(t, "all processes end", func() bool {
		left = slices.DeleteFunc(left, func(pid int) bool { return syscall.Kill(pid, 0) != nil })
		return len(left) == 0
	})
	mine, err := postgres.NewFolder()
	must(t, err)
	defer os.RemoveAll(mine)
	for _, dir := range folders {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("left behind: %s", dir)
		}
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("swept a folder in use: %v", err)
	}
}

func TestAClosedDriverLeavesNothing(t *testing.T) {
	d, err := cluster.Open(t.Context(), cluster.Options{Target: fake(), Program: program})
	if errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
	must(t, err)
	c := startIn(t, takeCell(t, d), cluster.Spec{Nodes: 2, Replica: true})
	must(t, c.Node(1).Freeze(t.Context()))
	pid := mustGet(t, c.Node(2).ProxyURL()).PID
	log := c.Node(2).LogPath()
	must(t, d.Close())
	if syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d runs", pid)
	}
	if _, err := os.Stat(log); err == nil {
		t.Errorf("left behind: %s", log)
	}
}
