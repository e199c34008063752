package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tidemark/gateway/plugin"
	"tidemark/gateway/router"
)

// A State is a whole configuration as the proxy needs it. It never changes.
type State struct {
	Router  *router.Router
	Plugins *plugin.Index
	Loaded  time.Time // when its load began: it shows all that was committed before

	Workspace string // the id of the one that all of it is in
}

// Defects break this room, each in one named way. The zero value is the sound gateway.
type Defects struct {
	NoPlugins          bool // a rebuild takes the new routes and keeps the old plugins
	EmptyWhileBuilding bool // the old router is thrown away before the new one is loaded
	NoRefresh          bool // the TTL of cached entities does not reach the router
	FailClosed         bool // nothing is served while the database is away
	NoRetry            bool // a build that failed is not tried again
}

// LiveOptions configure a [Live].
type LiveOptions struct {
	// Load reads a whole configuration. It is never called twice at once. A state beside an error
	// is taken: the error then only tells what had to be left out of it.
	Load func(ctx context.Context) (*State, error)
	// Strict makes Rebuild wait for the build. Otherwise builds run at most once an Interval.
	Strict   bool
	Interval time.Duration // worker_state_update_frequency, above 0
	// Refresh is the age at which a state is built again without being asked (db_cache_ttl).
	// 0: never.
	Refresh time.Duration
	Timeout time.Duration // the longest that one build may take; 0: 5 s
	Logger  *slog.Logger
	Defects Defects
}

// Live holds the state that requests are served from and replaces it whole. Builds are serial and
// coalesce; one that fails leaves the old state in place. All methods are safe for concurrent use.
type Live struct {
	o       LiveOptions
	current atomic.Pointer[State]
	away    atomic.Bool // the last build or poll failed

	base context.Context // what builds run in: they outlive who asked for them
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	running *build // nil: none
	next    *build // who asks while one runs shares this one; nil: nobody asked
	asked   bool   // eventual: a change since the last build began
	failed  bool   // the last build did
	status  Status
}

// A build is one Load and its swap.
type build struct {
	done chan struct{}
	err  error // valid once done is closed
}

// Status tells how the state came about.
type Status struct {
	Loaded       time.Time // zero: never
	Builds       int       // builds that were swapped in
	Failures     int
	Dirty        bool // a change is known that the state does not show
	FailingSince time.Time
	LastError    string
}

// NewLive makes a Live with an empty state. Nothing is loaded before the first Rebuild.
func NewLive(o LiveOptions) *Live {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Defects.NoRefresh {
		o.Refresh = 0
	}
	l := &Live{o: o}
	l.base, l.stop = context.WithCancel(context.Background())
	l.current.Store(&State{Router: &router.Router{}, Plugins: &plugin.Index{}})
	return l
}

// Current is the state to serve from, never nil. Its Loaded is zero until the first build.
func (l *Live) Current() *State { return l.current.Load() }

// Status tells how the last builds went.
func (l *Live) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Dirty = l.asked || l.failed || l.running != nil
	return s
}

// SetDatabase tells Live whether the last poll reached the database.
func (l *Live) SetDatabase(ok bool) { l.away.Store(!ok) }

// Rebuild asks for a state that shows all that was committed before the call.
//
// Strict, and for the very first state: it returns when such a state is in place, the build has
// failed, or ctx has ended; the build goes on in the last case, and others may wait for it. After
// an error the old state serves on, and Retry builds again. Eventual: it returns at once, and Run
// builds within an interval.
func (l *Live) Rebuild(ctx context.Context) error {
	if !l.o.Strict && !l.Current().Loaded.IsZero() {
		l.mu.Lock()
		l.asked = true
		l.mu.Unlock()
		return nil
	}
	return l.buildNow(ctx)
}

// Retry builds again when the last build failed. It is meant for every poll of the database; in
// eventual consistency the interval does the same, and Retry does nothing.
func (l *Live) Retry(ctx context.Context) {
	if !l.o.Strict && !l.Current().Loaded.IsZero() {
		return
	}
	if l.due() && !l.o.Defects.NoRetry {
		_ = l.buildNow(ctx) // logged and counted where it failed
	}
}

// due tells whether a build is wanted that nobody waits for.
func (l *Live) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running == nil && (l.asked || l.failed)
}

// buildNow waits for a build that begins after the call.
func (l *Live) buildNow(ctx context.Context) error {
	b := l.enqueue()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the build of the router: %w", context.Cause(ctx))
	}
}

// enqueue starts a build, or joins the one that starts when the running one has ended. One that
// runs already may have read before the caller's change.
func (l *Live) enqueue() *build {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base.Err() != nil {
		b := &build{done: make(chan struct{}), err: errStopped}
		close(b.done)
		return b
	}
	if l.running != nil {
		if l.next == nil {
			l.next = &build{done: make(chan struct{})}
		}
		return l.next
	}
	l.running, l.asked = &build{done: make(chan struct{})}, false
	l.work.Add(1)
	go l.builder(l.running)
	return l.running
}

// builder runs b and whatever was asked for in the meantime.
func (l *Live) builder(b *build) {
	defer l.work.Done()
	for b != nil {
		b.err = l.build()
		l.mu.Lock()
		l.running, l.next, l.asked = l.next, nil, l.asked && l.next == nil
		next := l.running
		l.account(b.err)
		l.mu.Unlock()
		close(b.done)
		b = next
	}
}

// account notes how a build went; l.mu is held.
func (l *Live) account(err error) {
	s := &l.status
	l.failed = err != nil
	if err == nil {
		s.Builds++
		s.Loaded = l.Current().Loaded
		s.FailingSince, s.LastError = time.Time{}, ""
		return
	}
	s.Failures++
	s.LastError = err.Error()
	if s.FailingSince.IsZero() {
		s.FailingSince = time.Now()
		l.o.Logger.Error("could not build the router, the old one serves on", "error", err)
	}
}

// build loads a state and swaps it in.
func (l *Live) build() (err error) {
	ctx, cancel := context.WithTimeout(l.base, l.o.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("build the router: panic: %v", p)
		}
		l.away.Store(err != nil)
	}()
	old := l.Current()
	if l.o.Defects.EmptyWhileBuilding {
		l.current.Store(&State{Router: &router.Router{}, Plugins: old.Plugins, Loaded: old.Loaded})
	}
	began := time.Now()
	loaded, err := l.o.Load(ctx)
	if loaded == nil {
		return fmt.Errorf("build the router: %w", orNoState(err))
	}
	if err != nil {
		l.o.Logger.Error("part of the configuration was left out", "error", err)
	}
	state := *loaded
	state.Loaded = began
	if l.o.Defects.NoPlugins && !old.Loaded.IsZero() {
		state.Plugins = old.Plugins
	}
	l.current.Store(&state)
	return nil
}

var (
	errNoState = errors.New("load gave no state")
	errStopped = errors.New("build the router: the node is stopping")
)

// orNoState gives err, or says that there was none where one belongs.
func orNoState(err error) error {
	if err == nil {
		return errNoState
	}
	return err
}

// Run refreshes states that are too old and, in eventual consistency, builds what was asked for.
// It returns ctx's error once every build has ended; builds that still run then are cut short, and
// later ones fail.
func (l *Live) Run(ctx context.Context) error {
	defer l.work.Wait()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stop()
	}()
	var interval, refresh <-chan time.Time
	if !l.o.Strict && l.o.Interval > 0 {
		t := time.NewTicker(l.o.Interval)
		defer t.Stop()
		interval = t.C
	}
	var age *time.Timer
	if l.o.Refresh > 0 {
		age = time.NewTimer(l.o.Refresh)
		defer age.Stop()
		refresh = age.C
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-interval:
			if l.due() {
				_ = l.buildNow(ctx) // logged and counted where it failed
			}
		case <-refresh:
			age.Reset(l.refresh(ctx))
		}
	}
}

// refresh builds when the state is too old, and tells when to look again.
func (l *Live) refresh(ctx context.Context) time.Duration {
	if left := l.left(); left > 0 {
		return left
	}
	_ = l.buildNow(ctx)
	if left := l.left(); left > 0 {
		return left
	}
	return l.o.Refresh // it failed: Retry is nearer than the next look
}

// left is how long the state may go on serving without a refresh.
func (l *Live) left() time.Duration { return l.o.Refresh - time.Since(l.Current().Loaded) }

// failing tells whether the last build or poll failed.
func (l *Live) failing() bool { return l.away.Load() }
