package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gavv/httpexpect/v2"

	"tidemark/history"
	"tidemark/steps/stage"
)

// The document's commands, by their place in fixtures/data/walkthrough.sh.
const (
	deletesTestService = iota
	asksTestService
	createsService
	createsRoute
	asksNode1
	asksNode2
	createsPlugin
	commands
)

// A typed command and the status that it was answered with.
type typed struct {
	command string
	status  int
}

func (w *World) theWalkThroughIsTyped(ctx context.Context) error {
	return w.walkThrough(ctx)
}

func (w *World) itsDeletionAnswers(ctx context.Context, deletion, request int) error {
	return errors.Join(w.answered(ctx, deletesTestService, deletion), w.answered(ctx, asksTestService, request))
}

func (w *World) areEachCreated(ctx context.Context) error {
	return errors.Join(w.answered(ctx, createsService, 201), w.answered(ctx, createsRoute, 201), w.answered(ctx, createsPlugin, 201))
}

func (w *World) itsRequestsAnswer(ctx context.Context, status int) error {
	return errors.Join(w.answered(ctx, asksNode1, status), w.answered(ctx, asksNode2, status))
}

// walkThrough types the commands one after the other, as a reader would: each when the one before has had
// its effect, which on node 2 takes until its poll.
func (w *World) walkThrough(ctx context.Context) error {
	script, err := w.script()
	if err != nil {
		return err
	}
	if err := w.curlrc(); err != nil {
		return err
	}
	w.change = &change{name: "the plugin of the walk-through", looks: []stage.Look{{Path: "/example", Reads: "header X-Example-Plugin", Old: "200 ", New: "200 active"}}}
	for i, command := range script {
		if i == createsPlugin {
			w.Probe(ctx, w.change.looks...)
		}
		sent := w.History.Now()
		if err := w.act(ctx, map[int]int{createsPlugin: 1}[i], func() error { return w.types(ctx, i, command) }); err != nil {
			return err
		}
		if i == createsService { // until names resolve, example.com is the suite's upstream
			err = w.pointAtUpstream(ctx)
		}
		w.turns = w.change.turned(sent, w.origin)
	}
	return err
}

// script splits the file into its commands.
func (w *World) script() ([]string, error) {
	if w.env.Fixtures == nil {
		return nil, errors.New("read the walk-through: no fixtures were handed in")
	}
	text, err := fs.ReadFile(w.env.Fixtures, "data/walkthrough.sh")
	if err != nil {
		return nil, err
	}
	script := strings.Split(strings.TrimSpace(string(text)), "\n\n")
	if len(script) != commands {
		return nil, fmt.Errorf("read the walk-through: %d commands instead of %d", len(script), commands)
	}
	return script, nil
}

// curlrc tells curl, in a folder of its own, where the document's addresses are to be found.
func (w *World) curlrc() error {
	lines := []string{"silent", "show-error", "max-time = 10", `write-out = "\n%{http_code}"`}
	for address, where := range map[string]string{
		"127.0.0.1:8001": w.Cluster.Node(1).AdminURL(), "127.0.0.1:8000": w.Cluster.Node(1).ProxyURL(), "127.0.0.2:8000": w.Cluster.Node(2).ProxyURL(),
	} {
		u, err := url.Parse(where)
		if err != nil {
			return fmt.Errorf("read the address of a node: %w", err)
		}
		lines = append(lines, fmt.Sprintf("connect-to = %q", address+":"+u.Host))
	}
	return os.WriteFile(filepath.Join(w.Dir, ".curlrc"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

// types has a shell run one command, again while node 2 has not heard of the route yet.
func (w *World) types(ctx context.Context, i int, command string) error {
	deadline := w.History.Now().Add(w.Bounds.Propagation) // a command that began before it proves nothing
	var err error
	var answer typed
	w.Until(ctx, deadline.Add(w.Bounds.Propagation), func() bool {
		began := w.History.Now()
		answer, err = w.curl(ctx, command)
		return err != nil || i != asksNode2 || answer.status != 404 || began.After(deadline)
	})
	w.walk = append(w.walk, answer)
	return err
}

// curl runs a command as it is printed, by a shell and the real curl.
func (w *World) curl(ctx context.Context, command string) (typed, error) {
	shell := exec.CommandContext(ctx, "sh", "-c", command)
	shell.Env = []string{"PATH=" + os.Getenv("PATH"), "CURL_HOME=" + w.Dir, "HOME=" + w.Dir}
	shell.Dir = w.Dir
	start := w.History.Now()
	out, err := shell.Output()
	if err != nil {
		return typed{}, fmt.Errorf("run %q: %w", command, err)
	}
	text := strings.TrimSpace(string(out))
	status, err := strconv.Atoi(text[strings.LastIndex(text, "\n")+1:])
	if err != nil {
		return typed{}, fmt.Errorf("read curl's status of %q: %w", command, err)
	}
	w.History.Record(history.Entry{Kind: history.KindRequest, Request: command, Status: status, Detail: text[:min(len(text), 300)], Start: start, End: w.History.Now()})
	return typed{command, status}, nil
}

// pointAtUpstream gives the service of the walk-through the suite's upstream in place of example.com.
func (w *World) pointAtUpstream(ctx context.Context) error {
	return w.Call(ctx, 1, stage.Patch("/services/example-service", fields{"url": "http://{upstream}"}))
}

// answered asserts the status of one command.
func (w *World) answered(ctx context.Context, command, status int) error {
	config := httpexpect.Config{Context: ctx, TestName: w.walk[command].command, AssertionHandler: w.Asserting(0)}
	httpexpect.NewNumberC(config, float64(w.walk[command].status)).IsEqual(status)
	return w.Judge(w.Complaints(), w.History.Began())
}
