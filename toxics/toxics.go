// Package toxics holds the faults that a cluster can be given, and the proxies that its wires run
// through.
//
// A [Fault] is a value, named for what the node feels. A wire is a [Proxy] from the cluster's first
// moment on; a fault only changes how it behaves. Nothing is believed: a canary connection through
// the same proxy must break with the fault and heal with it, or the [Disturbance] has no witness.
//
// The proxies are toxiproxy's, in this process, driven through its API like a remote one. Its
// chances cannot be seeded, so nothing here is left to chance.
package toxics

import "time"

// A Wire is one kind of TCP link of a cluster.
type Wire string

// The wires.
const (
	Database Wire = "database" // node to primary and, where it has one, to the replica
	WAL      Wire = "wal"      // replica to primary
	Upstream Wire = "upstream" // node to the service behind it
	Client   Wire = "client"   // client to node

	LogServer Wire = "log server" // node to the server that gets its logs
)

// A Fault is a disturbance of one kind of wire.
type Fault struct {
	Name    string
	Wire    Wire
	Explain string // what happens and what remains afterwards, for whoever chooses one

	// Toxics are put on each proxy of the wire.
	Toxics []Toxic

	// Down takes the proxies of the wire away: connections are closed, new ones refused.
	Down bool

	// PauseReplay is not done to a wire: the replica is told to stand still.
	PauseReplay bool

	// Delay is by how much data comes late; 0 where the fault does not delay.
	Delay time.Duration

	// Answers says whether a question put during the fault is answered after it (the wire held
	// everything), or its connection is found closed.
	Answers bool
}

// A Toxic is one of toxiproxy's, or of ours, as its API takes it.
type Toxic struct {
	Type       string
	Stream     string // "upstream": what the client sends; "downstream": what it is answered
	Attributes map[string]any
}

// Faults lists them all; those with a duration stand with one second.
func Faults() []Fault {
	return []Fault{
		CutFromDatabase, DeafToDatabase, HeldFromDatabase, SlowDatabase(time.Second),
		LaggingReplica(time.Second), FrozenReplica, CutFromLogServer, HeldFromLogServer,
	}
}
