package stage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidemark/fixtures/upstream"
	"tidemark/history"
)

const (
	// Pace is the time between two looks of one prober.
	Pace = 20 * time.Millisecond
	// Restless is the pace of those that must not miss what lasts as long as one rebuild of a router.
	Restless = time.Millisecond
	patience = 2 * time.Second // with one look
	// silence is what a look shows that got no answer.
	silence = "no answer"
)

// A Look is one way to see, from outside, which state a node is in. A state is written as what the answer
// showed: its status and, where Reads says so, what the upstream received.
type Look struct {
	Path     string // through the proxy; with Cached set, the key in /cache of the Admin API
	Key      string // API key sent along
	Reads    string // "", "path" or "consumer" as the upstream received it, or "header X" of the answer
	Cached   bool
	Old, New string
}

// Subject names the look in the history.
func (l Look) Subject() string { return strings.TrimSpace(l.Path + " " + l.Key) }

// URL is where the look goes on a node. Probers go past the client's wire: they stand for no client of the
// scenario.
func (s *Stage) URL(l Look, node int) string {
	n := s.Cluster.Node(node)
	if l.Cached {
		return n.DirectAdminURL() + "/cache/" + l.Path
	}
	return n.DirectProxyURL() + l.Path
}

// See looks once and records what a node showed. A node that is absent is not asked, and what it failed to
// answer because it went away meanwhile says nothing.
func (s *Stage) See(ctx context.Context, l Look, node int) string {
	if s.Away(node) {
		return silence
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e := history.Entry{Kind: history.KindProbe, Node: node, Subject: l.Subject(), Request: "GET " + s.URL(l, node), Start: s.History.Now()}
	e.Status, e.Shown, e.Detail = s.ask(ctx, l, node)
	e.End = s.History.Now()
	if e.Shown == silence && (s.Away(node) || errors.Is(ctx.Err(), context.Canceled)) {
		return silence
	}
	s.History.Record(e)
	return e.Shown
}

// ask sends the request of a look and reads the state from its answer.
func (s *Stage) ask(ctx context.Context, l Look, node int) (status int, shown, detail string) {
	answer, err := s.Request(ctx, s.URL(l, node), l.Key)
	if err != nil {
		return 0, silence, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return answer.StatusCode, silence, err.Error()
	}
	shown = strconv.Itoa(answer.StatusCode)
	if l.Reads != "" && answer.StatusCode == http.StatusOK {
		shown += " " + l.read(answer.Header, body)
	}
	return answer.StatusCode, shown, ""
}

// Request sends one GET, with an API key where there is one.
func (s *Stage) Request(ctx context.Context, url string, key ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for _, k := range key {
		r.Header.Set("apikey", k)
	}
	return s.Do(r)
}

// Do sends a request as clients of the scenario do: over connections that are kept.
func (s *Stage) Do(r *http.Request) (*http.Response, error) { return s.client.Do(r) }

// read takes from an answer what the look is after.
func (l Look) read(header http.Header, body []byte) string {
	if name, found := strings.CutPrefix(l.Reads, "header "); found {
		return header.Get(name)
	}
	var received upstream.Received
	if err := json.Unmarshal(body, &received); err != nil {
		return "something else than the upstream's answer"
	}
	if l.Reads == "consumer" {
		return received.Headers.Get("X-Consumer-Username")
	}
	return received.Path
}

// Probe looks at every node at a steady Pace until the scenario ends.
func (s *Stage) Probe(ctx context.Context, looks ...Look) { s.ProbeAt(ctx, Pace, looks...) }

// ProbeAt is Probe at another pace. A look that takes longer than the pace is followed by the next at once.
func (s *Stage) ProbeAt(ctx context.Context, pace time.Duration, looks ...Look) {
	ctx, stop := context.WithCancel(ctx)
	earlier := s.stop
	s.stop = func() { stop(); earlier() }
	for _, n := range s.Cluster.Nodes() {
		for _, l := range looks {
			s.Go(func() { s.prober(ctx, pace, l, n.Number()) })
		}
	}
}

func (s *Stage) prober(ctx context.Context, pace time.Duration, l Look, node int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		s.See(ctx, l, node)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
