// Package cluster brings up the nodes under test with all that they need, and takes them down again.
package cluster

import (
	"context"
	"log/slog"
	"time"

	"tidemark/fixtures/upstream"
	"tidemark/history"
	"tidemark/target"
	"tidemark/toxics"
)

// Options say what is run, and where.
type Options struct {
	Target  *target.Target
	Program string   // the product's program; a path
	Defects []string // each given to every node
	Cells   int      // at most so many clusters at once; default 16
	Dir     string   // node logs that are not told another place
	Log     *slog.Logger
}

// A SetupError says that the target could not be brought up.
type SetupError struct{ Err error }

func (e *SetupError) Error() string { return "set up: " + e.Err.Error() }
func (e *SetupError) Unwrap() error { return e.Err }

// An UnsupportedError says what the target or the driver cannot do.
type UnsupportedError struct{ Why string }

func (e *UnsupportedError) Error() string { return "unsupported: " + e.Why }

// A Driver runs clusters on this machine.
type Driver struct{}

// Open prepares what all cells share.
func Open(ctx context.Context, o Options) (*Driver, error) { return &Driver{}, nil }

// Cell waits for a clean cell.
func (d *Driver) Cell(ctx context.Context) (*Cell, error) { return &Cell{}, nil }

// Close ends all.
func (d *Driver) Close() error { return nil }

// A Cell is one private place for a cluster.
type Cell struct{}

// Number returns which one it is, from 1.
func (c *Cell) Number() int { return 0 }

// Spec is what a scenario asks for.
type Spec struct {
	Nodes      int
	Replica    bool
	Settings   map[string]string         // the product's property names; see target.Resolve
	PerNode    map[int]map[string]string // over Settings, node from 1
	ConfigFile string                    // a file in the product's format, handed to every node
	Dir        string                    // where node logs go
	Record     func(history.Entry)       // told of starts, stops, faults; may be nil
}

// Start brings up a cluster in the cell.
func (c *Cell) Start(ctx context.Context, s Spec) (*Cluster, error) { return &Cluster{}, nil }

// Release ends the cluster and cleans the cell for the next.
func (c *Cell) Release(ctx context.Context) error { return nil }

// A Cluster is a set of nodes, their database, and the wires.
type Cluster struct{}

// Node returns one node, from 1.
func (c *Cluster) Node(i int) *Node { return nil }

// Nodes returns all.
func (c *Cluster) Nodes() []*Node { return nil }

// Upstream returns the server behind the gateway.
func (c *Cluster) Upstream() *upstream.Server { return nil }

// UpstreamAddr returns host:port of the wire to the upstream: what services point at.
func (c *Cluster) UpstreamAddr() string { return "" }

// SQL runs the target's template on the primary.
func (c *Cluster) SQL(ctx context.Context, template string, params map[string]string) (int64, error) {
	return 0, nil
}

// Inflict applies a fault to the replica.
func (c *Cluster) Inflict(ctx context.Context, f toxics.Fault) (*Infliction, error) { return nil, nil }

// Heal ends the cluster's own faults.
func (c *Cluster) Heal(ctx context.Context) error { return nil }

// ReplicaCaughtUp waits until the replica has replayed all that the primary wrote until now.
func (c *Cluster) ReplicaCaughtUp(ctx context.Context) error { return nil }

// Stop ends the nodes.
func (c *Cluster) Stop(ctx context.Context) error { return nil }

// A Node is one process of the product.
type Node struct{}

// Number returns which node it is, from 1.
func (n *Node) Number() int { return 0 }

// ProxyURL returns http://host:port of the proxy listener, through the client wire.
func (n *Node) ProxyURL() string { return "" }

// AdminURL returns that of the Admin API.
func (n *Node) AdminURL() string { return "" }

// StatusURL returns that of the status listener.
func (n *Node) StatusURL() string { return "" }

// DirectProxyURL, DirectAdminURL and DirectStatusURL go past the client wire.
func (n *Node) DirectProxyURL() string { return "" }

// DirectAdminURL goes past the client wire.
func (n *Node) DirectAdminURL() string { return "" }

// DirectStatusURL goes past the client wire.
func (n *Node) DirectStatusURL() string { return "" }

// Inflict applies a fault to the node.
func (n *Node) Inflict(ctx context.Context, f toxics.Fault) (*Infliction, error) { return nil, nil }

// Heal ends the node's faults.
func (n *Node) Heal(ctx context.Context) error { return nil }

// Kill ends the process at once.
func (n *Node) Kill(ctx context.Context) error { return nil }

// Freeze stops the process without ending it.
func (n *Node) Freeze(ctx context.Context) error { return nil }

// Thaw lets it go on.
func (n *Node) Thaw(ctx context.Context) error { return nil }

// Terminate asks it to end and waits.
func (n *Node) Terminate(ctx context.Context) error { return nil }

// Restart ends it, where it runs, and starts it again.
func (n *Node) Restart(ctx context.Context) error { return nil }

// Running says whether the process is there.
func (n *Node) Running() bool { return false }

// Polls returns when the node's polls reached the database.
func (n *Node) Polls() []time.Time { return nil }

// LogPath returns the file that holds what the node wrote on stderr.
func (n *Node) LogPath() string { return "" }

// Env returns the environment that the node was given, NAME=value.
func (n *Node) Env() []string { return nil }

// An Infliction is a fault in force, or past.
type Infliction struct{}

// Fault tells it as the report does, with its witness so far.
func (i *Infliction) Fault() history.Fault { return history.Fault{} }

// Witnessed says whether the fault took hold, and what shows it.
func (i *Infliction) Witnessed() (bool, string) { return false, "" }
