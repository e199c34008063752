package config

import (
	"fmt"
	"time"
)

// A Defect is one named way to break the reference gateway: a believable mistake, one line wide.
type Defect struct {
	Name   string `json:"name"`
	Breaks string `json:"breaks"`

	set func(*Config)
}

// defaultsOnly forgets what was said of the three caching properties: the defect of that name.
func defaultsOnly(c *Config) {
	d := Defaults()
	c.UpdateFrequency, c.UpdatePropagation, c.CacheTTL = d.UpdateFrequency, d.UpdatePropagation, d.CacheTTL
}

// wrongDefault polls half as often as documented where nothing was said: the defect of that name.
func wrongDefault(c *Config) {
	if c.UpdateFrequency == Defaults().UpdateFrequency {
		c.UpdateFrequency *= 2
	}
}

// zeroTTL takes a TTL of 0 for a short one instead of none: the defect of that name.
func zeroTTL(c *Config) {
	if c.CacheTTL == 0 {
		c.CacheTTL = 200 * time.Millisecond
	}
}

// shortTTL takes db_cache_ttl for tenths of a second: the defect of that name.
func shortTTL(c *Config) { c.CacheTTL /= 10 }

// bundledOnly forgets the plugins that were named besides the bundled ones: the defect of that name.
func bundledOnly(c *Config) { c.Plugins = Defaults().Plugins }

// Defects lists every defect of every room, in the order of a change's way through the house.
func Defects() []Defect {
	return []Defect{
		{"defaults-only", "the three caching properties always have their defaults", defaultsOnly},
		{"wrong-default", "db_update_frequency is 10 s where nothing is said", wrongDefault},
		{"zero-ttl", "a TTL of 0 is taken for 200 ms instead of for ever", zeroTTL},
		{"short-ttl", "db_cache_ttl is taken for tenths of a second", shortTTL},
		{"bundled-only", "plugins that are not bundled cannot be enabled", bundledOnly},
		{"late-event", "events are written by a second transaction, after the answer", func(c *Config) { c.Defects.Store.LateEvents = true }},
		{"no-events", "changes write no events", func(c *Config) { c.Defects.Store.NoEvents = true }},
		{"silent-changes", "PATCH, DELETE and a PUT of what exists write no events; a creation does", func(c *Config) { c.Defects.Store.SilentChanges = true }},
		{"put-keeps", "PUT of what exists leaves it as it is", func(c *Config) { c.Defects.Store.PutKeeps = true }},
		{"put-own", "the writer of a PUT learns of it only when it polls", func(c *Config) { c.Defects.Store.PutOwn = true }},
		{"async-own", "a node applies its own change a moment after it has answered", func(c *Config) { c.Defects.Store.AsyncOwn = true }},
		{"own-by-poll", "a node applies its own change only when it polls it", func(c *Config) { c.Defects.Store.OwnByPoll = true }},
		{"forget-cascade", "what a deletion takes along gives no events", func(c *Config) { c.Defects.Store.ForgetCascade = true }},
		{"delete-parent", "a service that has routes is deleted, its routes with it", func(c *Config) { c.Defects.Store.DeleteParent = true }},
		{"keep-services", "the deletion of a service is refused, whether it has routes or not", func(c *Config) { c.Defects.Store.KeepServices = true }},
		{"disable-first", "a service is disabled before its deletion is tried, and stays so when that is refused", func(c *Config) { c.Defects.Store.DisableFirst = true }},
		{"admin-replica", "the Admin API reads the replica", func(c *Config) { c.Defects.Store.AdminReplica = true }},
		{"ignore-replica", "the data plane reads the primary although there is a replica", func(c *Config) { c.Defects.Store.IgnoreReplica = true }},
		{"snapshot-primary", "the router is built from the primary although there is a replica", func(c *Config) { c.Defects.Store.SnapshotPrimary = true }},
		{"no-key-fence", "what was seen on the primary before the replica had it may be unseen again", func(c *Config) { c.Defects.Store.NoKeyFence = true }},
		{"no-fence", "the writer loads from the replica what the replica has not replayed", func(c *Config) { c.Defects.Store.NoFence = true }},
		{"poll-primary", "events are polled from the primary, entities loaded from the replica", func(c *Config) { c.Defects.Store.PollPrimary = true }},
		{"patch-new-key-only", "a changed key drops the new cache key and keeps the old one", func(c *Config) { c.Defects.Entity.PatchNewKeyOnly = true }},
		{"keep-misses", "a creation does not drop the cached miss", func(c *Config) { c.Defects.Entity.KeepMisses = true }},
		{"quiet-services", "the deletion of a service drops nothing, for no route can need it", func(c *Config) { c.Defects.Entity.QuietServices = true }},
		{"quiet-plugins", "the creation of a plugin does not renew the list of plugins", func(c *Config) { c.Defects.Entity.QuietPlugins = true }},
		{"skip-event", "of the events that a poll finds, the first is passed over", func(c *Config) { c.Defects.Event.SkipEvents = true }},
		{"skip-polls", "every third poll is left out", func(c *Config) { c.Defects.Event.SkipPolls = true }},
		{"time-marker", "the poll remembers a time, so events that commit late are passed over", func(c *Config) { c.Defects.Event.TimeMarker = true }},
		{"deaf-after-failure", "the first failed poll ends polling for good", func(c *Config) { c.Defects.Event.DeafAfterFailure = true }},
		{"ignore-nbf", "events run at the next poll, the propagation delay notwithstanding", func(c *Config) { c.Defects.Event.IgnoreNotBefore = true }},
		{"delay-from-poll", "the propagation delay counts from the poll that finds the event", func(c *Config) { c.Defects.Event.DelayFromPoll = true }},
		{"no-misses", "misses are never cached", func(c *Config) { c.Defects.Cache.NoMisses = true }},
		{"keep-raced", "a load that began before a drop of its key is kept", func(c *Config) { c.Defects.Cache.KeepRaced = true }},
		{"purge-all", "a drop of one key drops all", func(c *Config) { c.Defects.Cache.PurgeAll = true }},
		{"no-ttl", "cached entries never expire", func(c *Config) { c.Defects.Cache.NoTTL = true }},
		{"sliding-ttl", "a hit prolongs the life of its entry", func(c *Config) { c.Defects.Cache.SlidingTTL = true }},
		{"miss-ttl", "misses live as long as hits, whatever db_cache_neg_ttl says", func(c *Config) { c.Defects.Cache.MissTTL = true }},
		{"no-purge", "a purge by hand changes nothing", func(c *Config) { c.Defects.Cache.NoPurge = true }},
		{"no-resurrect", "an expired entry does not serve while its load fails", func(c *Config) { c.Defects.Cache.NoResurrect = true }},
		{"forgetful", "a failed poll or load empties the cache", func(c *Config) { c.Defects.Cache.Forgetful = true }},
		{"drop-for-good", "what was dropped once is never cached again", func(c *Config) { c.Defects.Cache.DropForGood = true }},
		{"no-plugins", "a rebuild takes the new routes and keeps the old plugins", func(c *Config) { c.Defects.Proxy.NoPlugins = true }},
		{"empty-router", "the router is empty while a rebuild runs", func(c *Config) { c.Defects.Proxy.EmptyWhileBuilding = true }},
		{"no-refresh", "db_cache_ttl does not reach routes, services and plugins", func(c *Config) { c.Defects.Proxy.NoRefresh = true }},
		{"no-second-build", "a build of the router that failed is not tried again", func(c *Config) { c.Defects.Proxy.NoRetry = true }},
		{"goes-back", "the poll after a node's own change shows for a moment what was before it", func(c *Config) { c.Defects.Node.GoesBack = true }},
		{"stale-all", "a change of routing makes all cached entries stale", func(c *Config) { c.Defects.Node.StaleAll = true }},
		{"plugins-deaf", "an event about plugins alone does not renew their list", func(c *Config) { c.Defects.Node.PluginsDeaf = true }},
		{"resync-keeps", "a resync renews the router and keeps what is cached", func(c *Config) { c.Defects.Node.ResyncKeeps = true }},
		{"load-before-horizon", "a starting node loads its router before it takes its place among the events", func(c *Config) { c.Defects.Node.LoadFirst = true }},
		{"first-view", "/cache shows of a key what it showed first", func(c *Config) { c.Defects.Node.FirstView = true }},
		{"dead-alone", "the status listener answers 500 while the database is away", func(c *Config) { c.Defects.Node.DeadAlone = true }},
		{"no-first-build", "a node starts with an empty router and waits for the first event", func(c *Config) { c.Defects.Node.NoFirstBuild = true }},
		{"purge-cache-only", "a purge of everything by hand leaves the router as it is", func(c *Config) { c.Defects.Node.PurgeCache = true }},
		{"always-ready", "/status/ready does not look at the database", func(c *Config) { c.Defects.Node.AlwaysReady = true }},
		{"fail-closed", "nothing is served while the database is away", func(c *Config) { c.Defects.Proxy.FailClosed = true }},
		{"newest-dropped", "a full queue drops the entry that comes instead of the oldest", func(c *Config) { c.Defects.Queue.NewestDropped = true }},
		{"off-by-one", "a queue is full one entry too late", func(c *Config) { c.Defects.Queue.OffByOne = true }},
		{"unbounded", "a queue is never full", func(c *Config) { c.Defects.Queue.Unbounded = true }},
		{"count-in-flight", "the batch on its way counts towards max_entries", func(c *Config) { c.Defects.Queue.CountInFlight = true }},
		{"no-byte-limit", "max_bytes is not looked at", func(c *Config) { c.Defects.Queue.NoByteLimit = true }},
		{"block-when-full", "what finds a queue full waits until there is room", func(c *Config) { c.Defects.Queue.BlockWhenFull = true }},
		{"no-warning", "a queue passes 80 % without a word", func(c *Config) { c.Defects.Queue.NoWarning = true }},
		{"early-warning", "a queue warns at 60 % as if it were 80", func(c *Config) { c.Defects.Queue.EarlyWarning = true }},
		{"warn-every", "every entry above 80 % of a queue warns", func(c *Config) { c.Defects.Queue.WarnEvery = true }},
		{"no-full-line", "a full queue drops entries without a word", func(c *Config) { c.Defects.Queue.NoFullLine = true }},
		{"full-every", "every entry that a full queue drops is a line of the log", func(c *Config) { c.Defects.Queue.FullEvery = true }},
		{"never-resumed", "nothing is logged when a queue is normal again", func(c *Config) { c.Defects.Queue.NeverResumed = true }},
		{"early-resumed", "a queue says that it resumed when the next batch is taken, delivered or not", func(c *Config) { c.Defects.Queue.EarlyResumed = true }},
		{"early-batch", "a batch leaves although it is neither full nor due", func(c *Config) { c.Defects.Queue.EarlyBatch = true }},
		{"delay-from-enqueue", "the coalescing delay counts from when the first entry came, deliveries before it included", func(c *Config) { c.Defects.Queue.DelayFromEnqueue = true }},
		{"sliding-delay", "every entry begins the coalescing delay anew", func(c *Config) { c.Defects.Queue.SlidingDelay = true }},
		{"no-doubling", "all waits between tries are equal", func(c *Config) { c.Defects.Queue.NoDoubling = true }},
		{"no-delay-cap", "max_retry_delay is not looked at", func(c *Config) { c.Defects.Queue.NoDelayCap = true }},
		{"budget-from-enqueue", "max_retry_time counts from when the oldest entry of a batch came", func(c *Config) { c.Defects.Queue.BudgetFromEnqueue = true }},
		{"no-retry", "a failed batch is given up at once", func(c *Config) { c.Defects.Queue.NoRetry = true }},
		{"no-give-up", "max_retry_time is not looked at", func(c *Config) { c.Defects.Queue.NoGiveUp = true }},
		{"grow-batch", "a failed batch takes along what has come meanwhile", func(c *Config) { c.Defects.Queue.GrowBatch = true }},
		{"never-again", "a queue that has been empty is not worked on again", func(c *Config) { c.Defects.Queue.NeverAgain = true }},
		{"never-alone", "a concurrency_limit of -1 is taken for 1", func(c *Config) { c.Defects.Queue.NeverAlone = true }},
		{"two-at-once", "the deliveries of a queue do not wait for each other", func(c *Config) { c.Defects.Queue.TwoAtOnce = true }},
		{"order-lost", "a queue delivers the newest entry first", func(c *Config) { c.Defects.Queue.OrderLost = true }},
		{"rules-at-once", "the last entry rules the parameters of a queue, not the one that made it", func(c *Config) { c.Defects.Queue.RulesAtOnce = true }},
		{"no-flush", "a stop does not wait for what the queues hold", func(c *Config) { c.Defects.Queue.NoFlush = true }},
		{"not-found-delivered", "http-log takes a 404 for delivered", func(c *Config) { c.Defects.Log.NotFoundDelivered = true }},
		{"redirect-delivered", "http-log takes a 302 for delivered", func(c *Config) { c.Defects.Log.RedirectDelivered = true }},
		{"accepted-failed", "http-log takes a 2xx other than 200 for a failure", func(c *Config) { c.Defects.Log.AcceptedFailed = true }},
		{"name-without-timeout", "http-log instances that differ in nothing but the timeout share a queue", func(c *Config) { c.Defects.Log.NameWithoutTimeout = true }},
		{"name-by-instance", "every http-log instance has a queue of its own", func(c *Config) { c.Defects.Log.NameByInstance = true }},
		{"forget-timeout", "http-log waits for an answer for ever", func(c *Config) { c.Defects.Log.ForgetTimeout = true }},
		{"array-always", "a single entry is sent as a list, although max_batch_size is 1", func(c *Config) { c.Defects.Log.ArrayAlways = true }},
		{"show-authorization", "a log entry shows the Authorization header", func(c *Config) { c.Defects.Log.ShowAuthorization = true }},
		{"keep-query", "http-log sends the query of its endpoint along", func(c *Config) { c.Defects.Log.KeepQuery = true }},
		{"new-body", "each try of a batch has another body", func(c *Config) { c.Defects.Log.NewBody = true }},
		{"own-answers-unlogged", "what the gateway answers itself is not logged", func(c *Config) { c.Defects.Log.OwnAnswersUnlogged = true }},
		{"ignore-legacy", "queue_size and flush_timeout have no effect", func(c *Config) { c.Defects.Log.IgnoreLegacy = true }},
		{"one-queue", "all http-log instances share one queue, whatever their endpoint", func(c *Config) { c.Defects.Log.OneQueue = true }},
		{"percent-stuck", "an http-log endpoint with a percent sign gets nothing", func(c *Config) { c.Defects.Log.PercentStuck = true }},
		{"host-without-port", "http-log names the log server's host without its port", func(c *Config) { c.Defects.Log.HostWithoutPort = true }},
		{"bare-entry", "a log entry names neither route nor service", func(c *Config) { c.Defects.Log.BareEntry = true }},
		{"other-defaults", "the parameters of a queue have other defaults than the documented ones", func(c *Config) { c.Defects.Log.OtherDefaults = true }},
		{"unchecked", "the parameters of a queue may have any value", func(c *Config) { c.Defects.Log.Unchecked = true }},
		{"flush-first", "a stop flushes the queues before the requests in flight have ended", func(c *Config) { c.Defects.Node.FlushFirst = true }},
		{"one-worker", "there is one worker, whatever nginx_worker_processes says", func(c *Config) { c.Defects.Node.OneWorker = true }},
		{"shared-queues", "all workers use the queues of the first", func(c *Config) { c.Defects.Node.SharedQueues = true }},
		{"loss-unsaid", "what a stop could not deliver is not counted in the log", func(c *Config) { c.Defects.Node.LossUnsaid = true }},
	}
}

// Break switches one defect on. An unknown name is an error that tells a near one.
func (c *Config) Break(name string) error {
	var names []string
	for _, d := range Defects() {
		if d.Name == name {
			d.set(c)
			return nil
		}
		names = append(names, d.Name)
	}
	return fmt.Errorf("defect %q is not known%s; `gateway defects` lists all", name, Suggest("", name, names))
}
