package stage

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tidemark/history"
	"tidemark/target"
)

func stageWith(b target.Bounds) *Stage {
	s := New(Options{Target: &target.Target{}})
	s.Bounds = b
	return s
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
		if got := (Look{Reads: row.reads}).read(header, []byte(row.body)); got != row.want {
			t.Errorf("%s of %s: got %q, want %q", row.reads, row.body, got, row.want)
		}
	}
}

// What an assertion complains about is a violation, and is told once.
func TestComplaintsAreViolations(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	s := stageWith(target.Bounds{})
	s.Expect(context.Background(), 2, server.URL).GET("/").Expect().Status(http.StatusOK)
	var v *history.Violation
	if err := s.Complaints(); !errors.As(err, &v) || v.Node != 2 {
		t.Errorf("got %v, want a violation by node 2", err)
	}
	if err := s.Complaints(); err != nil {
		t.Errorf("taken twice: %v", err)
	}
	entries := s.History.Entries()
	if len(entries) != 1 || entries[0].Status != http.StatusNotFound || entries[0].Kind != history.KindRequest {
		t.Errorf("recorded %+v, want one request with its status", entries)
	}
}

// A violation stays one unless the harness stood still.
func TestJudgmentsAreCounted(t *testing.T) {
	s := stageWith(target.Bounds{Slack: 500 * time.Millisecond})
	since := time.Now()
	if err := s.Judge(&history.Violation{}, since); !errors.As(err, new(*history.Violation)) {
		t.Errorf("got %v, want a violation", err)
	}
	if s.Checks != 1 {
		t.Errorf("counted %d judgments, want 1", s.Checks)
	}
}
