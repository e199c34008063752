package event

import (
	"testing"
	"time"
)

// noon is when the tables' servers were seen last.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func primary() Server {
	return Server{System: "7001", Started: noon.Add(-time.Hour), StatsReset: noon.Add(-time.Hour), Timeline: 1, Table: 16400, Position: 1000}
}

func replica() Server {
	s := primary()
	s.InRecovery = true
	return s
}

func with(s Server, change func(*Server)) Server {
	change(&s)
	return s
}

func TestContinuity(t *testing.T) {
	at := func(s Server) place {
		return place{server: s, xmin: 700, xmax: 710, now: noon, seen: map[string]uint64{"a": 701}, deleters: map[uint64]bool{702: true}}
	}
	good := func(s Server) Batch {
		return Batch{Server: s, Xmin: 705, Xmax: 720, Now: noon.Add(5 * time.Second)}
	}
	batch := func(change func(*Batch)) Batch {
		b := good(primary())
		change(&b)
		return b
	}
	for _, rule := range []struct {
		name string
		was  place
		is   Batch
		want string
	}{
		{"the same server further on", at(primary()), good(primary()), ""},
		{"the same replica further on", at(replica()), good(replica()), ""},
		{"nothing happened", at(primary()), batch(func(b *Batch) { b.Xmin, b.Xmax, b.Now = 700, 710, noon }), ""},
		{"another system", at(primary()), good(with(primary(), func(s *Server) { s.System = "7002" })), "another database answers: its system identifier changed"},
		{"promotion", at(replica()), good(primary()), "the database server was promoted"},
		{"demotion", at(primary()), good(replica()), "the database server became a replica"},
		{"another timeline", at(primary()), good(with(primary(), func(s *Server) { s.Timeline = 2 })), "the database server is on another timeline"},
		{"restart", at(primary()), good(with(primary(), func(s *Server) { s.Started = noon })), "the database server was restarted"},
		{"crash of a backend", at(primary()), good(with(primary(), func(s *Server) { s.StatsReset = noon })), "the database server recovered from a crash"},
		{"table made anew", at(primary()), good(with(primary(), func(s *Server) { s.Table = 17000 })), "the event log was made anew"},
		{"a primary that lost its last writes", at(primary()), good(with(primary(), func(s *Server) { s.Position = 999 })), "the database server went back in its own history"},
		{"xmin went back", at(primary()), batch(func(b *Batch) { b.Xmin = 699 }), "transaction numbers went back"},
		{"xmax went back", at(primary()), batch(func(b *Batch) { b.Xmax = 709 }), "transaction numbers went back"},
		{"away for as long as events live", at(primary()), batch(func(b *Batch) { b.Now = noon.Add(time.Hour) }), ""},
		{"away for longer", at(primary()), batch(func(b *Batch) { b.Now = noon.Add(time.Hour + time.Second) }), "no poll succeeded for 1h0m1s, longer than events are kept"},
		{"an event gone at the fetch", at(primary()), batch(func(b *Batch) { b.Gone = []string{"x"} }), "an event was deleted while it was read"},
		{"a deletion of what was read", at(primary()), batch(func(b *Batch) { b.Deletions = []Deletion{{XID: 711, Highest: 699}} }), ""},
		{"a deletion at the horizon", at(primary()), batch(func(b *Batch) { b.Deletions = []Deletion{{XID: 711, Highest: 700}} }), "events were deleted before they were read"},
		{"a deletion judged before", at(primary()), batch(func(b *Batch) { b.Deletions = []Deletion{{XID: 702, Highest: 701}} }), ""},
		{"a truncation", at(primary()), batch(func(b *Batch) { b.Deletions = []Deletion{{XID: 711, Highest: 1<<64 - 1}} }), "events were deleted before they were read"},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if got := rule.was.broken(rule.is, time.Hour); got != rule.want {
				t.Errorf("got %q, want %q", got, rule.want)
			}
		})
	}
}

func TestBehind(t *testing.T) {
	for _, rule := range []struct {
		name      string
		last, now Server
		want      bool
	}{
		{"an older replica", replica(), with(replica(), func(s *Server) { s.Position = 900 }), true},
		{"an older replica, started later", replica(), with(replica(), func(s *Server) { s.Position, s.Started = 900, noon }), true},
		{"as far", replica(), replica(), false},
		{"further", replica(), with(replica(), func(s *Server) { s.Position = 1100 }), false},
		{"another system", replica(), with(replica(), func(s *Server) { s.Position, s.System = 900, "7002" }), false},
		{"another timeline", replica(), with(replica(), func(s *Server) { s.Position, s.Timeline = 900, 2 }), false},
		{"a primary never catches up with what it lost", primary(), with(primary(), func(s *Server) { s.Position = 900 }), false},
		{"the first answer", Server{}, replica(), false},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if got := rule.now.Behind(rule.last); got != rule.want {
				t.Errorf("got %t, want %t", got, rule.want)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	for _, rule := range []struct {
		name         string
		at, nbf, now time.Time
		want         time.Duration
	}{
		{"none", noon, time.Time{}, noon, 0},
		{"just written", noon, noon.Add(3 * time.Second), noon, 3 * time.Second},
		{"read a while later", noon, noon.Add(3 * time.Second), noon.Add(1200 * time.Millisecond), 1800 * time.Millisecond},
		{"long over", noon, noon.Add(3 * time.Second), noon.Add(time.Minute), 0},
		{"the reader's clock is an hour late", noon, noon.Add(3 * time.Second), noon.Add(-time.Hour), 3 * time.Second},
		{"before it was written", noon, noon.Add(-time.Second), noon.Add(-time.Hour), 0},
	} {
		t.Run(rule.name, func(t *testing.T) {
			if got := delay(Event{At: rule.at, NotBefore: rule.nbf}, rule.now); got != rule.want {
				t.Errorf("got %s, want %s", got, rule.want)
			}
		})
	}
}

func TestNextPlace(t *testing.T) {
	was := place{server: primary(), xmin: 700, xmax: 710, now: noon, stuck: noon.Add(-time.Minute), seen: map[string]uint64{"old": 700}}
	b := Batch{
		Server: primary(), Xmin: 705, Xmax: 720, Now: noon.Add(time.Second),
		Listed:    map[string]uint64{"old": 700, "below": 704, "at": 705, "above": 719},
		Deletions: []Deletion{{XID: 704}, {XID: 706}},
	}
	n := was.next(b)
	if n.xmin != 705 || n.xmax != 720 || len(n.seen) != 2 || n.seen["at"] != 705 || n.seen["above"] != 719 {
		t.Errorf("place %+v: ids below the new horizon are forgotten, the others are seen", n)
	}
	if len(n.deleters) != 1 || !n.deleters[706] {
		t.Errorf("deleters %v, want 706 only", n.deleters)
	}
	if n.age() != 0 {
		t.Errorf("age %s of a horizon that has just moved", n.age())
	}
	b.Xmin, b.Now = 705, noon.Add(time.Minute)
	if n = n.next(b); n.age() != 59*time.Second {
		t.Errorf("age %s, want 59 s since the horizon moved", n.age())
	}
	b.Xmin = b.Xmax
	if n = n.next(b); n.age() != 0 {
		t.Errorf("age %s with no transaction open", n.age())
	}
}
