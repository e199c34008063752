package steps

// A Phrase is one sentence that an author may say.
type Phrase struct {
	Expression string // a regular expression over the whole sentence
	Example    string
	Doc        string
	step       any
}

// Phrases lists all sentences in the order of reading.
func Phrases() []Phrase {
	list := new(World).phrases()
	for i := range list {
		if list[i].Example == "" { // nothing in it varies
			list[i].Example = list[i].Expression
		}
		list[i].Expression = "^" + list[i].Expression + "$"
	}
	return list
}

// A Change is what the sentences may put for <change>.
type Change struct{ Name, Doc string }

// Changes lists them in the order of reading.
func Changes() []Change {
	var list []Change
	for _, c := range changes() {
		list = append(list, Change{c.name, c.doc})
	}
	return list
}

// Parts of expressions.
const (
	who    = `(every node|node \d+)`
	node   = `node (\d+)`
	aThing = `(an? .+)`
	window = `during the next (\d+ polls?|half poll|[\d.]+ s)`
	number = `(\d+(?:\.\d+)?)`
	bound  = `within the (propagation|heal|tight) bound`
	name   = `(?:the service )?"/?([^"]+)"`
	often  = `(once|twice|\d+ times|at least once|at least \d+ times)`
	value  = `(\S+?)(?: m?s| bytes)?`
	soon   = `within the (prompt|delivery) bound`
)

// phrases is the table of all sentences: what is said, an example, what it means, what is done. What is only
// about logging the ledger does.
func (w *World) phrases() []Phrase {
	return []Phrase{
		// the cluster
		{`a cluster of (\d+) nodes?( with a read replica| with nothing set)?`, `a cluster of 2 nodes`, "how many nodes; they start when a later sentence needs them", w.aCluster},
		{`a cluster of (\d+) nodes? whose configuration file says`, `a cluster of 1 node whose configuration file says`, "every node is given this text as its configuration file", w.aClusterWhoseConfigurationFileSays},
		{`([a-z]+(?:_[a-z]+)*) is (\S+?)(?: s)?`, `db_update_frequency is 2 s`, "a setting of every node", w.settingIs},
		{`on ` + node + ` ([a-z_]+) is (\S+?)(?: s)?`, `on node 2 db_update_frequency is 1 s`, "a setting of one node", w.settingOfNodeIs},
		{`its configuration is asked for`, ``, "the node runs and is asked through its Admin API", w.Up},
		{`([a-z_]+) is reported as ` + number, `db_cache_ttl is reported as 0`, "the Admin API names the value in force", w.isReportedAs},

		// nodes that come and go
		{node + ` is stopped`, `node 3 is stopped`, "asked to end, and waited for", w.nodeIsStopped},
		{node + ` is killed`, `node 2 is killed`, "ended without a word", w.nodeIsKilled},
		{node + ` is frozen`, `node 2 is frozen`, "the process stands still", w.nodeIsFrozen},
		{node + ` goes on`, `node 2 goes on`, "the end of frozen", w.nodeGoesOn},
		{node + ` is started`, `node 3 is started`, "the end of stopped and killed", w.nodeIsStarted},
		{node + ` is restarted`, `node 2 is restarted`, "stopped and started", w.nodeIsRestarted},
		{node + ` says within the (query) bound that it is not ready`, `node 2 says within the query bound that it is not ready`, "its readiness ends", w.saysThatItIsNotReady},
		{node + ` is alive`, `node 2 is alive`, "its status listener answers", w.isAlive},

		// changes, and when nodes show them
		{`every node is ready for ` + aThing, `every node is ready for a new route`, "the state before is on every node, no event is under way, and the nodes are watched from now on", w.everyNodeIsReadyFor},
		{aThing + ` (?:is|was) made through ` + node, `a deleted credential is made through node 1`, "the change, by the node's Admin API; the next request follows at once", w.isMadeThrough},
		{aThing + ` is made through ` + node + `, which is killed at its answer`, `a new route is made through node 1, which is killed at its answer`, "the node dies when it has acknowledged the change", w.isMadeThroughAndKilled},
		{aThing + ` is made through ` + node + ` while no node can load its router`, `a service pointed elsewhere is made through node 1 while no node can load its router`, "the database keeps every build waiting until it fails, and lets go", w.isMadeWhileNobodyLoads},
		{node + ` is started, and ` + aThing + ` is made through ` + node + ` while it loads`, `node 2 is started, and a service pointed elsewhere is made through node 1 while it loads`, "after its first snapshot, and before that was served", w.isMadeWhileItLoads},
		{`(\d+) changes, (\d+) a second, are made through ` + node + ` and one among them through ` + node, `30 changes, 10 a second, are made through node 2 and one among them through node 1`, "one after the other, of routing, plugins and consumers", w.changesAreMadeSlowly},
		{`(\d+) changes are made through all nodes in turn`, `30 changes are made through all nodes in turn`, "one after the other, of routing, plugins and consumers", w.changesAreMade},
		{who + ` (?:shows it|runs the plugin) from the very next request on`, `node 1 shows it from the very next request on`, "no request that began after the change (or purge, or start) sees the old state", w.showsFromTheNextRequestOn},
		{who + ` (?:shows it|shows the last state of each|runs the plugin) ` + bound, `node 2 shows it within the propagation bound`, "seen within the bound, and not unseen again while it settles", w.showsWithin},
		{who + ` shows it within the (cache TTL|miss TTL)(?:, however often it is asked)?`, `node 2 shows it within the cache TTL`, "the age of the entry is the bound", w.showsWithin},
		{who + ` still show(?:s|ed) the old state ` + window, `node 2 still shows the old state during the next 2 polls`, "every look in the window sees the state before", w.stillShowsTheOldState},
		{who + ` shows it and nothing else ` + window, `node 1 shows it and nothing else during the next 3 polls`, "every look in the window sees the new state", w.showsItAndNothingElse},
		{who + ` does not show it before the propagation delay`, `node 2 does not show it before the propagation delay`, "not earlier than the delay after the change", w.doesNotShowItBeforeTheDelay},
		{`no node ever goes back`, ``, "who has shown a state never shows an older one, in the whole scenario", w.noNodeEverGoesBack},
		{`the Admin API of ` + node + ` knows it from the very next request on`, `the Admin API of node 2 knows it from the very next request on`, "it reads the primary", w.theAdminAPIKnowsIt},

		// faults
		{node + ` is (cut from|deaf to|held from) (?:its|the) database`, `node 2 is cut from its database`, "connections refused, answers swallowed, or all bytes kept back", w.nodeIsFromItsDatabase},
		{node + ` is healed`, `node 2 is healed`, "the end of it", w.nodeIsHealed},
		{node + ` has missed ` + aThing, `node 2 has missed a new route`, "made through another node, and its events deleted without a trace before this node could poll", w.hasMissed},
		{`its events are deleted from the database`, ``, "by plain SQL, before a node that is away could read them", w.itsEventsAreDeleted},
		{`the replica lags by ` + number + ` s`, `the replica lags by 1 s`, "its log arrives late; bounds count it", w.theReplicaLags},
		{`the replica is frozen`, ``, "it answers, and shows nothing newer", w.theReplicaIsFrozen},
		{`the replica thaws`, ``, "the end of frozen", w.theReplicaThaws},
		{`its ((?:credential|route|service) is (?:created|deleted|moved)) behind the gateway's back`, `its credential is deleted behind the gateway's back`, "the change by plain SQL: no event tells of it", w.isMadeBehindTheGatewaysBack},
		{`an event for it commits late, after newer events were polled`, ``, "written first, visible last", w.anEventCommitsLate},
		{`the database holds an event for it`, ``, "what other nodes would learn from", w.theDatabaseHoldsAnEvent},
		{node + ` was loading its credential over a slow link while it was deleted behind the gateway's back`, `node 2 was loading its credential over a slow link while it was deleted behind the gateway's back`, "the answer with the old row is still under way", w.wasLoadingWhileDeleted},

		// caches
		{`every node has refused an unknown key`, ``, "so every node remembers that it does not exist", w.everyNodeHasRefusedAnUnknownKey},
		{who + ` still refuses the unknown key`, `node 2 still refuses the unknown key`, "with 401, not with an error", w.refusesTheUnknownKey},
		{`the cache of ` + who + ` holds the hit`, `the cache of every node holds the hit`, "/cache shows the entity", w.theCacheHoldsTheHit},
		{`the cache of ` + who + ` holds the miss`, `the cache of every node holds the miss`, "/cache shows that there is none", w.theCacheHoldsTheMiss},
		{`the cache of ` + who + ` dropped the hit`, `the cache of every node dropped the hit`, "/cache shows the entity no more", w.theCacheDroppedTheHit},
		{`every node also holds an unrelated credential`, ``, "a second one, loaded and watched in /cache", w.everyNodeHoldsAnUnrelatedCredential},
		{`the cache of ` + who + ` never lost the unrelated credential`, `the cache of every node never lost the unrelated credential`, "at no look", w.theCacheNeverLostTheUnrelated},
		{`its key is purged on ` + node, `its key is purged on node 2`, "DELETE /cache/{key}", w.itsKeyIsPurged},
		{`its key is purged on ` + node + ` before the load ends`, `its key is purged on node 2 before the load ends`, "DELETE /cache/{key} while the load is under way", w.itsKeyIsPurgedBeforeTheLoadEnds},
		{node + ` shows it as soon as the load has ended`, `node 2 shows it as soon as the load has ended`, "the value that was under way was not kept", w.showsItAsSoonAsTheLoadHasEnded},
		{`the cache of ` + node + ` is purged`, `the cache of node 2 is purged`, "DELETE /cache", w.theCacheIsPurged},

		// services
		{`every node serves ` + name, `every node serves "/steady"`, "a service with a route, answering 200 on every node, and watched", w.serves},
		{name + ` answered on every node and then lost its route`, `the service "test-service" answered on every node and then lost its route`, "nodes hold the service in memory and can show it only there", w.answeredAndLostItsRoute},
		{name + ` is deleted through ` + node, `the service "test-service" is deleted through node 1`, "DELETE of the service", w.theServiceIsDeletedThrough},
		{name + ` is deleted through ` + node + ` with its route`, `the service "test-service" is deleted through node 1 with its route`, "DELETE of the route, then of the service", w.isDeletedWithItsRoute},
		{`the deletion of ` + name + ` is refused by ` + node, `the deletion of the service "test-service" is refused by node 1`, "400: it still has a route", w.theDeletionIsRefusedBy},
		{`every node keeps serving ` + name + ` ` + window, `every node keeps serving "test-service" during the next 2 polls`, "every look in the window answers 200", w.everyNodeKeepsServing},
		{name + ` never failed on any node`, `"/steady" never failed on any node`, "every look since it was served answered 200", w.neverFailedOnAnyNode},
		{who + ` answers 404 for ` + name + ` from the very next request on`, `node 1 answers 404 for "test-service" from the very next request on`, "and at each request after it", w.answers404},
		{`the cache of ` + who + ` no longer holds ` + name, `the cache of node 1 no longer holds the service "test-service"`, "/cache answers 404, from the next request on", w.theCacheNoLongerHoldsTheService},
		{`the cache of ` + who + ` still holds ` + name + ` ` + window, `the cache of node 2 still holds the service "test-service" during the next half poll`, "/cache answers 200 at every look", w.theCacheStillHoldsTheService},
		{`the cache of ` + who + ` drops ` + name + ` ` + bound, `the cache of node 2 drops the service "test-service" within the propagation bound`, "/cache goes from 200 to 404", w.theCacheDropsTheService},

		// polls and reads
		{node + ` has just polled`, `node 2 has just polled`, "read from its wire: the next poll is one interval away", w.hasJustPolled},
		{`(\d+) poll intervals pass`, `10 poll intervals pass`, "of the cluster's setting", w.intervalsPass},
		{`every node polled once in each interval`, ``, "evenly, none skipped", w.everyNodePolledOnce},
		{node + ` polled more often than ` + node + `, as their settings say`, `node 1 polled more often than node 2, as their settings say`, "each as often as its interval says", w.polledMoreOften},
		{`every node loads (\d+) new credentials`, `every node loads 20 new credentials`, "made, seen by the replica, then asked for", w.everyNodeLoadsNewCredentials},
		{node + ` learns of (\d+) new routes`, `node 2 learns of 5 new routes`, "made through node 1, and known to this node by its router alone", w.learnsOfNewRoutes},
		{`the replica served those reads and the primary none of them`, ``, "by the bytes on each node's links", w.theReplicaServedThoseReads},

		// logging: the plugin and its queue
		{`the (queue|plugin)'s ([a-z_]+) is ` + value, `the queue's max_entries is 5`, "a parameter of the http-log plugins that later sentences make", w.logs.Set},
		{`every request is logged`, ``, "a service with an http-log plugin that sends to the log server", w.logs.Log},
		{`a second service is logged (alike|with another timeout|to nobody|to a place that hangs)`, `a second service is logged alike`, "another service with a plugin of its own; nobody is a port on which nobody listens", w.logs.LogSecond},
		{`(\d+) services are logged to nobody`, `300 services are logged to nobody`, "each with a plugin of its own, and asked once", w.logs.LogMany},
		{`every request is refused by the gateway`, ``, "403, by a plugin of the first service", w.logs.RefuseAll},
		{`the upstream takes (\d+) ms to answer`, `the upstream takes 500 ms to answer`, "of services that later sentences make", w.logs.Upstream},
		{`the queue's ([a-z_]+) becomes ` + value, `the queue's max_entries becomes 50`, "PATCH of the first service's plugin", w.logs.Change},
		{`the plugin is deleted`, ``, "DELETE of the first service's plugin", w.logs.Delete},
		{`the (queue|plugin)'s ([a-z_]+) is reported as (\S+)`, `the queue's max_entries is reported as 10000`, "the Admin API shows the plugin so", w.logs.Reported},
		{`a (queue|plugin) is asked for whose ([a-z_]+) is (\S+)`, `a queue is asked for whose max_entries is 0`, "POST of a plugin", w.logs.Ask},
		{`the plugin is refused`, ``, "400", w.logs.Refused},

		// logging: the log server
		{`the log server (is away|reads nothing|hangs|resets connections|cuts connections after reading|answers \d+|takes [\d.]+ s to answer)(| once| twice| \d+ times)`, `the log server answers 500 twice`, "what it does from now on, or so often and then no more", w.theLogServer},
		{`the log server is well again`, ``, "the end of all that; what it left hanging is cut", w.logs.Recover},

		// logging: requests
		{`(\d+) requests? (?:is|are|was|were) sent(| at once| [\d.]+ s apart| with \d+ kB each| with a secret each| to both services in turn)`, `25 requests are sent`, "through node 1, one after the other unless it says how; each is answered 200, or refused where all are", w.requestsAreSent},
		{`a request is on its way to the log server`, ``, "sent, and its entry waits in the queue no more", w.logs.Delivering},
		{`a request is being answered`, ``, "sent, and its upstream has it", w.logs.Start},
		{`(\d+) requests to either service are timed in turn`, `2000 requests to either service are timed in turn`, "through node 1", w.logs.Compare},
		{`those to the second were answered as fast as those to the first`, ``, "by their medians: a quarter apart is the machine's, twice is not", w.logs.Unhurt},
		{`every request was answered ` + soon, `every request was answered within the prompt bound`, "from being sent to the last byte", w.logs.Answered},

		// logging: what arrives
		{`the log server (?:gets|has got) (every request|requests? \d+(?:(?: to |, | and )\d+)*) (once|at least once)(, in order,|) ` + soon, `the log server gets requests 1 and 16 to 20 once, in order, within the delivery bound`, "these and no others, by its own record", w.theLogServerGets},
		{`it gets them in batches of (\d+(?:(?:, | and )\d+)*)`, `it gets them in batches of 10, 10 and 5`, "what it took, in this order", w.inBatchesOf},
		{`it gets (\d+) deliver(?:y|ies)`, `it gets 20 deliveries`, "requests of all kinds", w.itGetsDeliveries},
		{`it gets nothing(?: more)? ` + window, `it gets nothing more during the next 1 s`, "no request arrives", w.itGetsNothing},
		{`each batch that did not fill was sent when it was due`, ``, "the coalescing delay after its first entry was taken, not earlier and hardly later", w.logs.Coalesced},
		{`each try of a batch carried the same`, ``, "byte for byte", w.eachTryCarriedTheSame},
		{`nothing else was sent while a batch was tried again`, ``, "no batch comes back after another one", w.nothingElseWasSent},
		{`request (\d+) is tried ` + often, `request 1 is tried at least 5 times`, "as the first of its batch", w.requestIsTried},
		{`the waits between the tries of request (\d+) double from ` + number + ` s(| up to [\d.]+ s)`, `the waits between the tries of request 1 double from 0.1 s up to 0.4 s`, "from the end of one to the beginning of the next", w.theWaitsDouble},
		{`no wait between the tries of request (\d+) is above ` + number + ` s`, `no wait between the tries of request 1 is above 1 s`, "and there is one", w.noWaitIsAbove},
		{`request (\d+) was tried for ` + number + ` s and then given up`, `request 1 was tried for 1 s and then given up`, "counted from its own first try", w.wasGivenUpAfter},
		{`(no more than|at least) (\d+) deliver(?:y|ies) (?:is|are) under way at a time`, `no more than 1 delivery is under way at a time`, "from its arrival to its answer", w.deliveriesAreUnderWay},
		{`every entry tells of request, answer, service and route`, ``, "its members are there", w.everyEntryTells},
		{`each delivery is one entry and no list`, ``, "its body is an object", w.eachDeliveryIsOneEntry},
		{`no entry shows a secret`, ``, "nowhere in it", w.noEntryShowsASecret},
		{`no delivery carries a query`, ``, "in its request line", w.noDeliveryCarriesAQuery},
		{`every delivery is addressed to the log server`, ``, "its Host is the endpoint's host and port", w.everyDeliveryIsAddressed},

		// logging: what a node says of it
		{node + ` (?:logs|has logged) ` + often + ` that (.+)`, `node 1 logs once that the queue is 80 % full`, "a line with the fragment that the target's file names", w.nodeLogs},
		{node + ` does not log that (.+) ` + window, `node 1 does not log that the queue is 80 % full during the next 1 s`, "nor has it before", w.nodeDoesNotLog},
		{node + ` names the plugin where it logs that (.+)`, `node 1 names the plugin where it logs that entries are dropped`, "in each such line", w.logs.Named},
		{node + ` lists (no|one|two) queues? at work`, `node 1 lists one queue at work`, "among its timers", w.nodeListsQueues},
		{node + ` is stopped by (SIG[A-Z]+)`, `node 1 is stopped by SIGQUIT`, "asked to end by this signal, and waited for", w.nodeIsStoppedBy},
		{node + ` ended within the flush bound`, `node 1 ended within the flush bound`, "queue_flush_timeout and slack", w.nodeEndedWithin},
		{`the memory of ` + node + ` has grown by less than (\d+) MB`, `the memory of node 1 has grown by less than 100 MB`, "since its requests are logged", w.theMemoryHasGrownByLess},

		// the walk-through
		{`the walk-through is typed against both nodes`, ``, "the document's seven commands, by real curl", w.theWalkThroughIsTyped},
		{`its deletion answers (\d+) and its first request (\d+)`, `its deletion answers 204 and its first request 404`, "of the service that was there before", w.itsDeletionAnswers},
		{`its service, its route and its plugin are each created`, ``, "201 each", w.areEachCreated},
		{`its requests to both nodes answer (\d+) before there is a plugin`, `its requests to both nodes answer 200 before there is a plugin`, "node 2 as soon as it knows the route", w.itsRequestsAnswer},
	}
}
