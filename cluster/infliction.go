package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tidemark/fixtures/postgres"
	"tidemark/history"
	"tidemark/toxics"
)

// An Infliction is a fault in force, or past. Safe for concurrent use.
type Infliction struct {
	fault toxics.Fault
	node  int // 0: the replica
	from  time.Time
	wires []*toxics.Disturbance
	heal  func(ctx context.Context) error

	mu       sync.Mutex
	to       time.Time // zero while it is in force
	against  []string
	evidence []string
}

// Fault tells it as the report does, with its witness so far.
func (i *Infliction) Fault() history.Fault {
	witnessed, evidence := i.Witnessed()
	i.mu.Lock()
	defer i.mu.Unlock()
	to := i.to
	if to.IsZero() {
		to = time.Now()
	}
	return history.Fault{
		Name: i.fault.Name, Wire: string(i.fault.Wire), Node: i.node, From: i.from, To: to,
		Witnessed: witnessed, Evidence: evidence,
	}
}

// Witnessed says whether the fault took hold, as far as is known now, and what shows it or speaks against it.
func (i *Infliction) Witnessed() (bool, string) {
	i.mu.Lock()
	against, evidence := append([]string(nil), i.against...), append([]string(nil), i.evidence...)
	i.mu.Unlock()
	for _, d := range i.wires {
		if yes, why := d.Witnessed(); yes {
			evidence = append(evidence, d.Name()+": "+strings.Join(why, ", "))
		} else {
			against = append(against, d.Name()+": "+strings.Join(why, ", "))
		}
	}
	if len(against) > 0 {
		return false, strings.Join(against, "; ")
	}
	return true, strings.Join(evidence, "; ")
}

// note keeps one observation: yes where it is as the fault would have it, no where it speaks against.
func (i *Infliction) note(good bool, yes, no string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if good {
		i.evidence = append(i.evidence, yes)
	} else {
		i.against = append(i.against, no)
	}
}

func (i *Infliction) end(at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.to.IsZero() {
		i.to = at
	}
}

// during says whether the moment lies in the fault.
func (i *Infliction) during(at time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return !at.Before(i.from) && (i.to.IsZero() || !at.After(i.to))
}

// disturb applies a fault to all wires given, or to none.
func disturb(ctx context.Context, f toxics.Fault, node int, wires []*toxics.Proxy, gone func() bool) (*Infliction, error) {
	i := &Infliction{fault: f, node: node, from: time.Now(), wires: make([]*toxics.Disturbance, len(wires))}
	numbers := make([]int, len(wires))
	for n := range numbers {
		numbers[n] = n
	}
	i.heal = func(ctx context.Context) error {
		return together(i.wires, func(d *toxics.Disturbance) error {
			if d == nil {
				return nil
			}
			return d.Heal(ctx, gone())
		})
	}
	err := together(numbers, func(n int) (err error) {
		i.wires[n], err = wires[n].Inflict(ctx, f)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, i.heal(context.WithoutCancel(ctx)))
	}
	return i, nil
}

// disturbReplica applies a fault to a cell's replica. Its positions are the witness.
func disturbReplica(ctx context.Context, c *Cell, f toxics.Fault) (*Infliction, error) {
	if f.PauseReplay {
		return freezeReplica(ctx, c.pair, f)
	}
	i, err := disturb(ctx, f, 0, []*toxics.Proxy{c.wal}, func() bool { return false })
	if err != nil || f.Delay == 0 {
		return i, err
	}
	beats, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beating sync.WaitGroup
	beating.Go(func() { i.watchLag(beats, c.pair) })
	wires := i.heal
	i.heal = func(ctx context.Context) error {
		stop()
		beating.Wait()
		if err := wires(ctx); err != nil {
			return err
		}
		return i.catchUp(ctx, c.pair)
	}
	return i, nil
}

// watchLag marks the primary's log, over and over, and notes how long the replica takes to each mark,
// until the context ends.
func (i *Infliction) watchLag(ctx context.Context, pair *postgres.Pair) {
	for ctx.Err() == nil {
		began := time.Now()
		mark, err := pair.Beat(context.WithoutCancel(ctx))
		if err != nil {
			i.note(false, "", err.Error())
			return
		}
		pass(ctx, i.fault.Delay-50*time.Millisecond)
		for {
			at, err := pair.ReplayLSN(context.WithoutCancel(ctx))
			took := time.Since(began)
			switch {
			case err != nil:
				i.note(false, "", err.Error())
				return
			case at >= mark.Content():
				saw := fmt.Sprintf("the replica replayed a mark after %v", took.Round(time.Millisecond))
				i.note(toxics.Within(took, i.fault.Delay), saw, saw)
			case ctx.Err() != nil:
				i.note(true, fmt.Sprintf("a mark was not replayed after %v", took.Round(time.Millisecond)), "")
				return
			default:
				pass(ctx, 5*time.Millisecond)
				continue
			}
			break
		}
	}
}

// pass waits, or until the context ends.
func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// catchUp notes whether the replica is sound again.
func (i *Infliction) catchUp(ctx context.Context, pair *postgres.Pair) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := pair.CaughtUp(ctx); err != nil {
		i.note(false, "", "the replica did not catch up: "+err.Error())
		return err
	}
	i.note(true, fmt.Sprintf("the replica caught up in %v", time.Since(began).Round(time.Millisecond)), "")
	return nil
}

func freezeReplica(ctx context.Context, pair *postgres.Pair, f toxics.Fault) (*Infliction, error) {
	i := &Infliction{fault: f, from: time.Now()}
	if err := pair.PauseReplay(ctx); err != nil {
		return nil, err
	}
	stood, err := pair.ReplayLSN(ctx)
	if err != nil {
		return nil, err
	}
	mark, err := pair.Beat(ctx)
	if err != nil {
		return nil, err
	}
	i.note(stood < mark, fmt.Sprintf("replay stands at %s, before %s", stood, mark), "nothing is there to be held back")
	i.heal = func(ctx context.Context) error {
		at, err := pair.ReplayLSN(ctx)
		i.note(err == nil && at == stood, "and stood there until the end", fmt.Sprintf("replay went on to %s (%v)", at, err))
		if err := pair.ResumeReplay(ctx); err != nil {
			return err
		}
		return i.catchUp(ctx, pair)
	}
	return i, nil
}
