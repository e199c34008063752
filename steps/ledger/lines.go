package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"tidemark/cluster"
	"tidemark/history"
)

// happenings are what the sentences say that a node logs, with the key of the fragment in the target's file.
func happenings() map[string]string {
	return map[string]string{
		"the queue is 80 % full":               "queue_nearly_full",
		"entries are dropped":                  "queue_full",
		"things are normal again":              "queue_resumed",
		"a delivery failed":                    "queue_failed",
		"a batch of {n} is given up":           "queue_given_up",
		"an entry is refused":                  "queue_refused",
		"entries are dropped for their length": "queue_bytes",
		"a parameter is deprecated":            "queue_deprecated",
		"{n} entries are lost by the stop":     "queue_lost",
	}
}

var digits = regexp.MustCompile(`\d+`)

// fragment finds what the line of a happening holds.
func (l *Ledger) fragment(what string) (string, error) {
	key, n := happenings()[what], ""
	if key == "" {
		n = digits.FindString(what)
		key = happenings()[strings.Replace(what, n, "{n}", 1)]
	}
	if key == "" {
		return "", fmt.Errorf("look for the line that says %q: no such happening", what)
	}
	fragment, found := l.s.Target.Log[key]
	if !found {
		return "", &cluster.UnsupportedError{Why: fmt.Sprintf("the target %s does not say what it logs as %s", l.s.Target.Name, key)}
	}
	return strings.ReplaceAll(fragment, "{n}", n), nil
}

// lines returns those of a node's log that hold the fragment.
func (l *Ledger) lines(node int, fragment string) ([]string, error) {
	file, err := os.Open(l.s.Cluster.Node(node).LogPath())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var found []string
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if strings.Contains(scanner.Text(), fragment) {
			found = append(found, scanner.Text())
		}
	}
	return found, scanner.Err()
}

// Logs waits until a node has logged something often enough, and judges that it did so neither less nor more often.
// Most < 0: any number is right from least on.
func (l *Ledger) Logs(ctx context.Context, node, least, most int, what string) error {
	fragment, err := l.fragment(what)
	if err != nil {
		return err
	}
	within, err := l.bound("delivery", 0)
	if err != nil {
		return err
	}
	if strings.HasSuffix(what, "given up") { // each batch has its time, and one wait more
		within += time.Duration(least) * (max(l.duration("max_retry_time", 60), 0) + l.LongestWait())
	}
	var lines []string
	l.s.Until(ctx, l.acted.Add(within+l.under(l.s.History.Now().Sub(l.acted))), func() bool {
		lines, err = l.lines(node, fragment)
		return err != nil || len(lines) >= max(least, 1)
	})
	if err == nil && most >= 0 {
		l.s.Pass(ctx, settle)
		lines, err = l.lines(node, fragment)
	}
	if err != nil {
		return fmt.Errorf("read the log of node %d: %w", node, err)
	}
	if len(lines) < least || most >= 0 && len(lines) > most {
		err = &history.Violation{Expected: fmt.Sprintf("node %d to log %s that %s", node, times(least, most), what), Actual: fmt.Sprintf("%d lines with %q", len(lines), fragment), Node: node}
	}
	return l.s.Judge(err, l.acted)
}

func times(least, most int) string {
	if most < 0 {
		return fmt.Sprintf("at least %d times", least)
	}
	return fmt.Sprintf("%d times", least)
}

// LogsNot lets a window pass and judges that nothing of the kind was logged until its end.
func (l *Ledger) LogsNot(ctx context.Context, node int, what string, length time.Duration) error {
	fragment, err := l.fragment(what)
	if err != nil {
		return err
	}
	w := l.s.Pass(ctx, length)
	lines, err := l.lines(node, fragment)
	if err != nil {
		return fmt.Errorf("read the log of node %d: %w", node, err)
	}
	if len(lines) > 0 {
		err = &history.Violation{Expected: fmt.Sprintf("node %d not to log that %s", node, what), Actual: lines[0], Node: node}
	}
	return l.s.Judge(err, w.From)
}

// Named judges that each line of a kind names the plugin.
func (l *Ledger) Named(node int, what string) error {
	fragment, err := l.fragment(what)
	if err != nil {
		return err
	}
	lines, err := l.lines(node, fragment)
	for _, line := range lines {
		if !strings.Contains(line, "http-log") && err == nil {
			err = &history.Violation{Expected: "the line to name the plugin", Actual: line, Node: node}
		}
	}
	return l.s.Judge(err, l.acted)
}

// Jobs waits until a node lists so many queues among its timers.
func (l *Ledger) Jobs(ctx context.Context, node, want int) error {
	var names []string
	var err error
	l.s.Until(ctx, l.acted.Add(l.s.Bounds.Slack), func() bool {
		names, err = l.jobs(ctx, node)
		return err != nil || len(names) == want
	})
	if err == nil && len(names) != want {
		err = &history.Violation{Expected: fmt.Sprintf("node %d to list %d queues at work", node, want), Actual: fmt.Sprintf("%d: %v", len(names), names), Node: node, Request: "GET /timers"}
	}
	return l.s.Judge(err, l.acted)
}

func (l *Ledger) jobs(ctx context.Context, node int) ([]string, error) {
	answer, err := l.s.Request(ctx, l.s.Cluster.Node(node).AdminURL()+"/timers")
	if err != nil {
		return nil, fmt.Errorf("ask for the timers: %w", err)
	}
	defer answer.Body.Close()
	var timers struct {
		Stats struct{ Timers map[string]any }
	}
	if err := json.NewDecoder(answer.Body).Decode(&timers); err != nil {
		return nil, fmt.Errorf("read the timers: %w", err)
	}
	var names []string
	for name := range timers.Stats.Timers {
		if strings.HasPrefix(name, "queue ") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Ended judges how long a node that was stopped took to end.
func (l *Ledger) Ended(node int, within time.Duration) error {
	var err error
	for _, e := range l.s.History.Entries() {
		if e.Kind == history.KindNode && e.Node == node && e.Subject == "stopped" && e.End.Sub(e.Start) > within {
			err = &history.Violation{Expected: fmt.Sprintf("node %d to end within %v", node, within), Actual: fmt.Sprintf("after %v", e.End.Sub(e.Start)), Node: node}
		}
	}
	return l.s.Judge(err, l.acted)
}

// Grown judges by how much the memory of a node has grown since its requests are logged.
func (l *Ledger) Grown(node, megabytes int) error {
	now, err := l.s.Cluster.Node(node).Memory()
	if err != nil {
		return err
	}
	if grown := int(now-l.memory) >> 20; grown >= megabytes {
		err = &history.Violation{Expected: fmt.Sprintf("the memory of node %d to grow by less than %d MB", node, megabytes), Actual: fmt.Sprintf("%d MB", grown), Node: node}
	}
	return l.s.Judge(err, l.acted)
}
