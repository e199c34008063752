package toxics

import "time"

// CutFromDatabase closes the node's connections to primary and replica and refuses new ones, as a
// server that went away does. The node knows at once. A transaction whose COMMIT was on its way may
// or may not have happened. Healing lets new connections in; the old ones stay dead.
var CutFromDatabase = Fault{
	Name: "cut from the database", Wire: Database, Down: true,
	Explain: "Connections to primary and replica are closed and new ones refused. The node notices at once; old connections stay dead after healing.",
}

// DeafToDatabase swallows all that the databases answer. The node's writes still arrive and may
// commit unheard; nothing closes, so only its own timeout can tell. What a node sends keeps its locks
// on the server. Healing closes the connections that it held.
var DeafToDatabase = Fault{
	Name: "deaf to the database", Wire: Database,
	Toxics:  []Toxic{{Type: "timeout", Stream: "downstream", Attributes: map[string]any{"timeout": 0}}},
	Explain: "Answers are swallowed while writes still arrive and may commit unheard. Nothing closes, so only the node's own timeout can tell. Healing closes the connections.",
}

// HeldFromDatabase stops all bytes both ways, and keeps them. Nothing closes and nothing is lost:
// after healing everything arrives, in order, as if it had been sent just then. Connections can still be
// opened, and say nothing. A node whose timeout was shorter has given up meanwhile; what it had sent is
// still carried out.
var HeldFromDatabase = Fault{
	Name: "held from the database", Wire: Database, Answers: true,
	Toxics:  []Toxic{{Type: stallType, Stream: "upstream"}, {Type: stallType, Stream: "downstream"}},
	Explain: "All bytes stop both ways and are kept. Nothing closes; after healing everything arrives in order, also what the node no longer waits for.",
}

// SlowDatabase delays all that the databases answer by d. Nothing is lost or reordered; healing hands
// over at once what was under way.
func SlowDatabase(d time.Duration) Fault {
	return Fault{
		Name: "slow database", Wire: Database, Delay: d, Answers: true,
		Toxics:  []Toxic{late(d)},
		Explain: "Answers of primary and replica come late by a duration. Nothing is lost; healing hands over at once what was under way.",
	}
}

func late(d time.Duration) Toxic {
	return Toxic{Type: "latency", Stream: "downstream", Attributes: map[string]any{"latency": d.Milliseconds()}}
}
