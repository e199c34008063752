package stage

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

// A Call is one request to the Admin API and the status that it must answer. {upstream} in a text of the
// body stands for the upstream's host:port.
type Call struct {
	Method, Path string
	Body         map[string]any
	Status       int
}

// Post creates: 201.
func Post(path string, body map[string]any) Call {
	return Call{http.MethodPost, path, body, http.StatusCreated}
}

// Put replaces or creates: 200.
func Put(path string, body map[string]any) Call {
	return Call{http.MethodPut, path, body, http.StatusOK}
}

// Patch changes: 200.
func Patch(path string, body map[string]any) Call {
	return Call{http.MethodPatch, path, body, http.StatusOK}
}

// Remove deletes: 204.
func Remove(path string) Call { return Call{http.MethodDelete, path, nil, http.StatusNoContent} }

// Call makes calls through one node, in order, and stops at the first that is not answered as it must be.
func (s *Stage) Call(ctx context.Context, node int, calls ...Call) error {
	for _, c := range calls {
		r := s.Expect(ctx, node, s.Cluster.Node(node).AdminURL()).Request(c.Method, c.Path)
		if c.Body != nil {
			r = r.WithJSON(s.filled(c.Body))
		}
		r.Expect().Status(c.Status)
		if err := s.Complaints(); err != nil {
			return err
		}
	}
	return nil
}

// filled returns a body with the upstream's address in its texts.
func (s *Stage) filled(body map[string]any) map[string]any {
	full := make(map[string]any, len(body))
	for name, value := range body {
		if text, ok := value.(string); ok {
			value = strings.ReplaceAll(text, "{upstream}", s.Cluster.UpstreamAddr())
		}
		full[name] = value
	}
	return full
}

// Expect returns the means to ask a node and assert its answers. What they have to complain about is
// collected until it is taken.
func (s *Stage) Expect(ctx context.Context, node int, base string) *httpexpect.Expect {
	return httpexpect.WithConfig(httpexpect.Config{
		BaseURL: base, Context: ctx, AssertionHandler: s.Asserting(node),
		Client: &http.Client{Transport: recorder{s, node}, CheckRedirect: s.client.CheckRedirect, Timeout: 5 * patience},
	})
}

// Show asserts with one request that a node is in a state.
func (s *Stage) Show(ctx context.Context, l Look, node int, state string) error {
	s.Checks++
	base, rest, _ := strings.Cut(strings.TrimPrefix(s.URL(l, node), "http://"), "/")
	answer := s.Expect(ctx, node, "http://"+base).GET("/"+rest).WithHeader("apikey", l.Key).Expect()
	status, read, _ := strings.Cut(state, " ")
	code, err := strconv.Atoi(status)
	if err != nil {
		return fmt.Errorf("read the state %q: %w", state, err)
	}
	answer.Status(code)
	if name, found := strings.CutPrefix(l.Reads, "header "); found {
		answer.Header(name).IsEqual(read)
	} else if read != "" && l.Reads == "consumer" {
		answer.JSON().Object().Value("headers").Object().Value("X-Consumer-Username").Array().ContainsOnly(read)
	} else if read != "" {
		answer.JSON().Object().HasValue("path", read)
	}
	return s.Complaints()
}

// A recorder writes each request and its answer into the history.
type recorder struct {
	s    *Stage
	node int
}

// RoundTrip reads the whole answer, so that its end is known.
func (r recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	e := history.Entry{Kind: history.KindRequest, Node: r.node, Request: request.Method + " " + request.URL.String(), Start: r.s.History.Now()}
	answer, err := r.s.client.Transport.RoundTrip(request)
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
	e.End = r.s.History.Now()
	r.s.History.Record(e)
	return answer, err
}

// complaints collects what assertions have to say, from any goroutine.
type complaints struct {
	mu   sync.Mutex
	errs []error
}

// Complaints returns what assertions have complained about since the last time, joined: violations.
func (s *Stage) Complaints() error {
	s.complaints.mu.Lock()
	defer s.complaints.mu.Unlock()
	err := errors.Join(s.complaints.errs...)
	s.complaints.errs = nil
	return err
}

// Asserting returns the handler for assertions on one node's answers.
func (s *Stage) Asserting(node int) httpexpect.AssertionHandler { return complainer{s, node} }

type complainer struct {
	s    *Stage
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
	if last := c.s.lastRequest(c.node); last.Request != "" {
		v.Request = last.Request
		v.Actual = strings.TrimSpace(v.Actual + " " + last.Detail)
	}
	c.s.complaints.mu.Lock()
	defer c.s.complaints.mu.Unlock()
	c.s.complaints.errs = append(c.s.complaints.errs, v)
}

// lastRequest returns the newest request to a node that is no probe.
func (s *Stage) lastRequest(node int) history.Entry {
	for _, e := range slices.Backward(s.History.Entries()) {
		if e.Kind == history.KindRequest && e.Node == node {
			return e
		}
	}
	return history.Entry{}
}
