package toxics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	answerWithin = 2 * time.Second        // in which a sound wire answers a canary, on a busy machine too
	shortest     = 20 * time.Millisecond  // of a silence that means something
	grace        = 100 * time.Millisecond // for what was under way when a fault began
	tooEarly     = 50 * time.Millisecond
	tooLate      = 300 * time.Millisecond
)

// question is what a canary asks the server at a wire's far end: something that it answers at once and does
// not count. A PostgreSQL server is asked whether it speaks TLS: it answers with one byte, needs no user, and
// then waits.
func (w Wire) question() []byte {
	if w == LogServer {
		return []byte("HEAD / HTTP/1.1\r\nHost: canary\r\n\r\n")
	}
	return []byte{0, 0, 0, 8, 4, 210, 22, 47}
}

// A Disturbance is a fault in force on one proxy, or past, with what its canaries saw.
type Disturbance struct {
	proxy *Proxy
	fault Fault
	asked time.Time
	old   *canary // connected before the fault
	young *canary // connected during it; nil where it was refused

	mu       sync.Mutex
	against  []string // what speaks against the fault having taken hold
	evidence []string
	healed   bool
}

// Inflict applies the fault to the wire. A wire that was broken already, or a fault that did not take hold,
// is no error: the disturbance has no witness then.
func (p *Proxy) Inflict(ctx context.Context, f Fault) (*Disturbance, error) {
	d := &Disturbance{proxy: p, fault: f}
	rtt, err := roundTrip(ctx, p.Addr(), f.Wire)
	d.note(err == nil, say("a canary passed before in %v", rtt), say("no canary passed before: %v", err))
	if d.old, err = connect(ctx, p.Addr(), f.Wire); err != nil {
		d.note(false, "", say("no canary connected before: %v", err))
	}
	if err := p.server.call(ctx, "inflict "+f.Name+" on "+p.Name(), func() error { return p.inflict(f) }); err != nil {
		d.old.close()
		return nil, err
	}
	d.asked = time.Now()
	d.old.ask()
	if f.Down {
		d.note(refused(ctx, p.Addr(), f.Wire), "new connections were refused", "new connections were let in")
	} else if d.young, err = connect(ctx, p.Addr(), f.Wire); err == nil {
		d.young.ask()
	}
	return d, nil
}

// refused waits until nobody takes connections any more. The system may take some for a listener that
// was closed while a process was being forked; they are reset when that one runs.
func refused(ctx context.Context, addr string, w Wire) bool {
	tick := time.NewTicker(lingering / 20)
	defer tick.Stop()
	for range 20 {
		c, err := connect(ctx, addr, w)
		if err != nil {
			return ctx.Err() == nil
		}
		c.close()
		<-tick.C
	}
	return false
}

// note keeps one observation: yes where it is as the fault would have it, no where it speaks against.
func (d *Disturbance) note(good bool, yes, no string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if good {
		d.evidence = append(d.evidence, yes)
	} else {
		d.against = append(d.against, no)
	}
}

var say = fmt.Sprintf

// Name returns the disturbed wire's name.
func (d *Disturbance) Name() string { return d.proxy.Name() }

// Heal ends the fault. clientGone says that the process at the wire's near end died. It waits for at most
// two seconds for the canaries to show that the wire is sound again. Again: nothing.
func (d *Disturbance) Heal(ctx context.Context, clientGone bool) error {
	d.mu.Lock()
	again := d.healed
	d.healed = true
	d.mu.Unlock()
	if again {
		return nil
	}
	defer d.old.close()
	defer d.young.close()
	d.during(ctx)
	p := d.proxy
	if err := p.server.call(ctx, "heal "+d.fault.Name+" on "+p.Name(), func() error { return p.heal(d.fault, clientGone) }); err != nil {
		d.note(false, "", say("it could not be healed: %v", err))
		return err
	}
	d.after(ctx, clientGone)
	return nil
}

// during waits until silence means something, and keeps what the canaries see just before the fault ends.
func (d *Disturbance) during(ctx context.Context) {
	rest := time.Until(d.asked.Add(shortest))
	if d.fault.Delay == 0 && rest > 0 { // else the answer may be under way
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	for _, f := range d.look() {
		d.note(f.good, f.text, f.text)
	}
}

type finding struct {
	good bool
	text string
}

// look judges what the canaries have seen of the fault until now.
func (d *Disturbance) look() (all []finding) {
	window := time.Since(d.asked).Round(time.Millisecond)
	for _, c := range []*canary{d.old, d.young} {
		if c == nil {
			continue
		}
		at, err := c.peek()
		took := at.Sub(d.asked)
		silent := errors.Is(err, errSilent)
		switch {
		case d.fault.Down && err != nil && !silent:
			all = append(all, finding{true, "a canary's connection was closed"})
		case d.fault.Down:
			all = append(all, finding{false, "a canary's connection stayed open"})
		case d.fault.Delay > 0 && err == nil:
			all = append(all, finding{Within(took, d.fault.Delay), say("a canary was answered after %v", took.Round(time.Millisecond))})
		case silent:
			all = append(all, finding{d.fault.Delay == 0 || window < d.fault.Delay+tooLate, say("a canary heard nothing for %v", window)})
		default:
			all = append(all, finding{false, say("a canary was not kept waiting (%v)", err)})
		}
	}
	if d.fault.Answers && d.fault.Delay == 0 {
		last := d.proxy.Answered().Sub(d.asked)
		all = append(all, finding{last <= grace, say("the server last sent something %v after the fault began", max(0, last))})
	}
	return all
}

// after looks at them, and at a new one, when it has ended.
func (d *Disturbance) after(ctx context.Context, clientGone bool) {
	for _, c := range []*canary{d.old, d.young} {
		if c == nil || d.fault.Down || clientGone {
			continue
		}
		err := c.wait(ctx)
		if d.fault.Answers {
			d.note(err == nil, "it was answered afterwards", say("it was not answered afterwards: %v", err))
		} else {
			d.note(err != nil && !errors.Is(err, errSilent), "its connection was closed afterwards", "its connection outlived the fault")
		}
	}
	rtt, err := roundTrip(ctx, d.proxy.Addr(), d.fault.Wire)
	d.note(err == nil, say("a canary passed after it in %v", rtt), say("no canary passed after it: %v", err))
}

// Within says whether what was delayed by a fault came as late as it should: up to 50 ms less, and 300
// ms more, are the machine's.
func Within(took, delay time.Duration) bool {
	return took >= delay-tooEarly && took <= delay+tooLate
}

// Witnessed says whether the fault took hold as far as is known now, and, once it was healed, whether it
// ended; and what shows it.
func (d *Disturbance) Witnessed() (bool, []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	against, evidence := slices.Clone(d.against), slices.Clone(d.evidence)
	if !d.healed {
		for _, f := range d.look() {
			if f.good {
				evidence = append(evidence, f.text)
			} else {
				against = append(against, f.text)
			}
		}
	}
	if len(against) > 0 {
		return false, against
	}
	return true, evidence
}

// errSilent says that a canary waits for an answer.
var errSilent = errors.New("no answer")

// A canary is one connection that asks one question. A nil canary does nothing.
type canary struct {
	conn net.Conn
	wire Wire
	done chan struct{} // closed when an answer came or the connection broke
	at   time.Time
	err  error
}

func connect(ctx context.Context, addr string, w Wire) (*canary, error) {
	conn, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &canary{conn: conn, wire: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_, c.err = io.ReadFull(conn, make([]byte, 1))
		c.at = time.Now()
	}()
	return c, nil
}

func (c *canary) ask() {
	if c != nil {
		_, _ = c.conn.Write(c.wire.question()) // a closed connection is what the reader finds out
	}
}

// peek returns when the answer came; errSilent where there is none yet, or why there will be none.
func (c *canary) peek() (time.Time, error) {
	select {
	case <-c.done:
		return c.at, c.err
	default:
		return time.Time{}, errSilent
	}
}

// wait waits for an answer or the connection's end.
func (c *canary) wait(ctx context.Context) error {
	timer := time.NewTimer(answerWithin)
	defer timer.Stop()
	select {
	case <-c.done:
		return c.err
	case <-timer.C:
		return errSilent
	case <-ctx.Done():
		return errors.Join(errSilent, ctx.Err())
	}
}

func (c *canary) close() {
	if c != nil {
		_ = c.conn.Close()
		<-c.done
	}
}

// roundTrip asks and is answered on a new connection.
func roundTrip(ctx context.Context, addr string, w Wire) (time.Duration, error) {
	began := time.Now()
	c, err := connect(ctx, addr, w)
	if err != nil {
		return 0, err
	}
	defer c.close()
	c.ask()
	if err := c.wait(ctx); errors.Is(err, errSilent) {
		return 0, fmt.Errorf("no answer in %v: %w", answerWithin, os.ErrDeadlineExceeded)
	} else if err != nil {
		return 0, err
	}
	return time.Since(began).Round(time.Microsecond), nil
}
