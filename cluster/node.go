package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tidemark/history"
	"tidemark/target"
	"tidemark/toxics"
)

// A Node is one process of the product, with the wires that lead to it and from it. Safe for concurrent
// use; what starts, ends or disturbs it happens one after the other.
type Node struct {
	cluster  *Cluster
	number   int
	settings target.Settings
	said     []string // settings that the configuration file says

	primary, replica     *toxics.Proxy // replica is nil where the cluster has none
	proxy, admin, status *toxics.Proxy

	acting sync.Mutex // held while the node is started, ended or disturbed

	mu       sync.Mutex
	process  *process      // the last one
	state    *Infliction   // killed, stopped or frozen, in force
	database *Infliction   // on its database's wires, in force
	past     []*Infliction // on its database's wires, all
}

// Number returns which node it is, from 1.
func (n *Node) Number() int { return n.number }

func (n *Node) name() string { return fmt.Sprintf("node %d", n.number) }

// ProxyURL returns http://host:port of the proxy listener, through the client's wire. It stays the same
// when the node is restarted.
func (n *Node) ProxyURL() string { return url(n.proxy.Addr()) }

// AdminURL returns that of the Admin API.
func (n *Node) AdminURL() string { return url(n.admin.Addr()) }

// StatusURL returns that of the status listener.
func (n *Node) StatusURL() string { return url(n.status.Addr()) }

// DirectProxyURL goes past the client's wire. It changes when the node is restarted.
func (n *Node) DirectProxyURL() string { return url(n.running().at.Proxy[0]) }

// DirectAdminURL goes past the client's wire.
func (n *Node) DirectAdminURL() string { return url(n.running().at.Admin[0]) }

// DirectStatusURL goes past the client's wire.
func (n *Node) DirectStatusURL() string { return url(n.running().at.Status[0]) }

func url(addr string) string { return "http://" + addr }

// running returns the last process, dead or alive.
func (n *Node) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

// Running says whether the process is there; a frozen one is.
func (n *Node) Running() bool {
	p := n.running()
	return p != nil && !p.ended()
}

// LogPath returns the file that holds what all processes of the node wrote.
func (n *Node) LogPath() string {
	return fmt.Sprintf("%s/node%d.log", n.cluster.spec.Dir, n.number)
}

// Env returns what the node was given as environment, NAME=value.
func (n *Node) Env() []string { return slices.Clone(n.running().env) }

// Settings returns the settings in force.
func (n *Node) Settings() target.Settings { return n.settings }

// Polls returns when the node asked the database for news, as its wires saw it; in order. A question
// that a fault kept from being answered is none.
func (n *Node) Polls() []time.Time {
	polls := n.primary.Seen()
	if n.replica != nil {
		polls = append(polls, n.replica.Seen()...)
		slices.SortFunc(polls, time.Time.Compare)
	}
	n.mu.Lock()
	past := slices.Clone(n.past)
	n.mu.Unlock()
	return slices.DeleteFunc(polls, func(at time.Time) bool {
		return slices.ContainsFunc(past, func(i *Infliction) bool { return i.fault.Delay == 0 && i.during(at) })
	})
}

// Answered returns when the database that the node polls last sent it something.
func (n *Node) Answered() time.Time {
	if n.replica != nil {
		return n.replica.Answered()
	}
	return n.primary.Answered()
}

// Bytes returns how many bytes the node has sent to the primary and to the replica.
func (n *Node) Bytes() (primary, replica uint64) {
	primary, _ = n.primary.Bytes()
	if n.replica != nil {
		replica, _ = n.replica.Bytes()
	}
	return primary, replica
}

// Memory returns how many bytes the process holds in memory now. Where the system does not tell, it is an
// [UnsupportedError].
func (n *Node) Memory() (int64, error) { return memory(n.running().PID()) }

// setUp opens the wires and starts the process.
func (n *Node) setUp(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if err := n.wire(ctx); err != nil {
		return err
	}
	return n.cluster.cell.driver.gently(ctx, func() error { return n.start(ctx) })
}

// wire opens the wires that the process needs before it starts.
func (n *Node) wire(ctx context.Context) (err error) {
	c := n.cluster.cell
	pattern := c.driver.o.Target.PollPattern
	if n.primary, err = c.open(ctx, n.wireName("primary"), c.pair.Primary().HostPort(), pattern); err != nil {
		return err
	}
	if n.cluster.spec.Replica {
		n.replica, err = c.open(ctx, n.wireName("replica"), c.pair.Replica().HostPort(), pattern)
	}
	return err
}

func (n *Node) wireName(end string) string { return fmt.Sprintf("node%d-%s", n.number, end) }

// start runs the process and leads the clients' wires to it.
func (n *Node) start(ctx context.Context) error {
	p, err := n.launch(ctx)
	if p != nil {
		n.mu.Lock()
		n.process = p
		n.mu.Unlock()
	}
	if err != nil {
		return err
	}
	for _, w := range []struct {
		wire **toxics.Proxy
		end  string
		to   string
	}{{&n.proxy, "proxy", p.at.Proxy[0]}, {&n.admin, "admin", p.at.Admin[0]}, {&n.status, "status", p.at.Status[0]}} {
		if *w.wire == nil {
			*w.wire, err = n.cluster.cell.open(ctx, n.wireName(w.end), w.to, "")
		} else {
			err = (*w.wire).Retarget(ctx, w.to)
		}
		if err != nil {
			return err
		}
	}
	n.cluster.record(history.Entry{Kind: history.KindNode, Node: n.number, Subject: "ready"})
	return nil
}

// tearDown heals, kills, and takes the wires away.
func (n *Node) tearDown(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	errs := []error{n.heal(ctx)}
	if p := n.running(); p != nil {
		p.Kill()
	}
	for _, w := range []*toxics.Proxy{n.primary, n.replica, n.proxy, n.admin, n.status} {
		if w != nil {
			errs = append(errs, w.Close(ctx))
		}
	}
	return errors.Join(errs...)
}

// Inflict applies a fault to the node's database wires, primary and replica, and returns when it is in
// force. One at a time.
func (n *Node) Inflict(ctx context.Context, f toxics.Fault) (*Infliction, error) {
	n.acting.Lock()
	defer n.acting.Unlock()
	if f.Wire != toxics.Database {
		return nil, fmt.Errorf("inflict %q on %s: it is not a node's, but on the wire %s", f.Name, n.name(), f.Wire)
	}
	if n.database != nil {
		return nil, fmt.Errorf("inflict %q on %s: it is %s already", f.Name, n.name(), n.database.fault.Name)
	}
	wires := []*toxics.Proxy{n.primary}
	if n.replica != nil {
		wires = append(wires, n.replica)
	}
	i, err := disturb(ctx, f, n.number, wires, func() bool { return !n.Running() })
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.database, n.past = i, append(n.past, i)
	n.mu.Unlock()
	return n.cluster.inflicted(i), nil
}

// Heal ends the fault on the node's database wires. Without one: nothing.
func (n *Node) Heal(ctx context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	return n.heal(ctx)
}

func (n *Node) heal(ctx context.Context) error {
	n.mu.Lock()
	i := n.database
	n.database = nil
	n.mu.Unlock()
	if i == nil {
		return nil
	}
	defer n.cluster.healed(i)
	return i.heal(ctx)
}

// Kill ends the process at once and returns when it is gone. A dead one: nothing.
func (n *Node) Kill(context.Context) error {
	return n.takeAway("killed", func(p *process) error { p.Kill(); return nil })
}

// Terminate asks the process to end, as the target's file says, and returns when it is gone. One that
// does not end in time is killed, which is an error.
func (n *Node) Terminate(ctx context.Context) error { return n.TerminateBy(ctx, "") }

// TerminateBy is Terminate with another signal than the target's.
func (n *Node) TerminateBy(ctx context.Context, signal string) error {
	return n.takeAway("stopped", func(p *process) error { return n.terminate(ctx, p, signal) })
}

// Freeze stops the process without ending it: its connections stay open and say nothing.
func (n *Node) Freeze(context.Context) error {
	return n.takeAway("frozen", func(p *process) error { return p.freeze() })
}

// takeAway does something to the process after which it no longer answers.
func (n *Node) takeAway(how string, do func(*process) error) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	p := n.running()
	if p.ended() {
		return nil
	}
	began := time.Now()
	if err := do(p); err != nil {
		return fmt.Errorf("%s: %w", n.name(), err)
	}
	n.back("was " + how)
	i := &Infliction{fault: toxics.Fault{Name: how, Wire: "process"}, node: n.number, from: began}
	state := p.state()
	want := "gone"
	if how == "frozen" {
		want = "stopped"
	}
	i.note(state == want, fmt.Sprintf("process %d is %s", p.PID(), state), fmt.Sprintf("process %d is %s", p.PID(), state))
	n.mu.Lock()
	n.state = i
	n.mu.Unlock()
	n.cluster.inflicted(i)
	n.cluster.record(history.Entry{Kind: history.KindNode, Node: n.number, Subject: how, Start: began, End: time.Now()})
	return nil
}

// back ends what was done to the process.
func (n *Node) back(how string) {
	n.mu.Lock()
	i := n.state
	n.state = nil
	n.mu.Unlock()
	if i != nil {
		i.note(true, "then it "+how, "")
		n.cluster.healed(i)
	}
}

// Thaw lets a frozen process go on.
func (n *Node) Thaw(context.Context) error {
	n.acting.Lock()
	defer n.acting.Unlock()
	if err := n.running().thaw(); err != nil {
		return fmt.Errorf("%s: %w", n.name(), err)
	}
	n.back("went on")
	return nil
}

// Restart ends the process, where it runs, and starts it again with the same settings; it returns when
// the node is ready. Its addresses through the wires stay.
func (n *Node) Restart(ctx context.Context) error {
	if n.Running() {
		if err := n.Terminate(ctx); err != nil {
			return err
		}
	}
	n.acting.Lock()
	defer n.acting.Unlock()
	if err := n.start(ctx); err != nil {
		return &SetupError{Err: err}
	}
	n.back("was started again")
	return nil
}

// facts are what only the driver knows.
func (n *Node) facts() map[string]string {
	const any = "127.0.0.1:0"
	facts := map[string]string{"proxy_listen": any, "admin_listen": any, "status_listen": any}
	server := func(prefix string, wire *toxics.Proxy) {
		host, port, _ := strings.Cut(wire.Addr(), ":")
		at := n.cluster.cell.pair.Primary()
		facts[prefix+"_host"], facts[prefix+"_port"] = host, port
		facts[prefix+"_user"], facts[prefix+"_database"] = at.User, at.Database
	}
	server("pg", n.primary)
	if n.replica != nil {
		server("pg_ro", n.replica)
	}
	return facts
}
