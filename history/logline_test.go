package history_test

import (
	"strings"
	"testing"
	"time"

	"tidemark/history"
)

func TestReadLog(t *testing.T) {
	began := time.Now()
	h := history.New(func() time.Time { return began })
	ours := began.Add(1500 * time.Millisecond).UTC().Format(time.RFC3339Nano)
	nginx := began.Add(3 * time.Second).Format("2006/01/02 15:04:05")
	log := "a line before any time\n" +
		"time=" + ours + " level=error msg=\"poll failed\"\n" +
		"\tits second line\n" +
		nginx + " [error] 7#0: something\n"
	entries, err := history.ReadLog(h, 2, strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		detail  string
		from    time.Duration
		atLeast time.Duration
	}{
		{"a line before", 0, 0},
		{"poll failed", 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"its second line", 1500 * time.Millisecond, 1500 * time.Millisecond},
		{"something", 2 * time.Second, 3 * time.Second}, // whole seconds: up to one too early
	}
	if len(entries) != len(want) {
		t.Fatalf("%d entries, want %d: %v", len(entries), len(want), entries)
	}
	for i, w := range want {
		e := entries[i]
		if after := e.Start.Sub(began); e.Kind != history.KindLog || e.Node != 2 || !strings.Contains(e.Detail, w.detail) || after < w.from || after > w.atLeast {
			t.Errorf("entry %d is %q of node %d at %s, want %q between %s and %s", i, e.Detail, e.Node, after, w.detail, w.from, w.atLeast)
		}
	}
}

func TestReadLogKeepsTheNewest(t *testing.T) {
	h := history.New(time.Now)
	entries, err := history.ReadLog(h, 1, strings.NewReader(strings.Repeat("old\n", 20_000)+"newest\n"))
	if err != nil || len(entries) != 5000 || entries[len(entries)-1].Detail != "newest" {
		t.Errorf("%d entries, the last %q, error %v; want the newest 5000", len(entries), entries[len(entries)-1].Detail, err)
	}
}
