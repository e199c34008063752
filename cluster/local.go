package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"tidemark/fixtures/logserver"
	"tidemark/fixtures/postgres"
	"tidemark/fixtures/upstream"
	"tidemark/target"
	"tidemark/toxics"
)

// Options say what is run, and where.
type Options struct {
	Target  *target.Target
	Program string       // in place of the target's own; a path
	Defects []string     // each given to every node
	Cells   int          // at most so many clusters at once; default 16
	Dir     string       // where nodes log whose Spec names no place; "": a folder that goes with the driver
	Log     *slog.Logger // nil: none
}

// A Driver runs clusters on this machine, as child processes. Safe for concurrent use.
type Driver struct {
	o        Options
	program  string
	dir      string
	nursery  *postgres.Nursery
	ports    *postgres.Ports
	template *postgres.Template
	toxics   *toxics.Server
	http     *http.Client

	slots chan struct{} // one for each cell in use
	busy  chan struct{} // one for each process being started, see [Driver.gently]
	mu    sync.Mutex
	idle  []*Cell
	cells []*Cell // made so far
}

// Open prepares what all cells share: it finds the program and PostgreSQL, makes a database, and loads
// the product's schema. What is missing is a [SetupError]. Close the driver.
func Open(ctx context.Context, o Options) (*Driver, error) {
	if o.Cells <= 0 {
		o.Cells = 16
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Driver{
		o: o, nursery: postgres.NewNursery(), ports: postgres.NewPorts(), slots: make(chan struct{}, o.Cells),
		busy: make(chan struct{}, 2*runtime.NumCPU()),
		http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second},
	}
	if err := d.setUp(ctx); err != nil {
		return nil, &SetupError{Err: errors.Join(err, d.Close())}
	}
	return d, nil
}

func (d *Driver) setUp(ctx context.Context) (err error) {
	if d.program, err = find(d.o.Program, d.o.Target.Start.Program); err != nil {
		return err
	}
	if d.dir, err = postgres.NewFolder(); err != nil {
		return err
	}
	if d.toxics, err = toxics.NewServer(d.ports); err != nil {
		return err
	}
	d.template, err = postgres.NewTemplate(ctx, postgres.TemplateOptions{
		Dir: d.dir, Prepare: d.prepare, Nursery: d.nursery, Ports: d.ports, Log: d.o.Log,
	})
	return err
}

// find returns the program's absolute path: as given, else beside this program, else on PATH.
func find(given, name string) (string, error) {
	if given == "" && !strings.Contains(name, string(filepath.Separator)) {
		if self, err := os.Executable(); err == nil {
			beside := filepath.Join(filepath.Dir(self), name)
			if _, err := os.Stat(beside); err == nil {
				return beside, nil
			}
		}
	}
	if given == "" {
		given = name
	}
	path, err := exec.LookPath(given)
	if err != nil {
		return "", fmt.Errorf("find the target's program: %w", err)
	}
	return filepath.Abs(path)
}

// prepare has the product load its schema into an empty database.
func (d *Driver) prepare(ctx context.Context, a postgres.Addr) error {
	t := d.o.Target
	if len(t.Start.Prepare) == 0 {
		return nil
	}
	settings, err := t.Resolve()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, d.program, t.Start.Prepare...)
	cmd.Dir = d.dir
	cmd.Env = append(environment(d.dir), t.Environment(settings, map[string]string{
		"pg_host": a.Host, "pg_port": fmt.Sprint(a.Port), "pg_user": a.User, "pg_database": a.Database,
	})...)
	if out, err := d.nursery.Run(cmd); err != nil {
		return fmt.Errorf("run %s %s: %w: %s", d.program, strings.Join(t.Start.Prepare, " "), err, out)
	}
	return nil
}

// Close ends all cells with whatever runs in them, and removes the driver's folder.
func (d *Driver) Close() error {
	var errs []error
	d.mu.Lock()
	cells := d.cells
	d.idle, d.cells = nil, nil
	d.mu.Unlock()
	errs = append(errs, together(cells, func(c *Cell) error { return c.close() }))
	if d.template != nil {
		errs = append(errs, d.template.Close())
	}
	if d.toxics != nil {
		errs = append(errs, d.toxics.Close())
	}
	d.nursery.Close()
	errs = append(errs, d.ports.Close())
	d.http.CloseIdleConnections()
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// A Cell is one private place for a cluster. It belongs to one scenario at a time.
type Cell struct {
	driver     *Driver
	number     int
	upstream   *upstream.Server
	toUpstream *toxics.Proxy
	logs       *logserver.Server
	toLogs     *toxics.Proxy
	nobody     int // a port on which nobody listens
	pair       *postgres.Pair
	wal        *toxics.Proxy // nil until the pair has a replica
	running    *Cluster
}

// Cell waits for a free cell and returns it clean. Release it.
func (d *Driver) Cell(ctx context.Context) (*Cell, error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := d.take()
	if err := c.setUp(ctx); err != nil {
		d.give(c)
		return nil, &SetupError{Err: err}
	}
	return c, nil
}

// take prefers a cell that was used last: its database is warm.
func (d *Driver) take() *Cell {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := len(d.idle) - 1; last >= 0 {
		c := d.idle[last]
		d.idle = d.idle[:last]
		return c
	}
	c := &Cell{driver: d, number: len(d.cells) + 1}
	d.cells = append(d.cells, c)
	return c
}

func (d *Driver) give(c *Cell) {
	d.mu.Lock()
	d.idle = append(d.idle, c)
	d.mu.Unlock()
	<-d.slots
}

// setUp makes what the cell lacks.
func (c *Cell) setUp(ctx context.Context) (err error) {
	if c.upstream == nil {
		if c.upstream, err = upstream.New(fmt.Sprintf("cell%d", c.number)); err != nil {
			return err
		}
	}
	if c.toUpstream == nil {
		if c.toUpstream, err = c.open(ctx, "upstream", c.upstream.Addr(), ""); err != nil {
			return err
		}
	}
	if err := c.setUpLogs(ctx); err != nil {
		return err
	}
	if c.pair != nil {
		return nil
	}
	return c.driver.gently(ctx, func() (err error) {
		c.pair, err = c.driver.template.ClonePrimary(ctx, "")
		return err
	})
}

// setUpLogs makes what gets the nodes' logs, and the place where nothing does.
func (c *Cell) setUpLogs(ctx context.Context) (err error) {
	if c.logs == nil {
		if c.logs, err = logserver.New(); err != nil {
			return err
		}
	}
	if c.toLogs == nil {
		if c.toLogs, err = c.open(ctx, "logs", c.logs.Addr(), ""); err != nil {
			return err
		}
	}
	if c.nobody == 0 {
		c.nobody, err = c.driver.ports.Port()
	}
	return err
}

// open opens one of the cell's wires.
func (c *Cell) open(ctx context.Context, name, to, pattern string) (*toxics.Proxy, error) {
	return c.driver.toxics.Proxy(ctx, fmt.Sprintf("cell%d-%s", c.number, name), to, pattern)
}

// addReplica gives the cell a replica, which it keeps.
func (c *Cell) addReplica(ctx context.Context) error {
	return c.driver.gently(ctx, func() error { return c.pair.AddReplica(ctx, c.openWAL(ctx)) })
}

func (c *Cell) openWAL(ctx context.Context) func(string) (string, error) {
	return func(primary string) (_ string, err error) {
		if c.wal == nil {
			c.wal, err = c.open(ctx, "wal", primary, "")
		}
		if err != nil {
			return "", err
		}
		return c.wal.Addr(), nil
	}
}

// gently does something that costs much CPU for a short time, such as starting a process, but not too
// much of it at once: scenarios that are being judged run beside it and must not be starved.
func (d *Driver) gently(ctx context.Context, do func() error) error {
	select {
	case d.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.busy }()
	return do()
}

// Number returns which cell it is, from 1.
func (c *Cell) Number() int { return c.number }

// slowReset is how long a reset may take before the database is thought broken.
const slowReset = time.Second

// Release ends the cluster and cleans the cell for the next scenario: rows deleted, everything else
// as it was, the replica up to date. A database for which that fails or takes over a second is thrown
// away, and the next scenario gets a new one. The error is of stopping; the cell is clean all the same.
func (c *Cell) Release(ctx context.Context) error {
	defer c.driver.give(c)
	var err error
	if c.running != nil {
		err = c.running.Stop(ctx)
		err = errors.Join(err, os.RemoveAll(c.running.dir))
		c.running = nil
	}
	c.upstream.Reset()
	c.logs.Reset()
	began := time.Now()
	reset := c.pair.Reset(ctx)
	took := time.Since(began)
	c.driver.o.Log.Debug("cell reset", "cell", c.number, "took", took, "error", reset)
	if reset == nil && err == nil && took <= slowReset {
		return nil
	}
	c.driver.o.Log.Debug("cell is made anew", "cell", c.number, "reset", reset, "stop", err)
	return errors.Join(err, c.dropDatabase(ctx))
}

func (c *Cell) dropDatabase(ctx context.Context) error {
	errs := []error{c.pair.Stop()}
	c.pair = nil
	if c.wal != nil {
		errs = append(errs, c.wal.Close(ctx))
		c.wal = nil
	}
	return errors.Join(errs...)
}

func (c *Cell) close() error {
	var errs []error
	if c.running != nil {
		errs = append(errs, c.running.Stop(context.Background()))
	}
	if c.upstream != nil {
		errs = append(errs, c.upstream.Close())
	}
	if c.logs != nil {
		errs = append(errs, c.logs.Close())
	}
	return errors.Join(errs...)
}
