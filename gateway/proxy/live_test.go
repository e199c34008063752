package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidemark/gateway/entity"
	"tidemark/gateway/plugin"
	"tidemark/gateway/router"
)

// A database stands for the one behind Load: a version that a build reads at its start and shows
// when it has ended.
type database struct {
	version atomic.Int64
	takes   time.Duration // a build
	down    atomic.Bool
	loads   atomic.Int64
	busy    atomic.Int64
	overlap atomic.Bool
}

// load makes a state whose only route has the path "/<version>".
func (d *database) load(ctx context.Context) (*State, error) {
	if d.busy.Add(1) > 1 {
		d.overlap.Store(true)
	}
	defer d.busy.Add(-1)
	d.loads.Add(1)
	version := d.version.Load()
	if d.takes > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(d.takes):
		}
	}
	if d.down.Load() {
		return nil, errors.New("no connection")
	}
	r, err := router.Build(nil, []entity.Route{{ID: "r", Paths: []string{path(version)}}})
	return &State{Router: r, Plugins: &plugin.Index{}}, err
}

func path(version int64) string { return fmt.Sprintf("/%d!", version) }

// shows tells whether the state is that of a version.
func shows(s *State, version int64) bool {
	return s.Router.Match(httptest.NewRequest("GET", path(version), nil)) != nil
}

// start makes a Live and runs it for as long as the test.
func start(t *testing.T, d *database, o LiveOptions) *Live {
	t.Helper()
	o.Load = d.load
	l := NewLive(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// Who changes something and asks for a rebuild sees the change, although others ask at the same
// time and a build is under way.
func TestRebuildShowsWhatWasThereBefore(t *testing.T) {
	d := &database{takes: time.Millisecond}
	l := start(t, d, LiveOptions{Strict: true})
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for range 30 {
				mine := d.version.Add(1)
				if err := l.Rebuild(t.Context()); err != nil {
					t.Error(err)
				}
				shown := false
				for v := mine; v <= d.version.Load() && !shown; v++ {
					shown = shows(l.Current(), v)
				}
				if !shown {
					t.Errorf("version %d or a newer one is not in place after Rebuild", mine)
				}
			}
		})
	}
	writers.Wait()
	if d.overlap.Load() {
		t.Error("two builds ran at once")
	}
	if n := d.loads.Load(); n >= 240 {
		t.Errorf("%d builds for 240 calls: they do not coalesce", n)
	}
	if s := l.Status(); s.Dirty || s.Failures > 0 {
		t.Errorf("status %+v", s)
	}
}

func TestAFailedBuildLeavesTheOldState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		l := start(t, d, LiveOptions{Strict: true})
		must(t, l.Rebuild(t.Context()))
		d.down.Store(true)
		d.version.Store(1)
		if l.Rebuild(t.Context()) == nil {
			t.Error("Rebuild told of no error")
		}
		if !shows(l.Current(), 0) {
			t.Error("the old state is gone")
		}
		if s := l.Status(); !s.Dirty || s.Failures != 1 || s.FailingSince.IsZero() || s.LastError == "" {
			t.Errorf("status %+v", s)
		}
		l.Retry(t.Context())
		if shows(l.Current(), 1) {
			t.Error("a state came out of a database that is down")
		}
		d.down.Store(false)
		l.Retry(t.Context())
		if !shows(l.Current(), 1) {
			t.Error("Retry did not build")
		}
		builds := d.loads.Load()
		l.Retry(t.Context())
		if s := l.Status(); d.loads.Load() != builds || s.Dirty || s.LastError != "" {
			t.Errorf("Retry built without need, or status %+v", s)
		}
	})
}

func TestRebuildEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{takes: time.Hour}
		l := start(t, d, LiveOptions{Strict: true, Timeout: 3 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := l.Rebuild(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		time.Sleep(2 * time.Second) // virtual
		synctest.Wait()
		if s := l.Status(); s.Failures != 1 {
			t.Errorf("a build outlived its timeout: %+v", s)
		}
	})
}

func TestAPanicIsAFailedBuild(t *testing.T) {
	l := NewLive(LiveOptions{Strict: true, Load: func(context.Context) (*State, error) { panic("oh") }})
	if err := l.Rebuild(t.Context()); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("error %v", err)
	}
	if l.Current().Router == nil {
		t.Error("no state")
	}
}

func TestAStateBesideAnErrorServes(t *testing.T) {
	l := NewLive(LiveOptions{Strict: true, Load: func(ctx context.Context) (*State, error) {
		s, _ := (&database{}).load(ctx)
		return s, errors.New("one route was left out")
	}})
	must(t, l.Rebuild(t.Context()))
	if !shows(l.Current(), 0) || l.Status().Dirty {
		t.Errorf("status %+v", l.Status())
	}
}

func TestEventual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		l := start(t, d, LiveOptions{Interval: 5 * time.Second})
		must(t, l.Rebuild(t.Context()))
		if !shows(l.Current(), 0) {
			t.Fatal("the first state did not come at once")
		}
		time.Sleep(time.Second)
		for v := range int64(3) {
			d.version.Store(v + 1)
			must(t, l.Rebuild(t.Context()))
			l.Retry(t.Context())
		}
		synctest.Wait()
		if !shows(l.Current(), 0) || !l.Status().Dirty {
			t.Error("a change took effect before the interval")
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if !shows(l.Current(), 3) || l.Status().Dirty {
			t.Error("the changes took no effect at the interval")
		}
		if n := d.loads.Load(); n != 2 {
			t.Errorf("%d builds, want 2: three changes are one", n)
		}
		time.Sleep(time.Minute)
		if n := d.loads.Load(); n != 2 {
			t.Errorf("%d builds: nothing had changed", n)
		}
	})
}

// A change that comes while a build reads must not be forgotten when that build ends.
func TestEventualKeepsWhatWasAskedDuringABuild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{takes: 2 * time.Second}
		l := start(t, d, LiveOptions{Interval: 5 * time.Second})
		must(t, l.Rebuild(t.Context())) // 0..2 s
		must(t, l.Rebuild(t.Context())) // builds 5..7 s
		time.Sleep(4 * time.Second)     // at 6 s
		d.version.Store(1)
		must(t, l.Rebuild(t.Context()))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if shows(l.Current(), 1) || !l.Status().Dirty {
			t.Errorf("the build before the change shows it, or forgot it: %+v", l.Status())
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !shows(l.Current(), 1) {
			t.Error("the change is lost")
		}
	})
}

func TestRefresh(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       LiveOptions
		changed time.Duration // after the first build
		old     time.Duration // still the old state then
		new     time.Duration // the new one then; 0: never
	}{
		{"at the TTL", LiveOptions{Strict: true, Refresh: 10 * time.Second}, time.Second, 9 * time.Second, 11 * time.Second},
		{"eventual too", LiveOptions{Interval: time.Second, Refresh: 10 * time.Second}, time.Second, 9 * time.Second, 11 * time.Second},
		{"TTL 0 never", LiveOptions{Strict: true}, time.Second, 1000 * time.Hour, 0},
		{"the defect", LiveOptions{Strict: true, Refresh: 10 * time.Second, Defects: Defects{NoRefresh: true}}, time.Second, 1000 * time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &database{takes: 100 * time.Millisecond}
				l := start(t, d, c.o)
				time.Sleep(3 * time.Second) // the age counts from the build, not from the start
				must(t, l.Rebuild(t.Context()))
				time.Sleep(c.changed)
				d.version.Store(1) // behind the node's back
				time.Sleep(c.old - c.changed - 100*time.Millisecond)
				synctest.Wait()
				if !shows(l.Current(), 0) {
					t.Errorf("new after %v", c.old)
				}
				if c.new == 0 {
					return
				}
				time.Sleep(c.new - c.old)
				synctest.Wait()
				if !shows(l.Current(), 1) {
					t.Errorf("old after %v", c.new)
				}
			})
		})
	}
}

func TestARefreshThatFailsIsRetriedByPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		l := start(t, d, LiveOptions{Strict: true, Refresh: 10 * time.Second})
		must(t, l.Rebuild(t.Context()))
		d.down.Store(true)
		d.version.Store(1)
		time.Sleep(15 * time.Second)
		if !shows(l.Current(), 0) || d.loads.Load() != 2 {
			t.Errorf("%d builds: one try a TTL is enough", d.loads.Load())
		}
		d.down.Store(false)
		l.Retry(t.Context())
		if !shows(l.Current(), 1) {
			t.Error("Retry did not build")
		}
	})
}

func TestRunWaitsForBuilds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{takes: time.Hour}
		l := NewLive(LiveOptions{Strict: true, Timeout: time.Hour, Load: d.load})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = l.Rebuild(ctx) }()
		synctest.Wait()
		cancel()
		began := time.Now()
		_ = l.Run(ctx)
		if d.busy.Load() != 0 || time.Since(began) > 0 {
			t.Errorf("a build was left running, or Run waited %v for it", time.Since(began))
		}
		if err := l.Rebuild(t.Context()); err == nil || d.loads.Load() != 1 {
			t.Errorf("a build began after the end: %v", err)
		}
	})
}

func TestDefectsOfLive(t *testing.T) {
	t.Run("EmptyWhileBuilding", func(t *testing.T) {
		for _, broken := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				d := &database{takes: time.Second}
				l := start(t, d, LiveOptions{Strict: true, Defects: Defects{EmptyWhileBuilding: broken}})
				must(t, l.Rebuild(t.Context()))
				go func() { _ = l.Rebuild(t.Context()) }()
				synctest.Wait()
				if shows(l.Current(), 0) == broken {
					t.Errorf("broken=%v: an unchanged route is there: %v", broken, !broken)
				}
				time.Sleep(2 * time.Second)
				if !shows(l.Current(), 0) {
					t.Error("not there after the build")
				}
			})
		}
	})
	t.Run("NoPlugins", func(t *testing.T) {
		for _, broken := range []bool{false, true} {
			built := &plugin.Index{}
			l := NewLive(LiveOptions{Strict: true, Defects: Defects{NoPlugins: broken}, Load: func(context.Context) (*State, error) {
				return &State{Router: &router.Router{}, Plugins: built}, nil
			}})
			must(t, l.Rebuild(t.Context()))
			first := built
			built = must1(plugin.Build(nil, nil))(t)
			must(t, l.Rebuild(t.Context()))
			if (l.Current().Plugins == first) != broken {
				t.Errorf("broken=%v: old plugins kept: %v", broken, !broken)
			}
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must1[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}
