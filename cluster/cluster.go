// Package cluster brings up the nodes under test with all that they need, lets them be disturbed, and
// takes them down again.
//
// A [Driver] has cells: private places with a database, a service for gateways to stand before, and wires.
// In a cell a scenario starts a [Cluster] of nodes with the settings that it wants. Nodes are real
// processes, seen only from outside. Every link runs through a proxy from the first moment on, so
// that a fault never moves an address.
//
// Nothing outlives the run, however it ends: processes die with it, and its folder is swept by the
// next one at the latest.
//
// The package is as large as what it hides: nodes, their processes, cells, and the witnesses of what is
// done to a replica.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"tidemark/fixtures/logserver"
	"tidemark/fixtures/postgres"
	"tidemark/fixtures/upstream"
	"tidemark/history"
	"tidemark/target"
	"tidemark/toxics"
)

// A SetupError says that the target could not be brought up: nothing was learned about it.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return "set up: " + e.Err.Error() }
func (e *SetupError) Unwrap() error { return e.Err }

// An UnsupportedError says what the target, or this way to run it, cannot do.
type UnsupportedError struct{ Why string }

func (e *UnsupportedError) Error() string { return "unsupported: " + e.Why }

// Spec is what a scenario asks for.
type Spec struct {
	Nodes    int
	Replica  bool
	Settings map[string]string         // the product's property names
	PerNode  map[int]map[string]string // over Settings; nodes from 1

	// ConfigFile is a file in the product's own format that every node is given. What it says is not
	// also said by a variable, unless Settings or PerNode do.
	ConfigFile string

	// Dir is where the nodes' logs go; "" is a folder of the driver's that goes with it.
	Dir string

	// Record is told of nodes that start and end, and of faults. It may be nil.
	Record func(history.Entry)
}

// A Cluster is a set of nodes, their database, and the wires. Safe for concurrent use.
type Cluster struct {
	cell  *Cell
	spec  Spec
	dir   string // for what the nodes need and nobody reads later
	nodes []*Node

	mu          sync.Mutex
	inflictions []*Infliction
	shared      map[toxics.Wire]*Infliction // in force on the wires that are not one node's
	stopped     bool
}

// Start brings up a cluster and returns when every node is ready. Settings that the product does not
// have or cannot be given are an [UnsupportedError]; a node that does not come up is a [SetupError] with the end of its log.
func (c *Cell) Start(ctx context.Context, s Spec) (*Cluster, error) {
	if c.running != nil {
		return nil, errors.New("start a cluster: the cell has one")
	}
	cl := &Cluster{cell: c, spec: s, shared: map[toxics.Wire]*Infliction{}}
	if err := cl.setUp(ctx); err != nil {
		_ = cl.Stop(context.WithoutCancel(ctx))
		var unsupported *UnsupportedError
		if errors.As(err, &unsupported) {
			return nil, err
		}
		return nil, &SetupError{Err: err}
	}
	c.running = cl
	return cl, nil
}

func (c *Cluster) setUp(ctx context.Context) error {
	var err error
	if c.dir, err = os.MkdirTemp(c.cell.driver.dir, fmt.Sprintf("cell%d-", c.cell.number)); err != nil {
		return err
	}
	if c.spec.Dir == "" && c.cell.driver.o.Dir != "" {
		c.spec.Dir = filepath.Join(c.cell.driver.o.Dir, filepath.Base(c.dir))
	}
	if c.spec.Dir == "" {
		c.spec.Dir = c.dir
	}
	if c.spec.Dir, err = filepath.Abs(c.spec.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(c.spec.Dir, 0o755); err != nil {
		return err
	}
	if c.spec.Replica {
		if err := c.cell.addReplica(ctx); err != nil {
			return err
		}
	}
	for i := range c.spec.Nodes {
		n := &Node{cluster: c, number: i + 1}
		if n.settings, n.said, err = c.settings(i + 1); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	return together(c.nodes, func(n *Node) error { return n.setUp(ctx) })
}

// settings resolves a node's settings, and finds which of them its configuration file says.
func (c *Cluster) settings(node int) (target.Settings, []string, error) {
	t := c.cell.driver.o.Target
	settings, err := t.Resolve(c.spec.PerNode[node], c.spec.Settings)
	var fixed *target.FixedError
	if errors.As(err, &fixed) {
		return settings, nil, &UnsupportedError{Why: fixed.Error()}
	}
	if err != nil || c.spec.ConfigFile == "" {
		return settings, nil, err
	}
	text, err := os.ReadFile(c.spec.ConfigFile)
	if err != nil {
		return settings, nil, err
	}
	var said []string
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		_, stated := c.spec.Settings[name]
		_, own := c.spec.PerNode[node][name]
		key := name
		if k, found := t.Start.ConfigKeys[name]; found {
			key = k
		}
		line := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(key) + `\s*[=:]`)
		if !stated && !own && line.Match(text) {
			said = append(said, name)
		}
	}
	return settings, said, nil
}

// Node returns one node, from 1.
func (c *Cluster) Node(i int) *Node { return c.nodes[i-1] }

// Nodes returns all, in order.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.nodes) }

// Upstream returns the server behind the gateway.
func (c *Cluster) Upstream() *upstream.Server { return c.cell.upstream }

// UpstreamAddr returns host:port of the wire to the upstream: what services should point at.
func (c *Cluster) UpstreamAddr() string { return c.cell.toUpstream.Addr() }

// LogServer returns the server that gets the nodes' logs.
func (c *Cluster) LogServer() *logserver.Server { return c.cell.logs }

// LogServerAddr returns host:port of the wire to the log server: what plugins should send to.
func (c *Cluster) LogServerAddr() string { return c.cell.toLogs.Addr() }

// NobodyAddr returns host:port of a place where nobody listens, and nobody will.
func (c *Cluster) NobodyAddr() string { return fmt.Sprintf("127.0.0.1:%d", c.cell.nobody) }

// SQL runs the target's template on the primary, as one transaction, past every node, and returns how
// many rows its last statement affected or gave.
func (c *Cluster) SQL(ctx context.Context, template string, params map[string]string) (int64, error) {
	rows, _, err := c.sql(ctx, template, params)
	return rows, err
}

// Value runs the template likewise and returns the first column of the first row that its last
// statement gave, as text. No row is an error.
func (c *Cluster) Value(ctx context.Context, template string, params map[string]string) (string, error) {
	rows, value, err := c.sql(ctx, template, params)
	if err == nil && rows == 0 {
		err = fmt.Errorf("run sql %s: it found nothing", template)
	}
	return value, err
}

func (c *Cluster) sql(ctx context.Context, template string, params map[string]string) (int64, string, error) {
	statements, err := c.cell.driver.o.Target.Statements(template, params)
	if err != nil {
		return 0, "", err
	}
	run := make([]postgres.Statement, len(statements))
	for i, s := range statements {
		run[i] = postgres.Statement{SQL: s.SQL, Args: s.Args}
	}
	rows, value, err := c.cell.pair.Transaction(ctx, run...)
	if err != nil {
		return 0, "", fmt.Errorf("run sql %s: %w", template, err)
	}
	return rows, value, nil
}

// ReplicaCaughtUp waits until the replica shows all that the primary holds now.
func (c *Cluster) ReplicaCaughtUp(ctx context.Context) error { return c.cell.pair.CaughtUp(ctx) }

// Faults tells of all that was done to the cluster, in order.
func (c *Cluster) Faults() []history.Fault {
	c.mu.Lock()
	all := slices.Clone(c.inflictions)
	c.mu.Unlock()
	faults := make([]history.Fault, len(all))
	for i, f := range all {
		faults[i] = f.Fault()
	}
	return faults
}

// Stop heals all faults, kills the nodes and takes their wires away. The database stays as it is, for
// whoever wants to look, until the cell is released. Again: nothing.
func (c *Cluster) Stop(ctx context.Context) error {
	c.mu.Lock()
	again := c.stopped
	c.stopped = true
	c.mu.Unlock()
	if again {
		return nil
	}
	errs := []error{c.Heal(ctx)}
	errs = append(errs, together(c.nodes, func(n *Node) error { return n.tearDown(ctx) }))
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(filepath.Join(c.dir, "run")))
	}
	return errors.Join(errs...)
}

func (c *Cluster) record(e history.Entry) {
	if c.spec.Record != nil {
		c.spec.Record(e)
	}
}

// inflicted remembers a fault and records its beginning.
func (c *Cluster) inflicted(i *Infliction) *Infliction {
	c.mu.Lock()
	c.inflictions = append(c.inflictions, i)
	c.mu.Unlock()
	c.record(history.Entry{Kind: history.KindFaultBegin, Node: i.node, Subject: i.fault.Name, Start: i.from})
	return i
}

func (c *Cluster) healed(i *Infliction) {
	i.end(time.Now())
	f := i.Fault()
	c.record(history.Entry{Kind: history.KindFaultEnd, Node: f.Node, Subject: f.Name, Start: f.To, Detail: f.Evidence})
}

// together does something to all at once and waits for all.
func together[T any](all []T, do func(T) error) error {
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for i, one := range all {
		wait.Go(func() { errs[i] = do(one) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Inflict applies a fault to the replica or to the nodes' wire to the log server and returns when it is in
// force. One at a time for each.
func (c *Cluster) Inflict(ctx context.Context, f toxics.Fault) (*Infliction, error) {
	if f.Wire != toxics.WAL && f.Wire != toxics.LogServer {
		return nil, fmt.Errorf("inflict %q: it is a node's, on the wire %s", f.Name, f.Wire)
	}
	if f.Wire == toxics.WAL && !c.spec.Replica {
		return nil, fmt.Errorf("inflict %q: the cluster has no replica", f.Name)
	}
	c.mu.Lock()
	busy := c.shared[f.Wire] != nil
	c.mu.Unlock()
	if busy {
		return nil, fmt.Errorf("inflict %q: the wire %s is disturbed already", f.Name, f.Wire)
	}
	i, err := c.disturb(ctx, f)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.shared[f.Wire] = i
	c.mu.Unlock()
	return c.inflicted(i), nil
}

func (c *Cluster) disturb(ctx context.Context, f toxics.Fault) (*Infliction, error) {
	if f.Wire == toxics.WAL {
		return disturbReplica(ctx, c.cell, f)
	}
	return disturb(ctx, f, 0, []*toxics.Proxy{c.cell.toLogs}, func() bool { return false })
}

// Heal ends the faults of the replica and of the wire to the log server; the replica has caught up
// then. Without one: nothing.
func (c *Cluster) Heal(ctx context.Context) error {
	c.mu.Lock()
	inForce := slices.Collect(maps.Values(c.shared))
	clear(c.shared)
	c.mu.Unlock()
	return together(inForce, func(i *Infliction) error {
		defer c.healed(i)
		return i.heal(ctx)
	})
}
