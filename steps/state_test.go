package steps

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gavv/httpexpect/v2"

	"tidemark/history"
	"tidemark/target"
)

func worldWith(b target.Bounds) *World {
	w := New(Env{Target: &target.Target{}})
	w.bounds = b
	return w
}

func TestWindowsAreRead(t *testing.T) {
	w := worldWith(target.Bounds{Poll: 400 * time.Millisecond})
	for text, want := range map[string]time.Duration{
		"half poll": 200 * time.Millisecond, "1 poll": 400 * time.Millisecond, "3 polls": 1200 * time.Millisecond,
	} {
		if got, err := w.length(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := w.length("some polls"); err == nil {
		t.Error("some polls: got no error")
	}
}

func TestStatesAreReadFromAnswers(t *testing.T) {
	header := http.Header{"X-Mark": {"active"}}
	body := []byte(`{"path": "/fur", "headers": {"X-Consumer-Username": ["dana"]}}`)
	for _, row := range []struct{ reads, body, want string }{
		{"path", string(body), "/fur"},
		{"consumer", string(body), "dana"},
		{"header X-Mark", "", "active"},
		{"path", "not JSON", "something else than the upstream's answer"},
	} {
		if got := (look{reads: row.reads}).read(header, []byte(row.body)); got != row.want {
			t.Errorf("%s of %s: got %q, want %q", row.reads, row.body, got, row.want)
		}
	}
}

func TestDeadlinesHaveNames(t *testing.T) {
	w := worldWith(target.Bounds{Propagation: time.Second, Heal: 2 * time.Second, Tight: time.Millisecond})
	for name, want := range map[string]time.Duration{"propagation": time.Second, "heal": 2 * time.Second, "cache TTL": time.Millisecond} {
		if d, err := w.deadline(context.Background(), 1, name, time.Time{}); err != nil || d.Within != want {
			t.Errorf("%s: got %v, %v, want %v", name, d.Within, err, want)
		}
	}
	if _, err := w.deadline(context.Background(), 1, "soon", time.Time{}); err == nil {
		t.Error("soon: got no error")
	}
}

// What an assertion complains about is a violation, and is told once.
func TestComplaintsAreViolations(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	w := worldWith(target.Bounds{})
	w.expect(context.Background(), 2, server.URL).GET("/").Expect().Status(http.StatusOK)
	var v *history.Violation
	if err := w.complaints.take(); !errors.As(err, &v) || v.Node != 2 {
		t.Errorf("got %v, want a violation by node 2", err)
	}
	if err := w.complaints.take(); err != nil {
		t.Errorf("taken twice: %v", err)
	}
	entries := w.history.Entries()
	if len(entries) != 1 || entries[0].Status != http.StatusNotFound || entries[0].Kind != history.KindRequest {
		t.Errorf("recorded %+v, want one request with its status", entries)
	}
	var _ httpexpect.AssertionHandler = complainer{}
}

// A violation while the harness stood still is a doubt; without it, it stays.
func TestJudgeExcusesALateHarness(t *testing.T) {
	w := worldWith(target.Bounds{Slack: 500 * time.Millisecond})
	since := time.Now()
	if err := w.judge(&history.Violation{}, since); !isViolation(err) {
		t.Errorf("got %v, want a violation", err)
	}
	if w.out.Checks != 1 {
		t.Errorf("counted %d judgments, want 1", w.out.Checks)
	}
}

func TestBehindTheBackNeedsAChangeThatCan(t *testing.T) {
	w := worldWith(target.Bounds{})
	w.change, _ = changeNamed("a new route")
	if err := w.isMadeBehindTheGatewaysBack(context.Background(), "route is deleted"); err == nil {
		t.Error("got no error for a change that has no SQL")
	}
}
