package steps

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
	pace     = 20 * time.Millisecond // between two looks of one prober
	patience = 2 * time.Second       // with one look
	// silence is what a look shows that got no answer.
	silence = "no answer"
)

// A look is one way to see, from outside, which state a node is in. A state is written as what the answer
// showed: its status and, where reads says so, what the upstream received.
type look struct {
	path     string // through the proxy; with cached set, the key in /cache of the Admin API
	key      string // API key sent along
	reads    string // "", "path" or "consumer" as the upstream received it, or "header X" of the answer
	cached   bool
	old, new string
}

// subject names the look in the history.
func (l look) subject() string { return strings.TrimSpace(l.path + " " + l.key) }

// url is where the look goes on a node. Probers go past the client's wire: they stand for no client of the
// scenario.
func (w *World) url(l look, node int) string {
	n := w.cluster.Node(node)
	if l.cached {
		return n.DirectAdminURL() + "/cache/" + l.path
	}
	return n.DirectProxyURL() + l.path
}

// see looks once and records what a node showed. A node that is absent is not asked, and what it failed to
// answer because it went away meanwhile says nothing.
func (w *World) see(ctx context.Context, l look, node int) string {
	if w.away(node) {
		return silence
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	e := history.Entry{Kind: history.KindProbe, Node: node, Subject: l.subject(), Request: "GET " + w.url(l, node), Start: w.history.Now()}
	e.Status, e.Shown, e.Detail = w.ask(ctx, l, node)
	e.End = w.history.Now()
	if e.Shown == silence && (w.away(node) || errors.Is(ctx.Err(), context.Canceled)) {
		return silence
	}
	w.history.Record(e)
	return e.Shown
}

// ask sends the request of a look and reads the state from its answer.
func (w *World) ask(ctx context.Context, l look, node int) (status int, shown, detail string) {
	answer, err := w.request(ctx, w.url(l, node), l.key)
	if err != nil {
		return 0, silence, err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return answer.StatusCode, silence, err.Error()
	}
	shown = strconv.Itoa(answer.StatusCode)
	if l.reads != "" && answer.StatusCode == http.StatusOK {
		shown += " " + l.read(answer.Header, body)
	}
	return answer.StatusCode, shown, ""
}

// request sends one GET, with an API key where there is one.
func (w *World) request(ctx context.Context, url string, key ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for _, k := range key {
		r.Header.Set("apikey", k)
	}
	return w.client.Do(r)
}

// read takes from an answer what the look is after.
func (l look) read(header http.Header, body []byte) string {
	if name, found := strings.CutPrefix(l.reads, "header "); found {
		return header.Get(name)
	}
	var received upstream.Received
	if err := json.Unmarshal(body, &received); err != nil {
		return "something else than the upstream's answer"
	}
	if l.reads == "consumer" {
		return received.Headers.Get("X-Consumer-Username")
	}
	return received.Path
}

// probe looks at every node at a steady pace until the scenario ends.
func (w *World) probe(ctx context.Context, looks ...look) {
	ctx, stop := context.WithCancel(ctx)
	earlier := w.stop
	w.stop = func() { stop(); earlier() }
	for _, n := range w.cluster.Nodes() {
		for _, l := range looks {
			w.wait.Go(func() { w.prober(ctx, l, n.Number()) })
		}
	}
}

func (w *World) prober(ctx context.Context, l look, node int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		w.see(ctx, l, node)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// away says whether a node is not to be asked.
func (w *World) away(node int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.absent[node]
}

// leave takes a node away from the probers, or back.
func (w *World) leave(node int, away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.absent[node] = away
}
