// Package stage is what the sentences of one scenario act on: a cluster in a cell, ways to ask its nodes, and
// the means to wait and to judge.
//
// A [Look] is one way to see which state a node is in; probers look at all nodes beside the scenario, and
// whatever is seen goes into the history. Assertions on answers are collected and taken as one error. Waiting
// is looking at a condition until a deadline that the target's bounds give; the only fixed lengths are the
// windows in which an absence is judged.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/cluster"
	"tidemark/history"
	"tidemark/target"
)

// Options say where a stage is.
type Options struct {
	Cell     *cluster.Cell
	Target   *target.Target
	Settings map[string]string // of the run; the scenario's own win
	Dir      string            // for what is left behind; exists
}

// A Stage is used by one scenario. Its steps run one after the other; only its probers run beside them.
type Stage struct {
	Options

	Spec    cluster.Spec      // what the sentences have asked for; until the cluster is up
	Stated  map[string]string // settings of the scenario's own sentences
	Lag     time.Duration     // of the replica, as stated
	Cluster *cluster.Cluster  // nil until a step needs it

	History  *history.History
	Settings target.Settings // in force, once measured
	Bounds   target.Bounds
	Checks   int           // judgments made
	Waiting  time.Duration // spent waiting for the cluster

	watchdog   *history.Watchdog
	client     *http.Client
	complaints complaints
	workspace  string

	stop   context.CancelFunc
	wait   sync.WaitGroup
	mu     sync.Mutex
	absent map[int]bool // nodes that are not asked: stopped, frozen
}

// New returns a stage on which nothing has started yet.
func New(o Options) *Stage {
	s := &Stage{
		Options: o, Stated: map[string]string{}, absent: map[int]bool{}, stop: func() {},
		History: history.New(time.Now), watchdog: history.NewWatchdog(time.Now),
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute},
			Timeout:       patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.Spec = cluster.Spec{Settings: s.Stated, PerNode: map[int]map[string]string{}, Dir: o.Dir, Record: s.History.Record}
	return s
}

// Up starts the cluster that the sentences so far have described, unless it is there.
func (s *Stage) Up(ctx context.Context) error {
	if s.Cluster != nil {
		return nil
	}
	if s.Spec.Nodes == 0 {
		return errors.New("start a cluster: no sentence has said of how many nodes")
	}
	if err := s.Measure(); err != nil {
		return err
	}
	for name, value := range s.Options.Settings {
		if _, own := s.Stated[name]; !own {
			s.Stated[name] = value
		}
	}
	c, err := s.Cell.Start(ctx, s.Spec)
	if err != nil {
		return err
	}
	s.Cluster = c
	ctx, s.stop = context.WithCancel(ctx)
	s.Go(func() {
		beat := time.NewTicker(history.Beat)
		defer beat.Stop()
		s.watchdog.Run(ctx, beat.C)
	})
	return nil
}

// Measure computes the bounds from the settings in force. Call it again when the lag changes.
func (s *Stage) Measure() error {
	settings, err := s.Target.Resolve(s.Stated, s.Options.Settings)
	var fixed *target.FixedError
	if errors.As(err, &fixed) {
		return &cluster.UnsupportedError{Why: fixed.Error()}
	}
	if err != nil {
		return err
	}
	s.Settings, s.Bounds = settings, s.Target.Bounds(settings, s.Lag)
	return nil
}

// Go runs something beside the scenario; Down waits for it.
func (s *Stage) Go(what func()) { s.wait.Go(what) }

// Down ends what runs beside the scenario and waits for it, stops the nodes, and tells the history of all
// polls and of what the nodes logged. The last word of the faults' witnesses comes with it: the wires are healed.
func (s *Stage) Down(ctx context.Context) ([]history.Fault, error) {
	s.stop()
	s.wait.Wait()
	s.client.CloseIdleConnections()
	if s.Cluster == nil {
		return nil, nil
	}
	for _, n := range s.Cluster.Nodes() {
		for _, at := range n.Polls() {
			s.History.Record(history.Entry{Kind: history.KindPoll, Node: n.Number(), Start: at})
		}
	}
	err := s.Cluster.Stop(ctx)
	for _, n := range s.Cluster.Nodes() {
		err = errors.Join(err, s.logged(n))
	}
	return s.Cluster.Faults(), err
}

// logged tells the history what a node has logged. A node that never came up has logged nothing.
func (s *Stage) logged(n *cluster.Node) error {
	log, err := os.Open(n.LogPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the log of node %d: %w", n.Number(), err)
	}
	defer log.Close()
	lines, err := history.ReadLog(s.History, n.Number(), log)
	for _, line := range lines {
		s.History.Record(line)
	}
	if err != nil {
		return fmt.Errorf("read the log of node %d: %w", n.Number(), err)
	}
	return nil
}

// Judge counts a judgment over what was seen since a moment. A violation is excused when the harness itself
// stood still in that time for more than half the slack.
func (s *Stage) Judge(err error, since time.Time) error {
	s.Checks++
	return history.Excuse(err, s.watchdog.Gaps(), history.Window{From: since, To: s.History.Now()}, s.Bounds.Slack/2)
}

// Jitter is the longest time for which this process was seen not to run.
func (s *Stage) Jitter() time.Duration {
	var longest time.Duration
	for _, g := range s.watchdog.Gaps() {
		longest = max(longest, g.To.Sub(g.From))
	}
	return longest
}

// Until looks at a condition every 10 ms and returns whether it came true before the deadline.
func (s *Stage) Until(ctx context.Context, deadline time.Time, condition func() bool) bool {
	began := s.History.Now()
	defer func() { s.Waiting += s.History.Now().Sub(began) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if ctx.Err() != nil || s.History.Now().After(deadline) {
			return false
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return true
}

// Pass lets a window of absence go by, and returns it.
func (s *Stage) Pass(ctx context.Context, d time.Duration) history.Window {
	from := s.History.Now()
	s.Until(ctx, from.Add(d), func() bool { return s.History.Now().Sub(from) >= d })
	return history.Window{From: from, To: from.Add(d), Gap: s.Bounds.Slack / 2}
}

// Since opens a window of absence that is closed later.
func (s *Stage) Since() history.Window {
	return history.Window{From: s.History.Now(), Gap: s.Bounds.Slack / 2}
}

// Those returns the nodes that a sentence speaks of: "node 2", or "every node", which is all that are there.
func (s *Stage) Those(who string) []int {
	if number, found := strings.CutPrefix(who, "node "); found {
		n, _ := strconv.Atoi(number)
		return []int{n}
	}
	var all []int
	for _, n := range s.Cluster.Nodes() {
		if !s.Away(n.Number()) {
			all = append(all, n.Number())
		}
	}
	return all
}

// Each brings the cluster up and does something for each node that a sentence speaks of, until one fails.
func (s *Stage) Each(ctx context.Context, who string, do func(node int) error) error {
	if err := s.Up(ctx); err != nil {
		return err
	}
	for _, node := range s.Those(who) {
		if node < 1 || node > len(s.Cluster.Nodes()) {
			return fmt.Errorf("find %s: the cluster has %d nodes", who, len(s.Cluster.Nodes()))
		}
		if err := do(node); err != nil {
			return err
		}
	}
	return nil
}

// Away says whether a node is not to be asked.
func (s *Stage) Away(node int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.absent[node]
}

// Leave takes a node away from the probers, or back.
func (s *Stage) Leave(node int, away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent[node] = away
}

// Heard waits until every node has polled after a moment and the propagation delay is over. That it has done what the
// poll asked for has to be looked at, or see [Stage.Digested]. A node that does not poll is a doubt.
func (s *Stage) Heard(ctx context.Context, since time.Time) error {
	return s.polls(ctx, "every node", since, 1)
}

// Digested waits until nodes have done all that was asked of them until a moment: the second poll after it is put
// when what the first one found has been handled.
func (s *Stage) Digested(ctx context.Context, who string, since time.Time) error {
	return s.polls(ctx, who, since, 2)
}

func (s *Stage) polls(ctx context.Context, who string, since time.Time, count int) error {
	if s.Spec.Replica {
		if err := s.Cluster.ReplicaCaughtUp(ctx); err != nil {
			return fmt.Errorf("wait for the replica: %w", err)
		}
		since = s.History.Now()
	}
	delay := s.Settings.Duration("db_update_propagation")
	for _, node := range s.Those(who) {
		deadline := since.Add(time.Duration(count)*(s.Interval(node)+s.Bounds.Slack) + s.Bounds.Slack)
		if !s.Until(ctx, deadline, func() bool { return len(s.Polls(node, since)) >= count }) && ctx.Err() == nil {
			return history.Doubtf("node %d was not seen to poll %d times within %v: what was done before may be news to it", node, count, deadline.Sub(since))
		}
	}
	s.Pass(ctx, max(time.Until(since.Add(delay)), 0)+s.Bounds.Slack/10)
	return ctx.Err()
}

// Interval is a node's poll interval.
func (s *Stage) Interval(node int) time.Duration {
	settings, err := s.Target.Resolve(s.Spec.PerNode[node], s.Stated, s.Options.Settings)
	if err != nil {
		return s.Bounds.Poll
	}
	return settings.Duration("db_update_frequency")
}

// Polls returns when a node polled after a moment.
func (s *Stage) Polls(node int, since time.Time) []time.Time {
	all := s.Cluster.Node(node).Polls()
	return all[slices.IndexFunc(append(slices.Clip(all), time.Now()), since.Before):]
}

// SQL runs a template of the target's file on the primary.
func (s *Stage) SQL(ctx context.Context, template string, params map[string]string) (int64, error) {
	rows, err := s.Cluster.SQL(ctx, template, params)
	if err != nil {
		return 0, fmt.Errorf("reach behind the gateway: %w", err)
	}
	return rows, nil
}

// KeyOf fills the target's template for the cache keys of a kind.
func (s *Stage) KeyOf(ctx context.Context, kind string, parts map[string]string) (string, error) {
	if s.workspace == "" {
		id, err := s.Cluster.Value(ctx, "workspace", nil)
		if err != nil {
			return "", fmt.Errorf("find the workspace: %w", err)
		}
		s.workspace = id
	}
	parts = maps.Clone(parts)
	parts["workspace"] = s.workspace
	return s.Target.CacheKey(kind, parts)
}
