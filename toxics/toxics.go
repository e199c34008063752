// Package toxics holds the faults: what they do to a wire, and how one sees that they did it.
package toxics

import "time"

// A Wire is one kind of TCP link of a cluster.
type Wire string

// The wires.
const (
	Database Wire = "database" // node to primary and, where it has one, to replica
	WAL      Wire = "wal"      // replica to primary
	Upstream Wire = "upstream" // node to upstream
	Client   Wire = "client"   // client to node
)

// A Fault is a disturbance, named for what the node feels.
type Fault struct {
	Name    string
	Wire    Wire
	Explain string
	lag     time.Duration
}

// The faults.
var (
	CutFromDatabase  = Fault{Name: "cut from the database", Wire: Database}
	DeafToDatabase   = Fault{Name: "deaf to the database", Wire: Database}
	HeldFromDatabase = Fault{Name: "held from the database", Wire: Database}
	FrozenReplica    = Fault{Name: "frozen replica", Wire: WAL}
)

// LaggingReplica delays the replica by d.
func LaggingReplica(d time.Duration) Fault {
	return Fault{Name: "lagging replica", Wire: WAL, lag: d}
}

// Faults lists them.
func Faults() []Fault {
	return []Fault{CutFromDatabase, DeafToDatabase, HeldFromDatabase, LaggingReplica(time.Second), FrozenReplica}
}
