package steps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gavv/httpexpect/v2"

	"tidemark/history"
)

// A call is one request to the Admin API and the status that it must answer. {upstream} in a text of the
// body stands for the upstream's host:port.
type call struct {
	method, path string
	body         map[string]any
	status       int
}

func post(path string, body map[string]any) call {
	return call{http.MethodPost, path, body, http.StatusCreated}
}

func put(path string, body map[string]any) call {
	return call{http.MethodPut, path, body, http.StatusOK}
}

func patch(path string, body map[string]any) call {
	return call{http.MethodPatch, path, body, http.StatusOK}
}
func remove(path string) call { return call{http.MethodDelete, path, nil, http.StatusNoContent} }

// call makes calls through one node, in order, and stops at the first that is not answered as it must be.
func (w *World) call(ctx context.Context, node int, calls ...call) error {
	for _, c := range calls {
		r := w.expect(ctx, node, w.cluster.Node(node).AdminURL()).Request(c.method, c.path)
		if c.body != nil {
			r = r.WithJSON(w.filled(c.body))
		}
		r.Expect().Status(c.status)
		if err := w.complaints.take(); err != nil {
			return err
		}
	}
	return nil
}

// filled returns a body with the upstream's address in its texts.
func (w *World) filled(body map[string]any) map[string]any {
	full := make(map[string]any, len(body))
	for name, value := range body {
		if text, ok := value.(string); ok {
			value = strings.ReplaceAll(text, "{upstream}", w.cluster.UpstreamAddr())
		}
		full[name] = value
	}
	return full
}

// expect returns the means to ask a node and assert its answers. What they have to complain about is
// collected until it is taken.
func (w *World) expect(ctx context.Context, node int, base string) *httpexpect.Expect {
	return httpexpect.WithConfig(httpexpect.Config{
		BaseURL: base, Context: ctx, AssertionHandler: w.asserting(node),
		Client: &http.Client{Transport: recorder{w, node}, CheckRedirect: w.client.CheckRedirect, Timeout: 5 * patience},
	})
}

// show asserts with one request that a node is in a state.
func (w *World) show(ctx context.Context, l look, node int, state string) error {
	w.out.Checks++
	base, rest, _ := strings.Cut(strings.TrimPrefix(w.url(l, node), "http://"), "/")
	answer := w.expect(ctx, node, "http://"+base).GET("/"+rest).WithHeader("apikey", l.key).Expect()
	status, read, _ := strings.Cut(state, " ")
	code, err := strconv.Atoi(status)
	if err != nil {
		return fmt.Errorf("read the state %q: %w", state, err)
	}
	answer.Status(code)
	if name, found := strings.CutPrefix(l.reads, "header "); found {
		answer.Header(name).IsEqual(read)
	} else if read != "" && l.reads == "consumer" {
		answer.JSON().Object().Value("headers").Object().Value("X-Consumer-Username").Array().ContainsOnly(read)
	} else if read != "" {
		answer.JSON().Object().HasValue("path", read)
	}
	return w.complaints.take()
}

// A recorder writes each request and its answer into the history.
type recorder struct {
	w    *World
	node int
}

// RoundTrip reads the whole answer, so that its end is known.
func (r recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	e := history.Entry{Kind: history.KindRequest, Node: r.node, Request: request.Method + " " + request.URL.String(), Start: r.w.history.Now()}
	answer, err := r.w.client.Transport.RoundTrip(request)
	if err == nil {
		var body []byte
		body, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		answer.Body = io.NopCloser(bytes.NewReader(body))
		e.Status = answer.StatusCode
		if answer.StatusCode >= http.StatusBadRequest {
			e.Detail = string(body[:min(len(body), 300)])
		}
	}
	if err != nil {
		e.Detail = err.Error()
	}
	e.End = r.w.history.Now()
	r.w.history.Record(e)
	return answer, err
}

// complaints collects what assertions have to say, from any goroutine.
type complaints struct {
	mu   sync.Mutex
	errs []error
}

// take returns what was collected, joined, and forgets it.
func (c *complaints) take() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := errors.Join(c.errs...)
	c.errs = nil
	return err
}

// asserting returns the handler for assertions on one node's answers.
func (w *World) asserting(node int) httpexpect.AssertionHandler { return complainer{w, node} }

type complainer struct {
	w    *World
	node int
}

func (c complainer) Success(*httpexpect.AssertionContext) {}

// Failure words a complaint like a judgment's violation.
func (c complainer) Failure(ctx *httpexpect.AssertionContext, f *httpexpect.AssertionFailure) {
	if f.Severity != httpexpect.SeverityError {
		return
	}
	v := &history.Violation{Node: c.node, Expected: "an answer", Actual: fmt.Sprint(errors.Join(f.Errors...))}
	if f.Expected != nil {
		v.Expected = fmt.Sprint(f.Expected.Value)
	}
	if f.Actual != nil {
		v.Actual = fmt.Sprint(f.Actual.Value)
	}
	if i := slices.Index(ctx.AliasedPath, "Expect()"); i >= 0 {
		v.Expected = strings.Join(append(ctx.AliasedPath[i+1:len(ctx.AliasedPath):len(ctx.AliasedPath)], v.Expected), " ")
	}
	v.Expected = strings.ReplaceAll(v.Expected, "()", "")
	if last := c.w.lastRequest(c.node); last.Request != "" {
		v.Request = last.Request
		v.Actual = strings.TrimSpace(v.Actual + " " + last.Detail)
	}
	c.w.complaints.mu.Lock()
	defer c.w.complaints.mu.Unlock()
	c.w.complaints.errs = append(c.w.complaints.errs, v)
}

// lastRequest returns the newest request to a node that is no probe.
func (w *World) lastRequest(node int) history.Entry {
	for _, e := range slices.Backward(w.history.Entries()) {
		if e.Kind == history.KindRequest && e.Node == node {
			return e
		}
	}
	return history.Entry{}
}
