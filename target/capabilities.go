package target

import "maps"

// Capabilities lists what a scenario may need of a product and a target may claim, with what each
// means. A new one is a line here.
func Capabilities() map[string]string { return maps.Clone(capabilities) }

var capabilities = map[string]string{
	"multi-node":     "several nodes on one database are one cluster",
	"replica":        "a node can read from another database server than it writes to",
	"cache-admin":    "the Admin API shows and drops what a node has cached",
	"process":        "nodes are processes that can be killed, frozen and restarted",
	"sql":            "the target's file knows the SQL that changes things behind the product's back",
	"config-file":    "a node takes its settings from a configuration file",
	"example-plugin": "the plugin of the walk-through is there",
	"queue-http-log": "the http-log plugin, and its queue",
	"timers":         "the number of running timers can be asked for",
	"workers":        "the number of a node's workers can be set",
}
