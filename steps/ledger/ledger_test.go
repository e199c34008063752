package ledger

import (
	"slices"
	"testing"
	"time"

	"tidemark/history"
	"tidemark/steps/stage"
	"tidemark/target"
)

func empty(queue map[string]any) *Ledger {
	s := stage.New(stage.Options{Target: &target.Target{Log: map[string]string{
		"queue_given_up": "{n} entries were lost", "queue_nearly_full": "at 80%",
	}}})
	s.Bounds = target.Bounds{Slack: 500 * time.Millisecond}
	l := New(s)
	if queue != nil {
		l.queue = queue
	}
	return l
}

func TestNumbersAreRead(t *testing.T) {
	l := empty(nil)
	l.made = make([]history.Made, 3)
	for text, want := range map[string][]string{
		"every request": {"1", "2", "3"}, "request 7": {"7"}, "requests 4 to 6": {"4", "5", "6"},
		"requests 1 and 20": {"1", "20"}, "requests 1, 7 and 9 to 10": {"1", "7", "9", "10"},
	} {
		if got, err := l.numbers(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v %v, want %v", text, got, err, want)
		}
	}
	if got, err := l.numbers("requests of old"); err == nil {
		t.Errorf("requests of old: got %v", got)
	}
}

func TestMarksAreReadFromBodies(t *testing.T) {
	for body, want := range map[string][]string{
		`{"request": {"uri": "/dogs/7?x=1"}}`:                                {"7"},
		`[{"request": {"uri": "/dogs/7"}}, {"request": {"uri": "/cats/8"}}]`: {"7", "8"},
		`[]`:                 nil,
		`half of {"request"`: nil,
		``:                   nil,
		`{"service": {"name": "dogs"}, "request": {"id": "x", "uri": "/d/1"}}`: {"1"},
	} {
		if got := marks([]byte(body)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", body, got, want)
		}
	}
}

func TestWaitsAreTheDocuments(t *testing.T) {
	for _, row := range []struct {
		rule  string
		queue map[string]any
		n     int
		want  time.Duration
	}{
		{"the first by default", nil, 0, 10 * time.Millisecond},
		{"the fourth", nil, 3, 80 * time.Millisecond},
		{"the longest by default", nil, 60, time.Minute},
		{"the first as stated", map[string]any{"initial_retry_delay": 0.1}, 0, 100 * time.Millisecond},
		{"up to max_retry_delay", map[string]any{"max_retry_delay": 0.05}, 9, 50 * time.Millisecond},
		{"up to max_retry_time", map[string]any{"initial_retry_delay": 3, "max_retry_time": 1}, 0, time.Second},
		{"none after the only try", map[string]any{"max_retry_time": -1}, 0, 0},
	} {
		if got := empty(row.queue).wait(row.n); got != row.want {
			t.Errorf("%s: got %v, want %v", row.rule, got, row.want)
		}
	}
}

func TestBoundsFollowFromTheParameters(t *testing.T) {
	l := empty(map[string]any{"max_batch_size": 10, "max_coalescing_delay": 2, "max_retry_delay": 0.2})
	l.outage = time.Minute
	for name, want := range map[string]time.Duration{"prompt": 500 * time.Millisecond, "delivery": 2700 * time.Millisecond} {
		if got, err := l.bound(name, 1); err != nil || got != want {
			t.Errorf("%s: got %v %v, want %v", name, got, err, want)
		}
	}
	l.conduct.Delay = 100 * time.Millisecond
	if got, _ := l.bound("prompt", 20); got != 2500*time.Millisecond {
		t.Errorf("prompt for 20 entries of 100 ms each: got %v", got)
	}
	if _, err := l.bound("soon", 1); err == nil {
		t.Error("soon: got no error")
	}
}

// After an outage the wait that is under way is at most about as long as the outage was.
func TestTheWaitUnderWay(t *testing.T) {
	l := empty(nil)
	for outage, want := range map[time.Duration]time.Duration{
		0: 10 * time.Millisecond, 100 * time.Millisecond: 160 * time.Millisecond, time.Hour: time.Minute,
	} {
		if got := l.under(outage); got != want {
			t.Errorf("after %v: got %v, want %v", outage, got, want)
		}
	}
}

func TestHappeningsHaveFragments(t *testing.T) {
	l := empty(nil)
	for what, want := range map[string]string{"a batch of 3 is given up": "3 entries were lost", "the queue is 80 % full": "at 80%"} {
		if got, err := l.fragment(what); err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", what, got, err, want)
		}
	}
	for _, what := range []string{"it rains", "entries are dropped"} { // unknown to the steps, and to this target
		if got, err := l.fragment(what); err == nil {
			t.Errorf("%s: got %q", what, got)
		}
	}
}
