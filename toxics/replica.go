package toxics

import "time"

// LaggingReplica delays the log on its way to the replica by d: what it shows is always d old (and up
// to 5 ms more). Reads on it are as fast as ever. Healing lets it catch up within milliseconds.
func LaggingReplica(d time.Duration) Fault {
	return Fault{
		Name: "lagging replica", Wire: WAL, Delay: d, Answers: true,
		Toxics:  []Toxic{late(d)},
		Explain: "The replica shows everything late by a duration; reads on it are as fast as ever. After healing it catches up within milliseconds.",
	}
}

// FrozenReplica stops replay: the replica goes on receiving the log and answering reads, and shows
// nothing newer. Healing lets it replay what it has received.
var FrozenReplica = Fault{
	Name: "frozen replica", Wire: WAL, PauseReplay: true,
	Explain: "The replica answers, and shows nothing newer than the moment at which it froze. After healing it replays all that it received meanwhile.",
}
