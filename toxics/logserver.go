package toxics

// CutFromLogServer closes the nodes' connections to the log server and refuses new ones, as one that is down
// does. What was under way may have been received all the same. Healing lets new connections in.
var CutFromLogServer = Fault{
	Name: "cut from the log server", Wire: LogServer, Down: true,
	Explain: "Connections to the log server are closed and new ones refused. The nodes notice at once; what was under way may have arrived.",
}

// HeldFromLogServer stops all bytes both ways, and keeps them: the log server takes connections, but
// nothing that is sent is read. After healing everything arrives, also what a node has given up and sends again.
var HeldFromLogServer = Fault{
	Name: "held from the log server", Wire: LogServer, Answers: true,
	Toxics:  []Toxic{{Type: stallType, Stream: "upstream"}, {Type: stallType, Stream: "downstream"}},
	Explain: "The log server takes connections and nothing that is sent arrives. After healing it does, also what the nodes no longer wait for.",
}
