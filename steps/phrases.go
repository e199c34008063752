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
	window = `during the next (\d+ polls?|half poll)`
	number = `(\d+(?:\.\d+)?)`
	bound  = `within the (propagation|heal|tight) bound`
	name   = `(?:the service )?"/?([^"]+)"`
)

// phrases is the table of all sentences: what is said, an example, what it means, what is done.
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
		{`the replica served those reads and the primary none of them`, ``, "by the bytes on each node's links", w.theReplicaServedThoseReads},

		// the walk-through
		{`the walk-through is typed against both nodes`, ``, "the document's seven commands, by real curl", w.theWalkThroughIsTyped},
		{`its deletion answers (\d+) and its first request (\d+)`, `its deletion answers 204 and its first request 404`, "of the service that was there before", w.itsDeletionAnswers},
		{`its service, its route and its plugin are each created`, ``, "201 each", w.areEachCreated},
		{`its requests to both nodes answer (\d+) before there is a plugin`, `its requests to both nodes answer 200 before there is a plugin`, "node 2 as soon as it knows the route", w.itsRequestsAnswer},
	}
}
