package queue

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// levelNotice is between info and warn: what an operator sees by default although nothing is wrong.
const levelNotice = slog.LevelInfo + 2

// fullEvery is the shortest time between two lines that count what a full queue drops.
const fullEvery = 5 * time.Second

// says is what one entry gives to log. The lines are written without the lock.
type says struct {
	warn   bool   // 80 % is reached
	full   uint64 // so many were dropped since the last line about it; 0: no line
	bytes  int    // so many were dropped for their bytes
	untext bool
	err    error // the entry was refused
}

// trouble is what a queue said or has to say about being full. It outlives the queue, or a server
// that is away until all is given up would never be said to be back.
type trouble struct {
	owed    bool      // "resumed" is to be said when things are normal again
	dropped uint64    // entries, since they were
	unsaid  uint64    // of those, since the last line
	said    time.Time // of the last line
}

// dropped counts an entry that a full queue drops and returns how many are to be logged now: the
// first at once, later ones together, so that an outage does not flood the log (QUE-19).
func (q *queue) dropped() uint64 {
	t, d, now := &q.trouble, &q.s.o.Defects, time.Now()
	t.owed = true
	t.dropped++
	t.unsaid++
	if d.NoFullLine || !d.FullEvery && now.Sub(t.said) < fullEvery {
		return 0
	}
	n := t.unsaid
	t.unsaid, t.said = 0, now
	return n
}

// crossed says that 80 % is reached, once until things are normal again (QUE-18).
func (q *queue) crossed() bool {
	d := &q.s.o.Defects
	if !q.high() && !(d.EarlyWarning && 10*q.waiting.n >= 6*q.most()) || q.warned && !d.WarnEvery {
		return false
	}
	q.warned, q.trouble.owed = true, true
	return !d.NoWarning
}

// normal says that things are normal from now on: whether that is to be logged, for they were not,
// and how many entries that cost (QUE-20).
func (q *queue) normal() (resumed bool, dropped uint64) {
	resumed, dropped = q.trouble.owed && !q.s.o.Defects.NeverResumed, q.trouble.dropped
	q.trouble, q.warned = trouble{}, false
	return resumed, dropped
}

// sayResumed writes what normal said.
func (q *queue) sayResumed(resumed bool, dropped uint64) {
	if resumed {
		q.log(levelNotice, "queue resumed processing", "dropped", dropped)
	}
}

// say writes what an entry gave to log.
func (q *queue) say(s says, made bool) {
	if made {
		q.debug("queue created")
	} else {
		q.debug("queue exists")
	}
	if s.warn {
		q.log(slog.LevelWarn, "queue at 80% capacity")
	}
	if s.full > 0 {
		q.log(slog.LevelWarn, "queue full, dropping old entries until processing is successful again", "dropped", s.full)
	}
	if s.err != nil {
		q.log(slog.LevelError, s.err.Error())
	}
	if s.bytes > 0 {
		q.log(slog.LevelError, fmt.Sprintf("byte capacity exceeded, %d queue entries were dropped", s.bytes))
	}
	if s.untext {
		q.log(slog.LevelError, "queuing non-string entry to a queue that has queue.max_bytes set, capacity monitoring will not be correct")
	}
}

// log writes one line that names the queue and whose it is.
func (q *queue) log(level slog.Level, text string, args ...any) {
	args = append(args, "queue", q.name)
	if q.plugin != "" {
		args = append(args, "plugin", q.plugin)
	}
	q.s.o.Logger.Log(context.Background(), level, text, args...)
}

// debug costs nothing unless somebody listens.
func (q *queue) debug(text string) {
	if q.s.o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		q.log(slog.LevelDebug, text)
	}
}

// debugf is debug with a number.
func (q *queue) debugf(format string, n int) {
	if q.s.o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		q.log(slog.LevelDebug, fmt.Sprintf(format, n))
	}
}
