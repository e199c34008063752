package toxics

import (
	"bytes"
	"slices"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/toxics"
)

const (
	stallType   = "stall"
	observeType = "observe"
)

// stall lets nothing through. Bytes wait where they are, in order, and the sender's own buffers fill;
// removing the toxic sends them on.
type stall struct{}

// Pipe blocks until the toxic is removed.
func (*stall) Pipe(stub *toxiproxy.ToxicStub) { <-stub.Interrupt }

// observe lets everything through, and counts it in the [traffic] of its key.
type observe struct {
	Key      string `json:"key"`
	ToServer bool   `json:"to_server"`
}

// NewState is called for each connection: the end of the last chunk, where a pattern may begin.
func (*observe) NewState() any { return new([]byte) }

// Pipe runs for one direction of one connection until it ends or a toxic is added behind.
func (o *observe) Pipe(stub *toxiproxy.ToxicStub) {
	t := trafficOf(o.Key)
	tail, _ := stub.State.(*[]byte)
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			t.note(o.ToServer, c.Data, c.Timestamp, tail)
			stub.Output <- c
		}
	}
}

// A traffic is what passed through one proxy.
type traffic struct {
	pattern []byte

	mu                   sync.Mutex
	toServer, fromServer uint64
	lastFromServer       time.Time
	seen                 []time.Time
}

// trafficByKey leads from a toxic to its traffic. It is the one thing shared by all of this process:
// toxiproxy makes toxics itself, of a type and a piece of JSON, and leaves no other door.
var trafficByKey sync.Map // string to *traffic

func trafficOf(key string) *traffic {
	t, found := trafficByKey.Load(key)
	if !found {
		return &traffic{} // the proxy is gone; its last bytes count for nobody
	}
	return t.(*traffic)
}

// note counts a chunk and finds the pattern in what the client sends, also across two chunks.
func (t *traffic) note(toServer bool, data []byte, at time.Time, tail *[]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !toServer {
		t.fromServer += uint64(len(data))
		t.lastFromServer = at
		return
	}
	t.toServer += uint64(len(data))
	if len(t.pattern) == 0 || tail == nil {
		return
	}
	text := append(*tail, data...)
	if bytes.Contains(text, t.pattern) {
		t.seen = append(t.seen, at)
		*tail = nil
		return
	}
	*tail = slices.Clone(text[max(0, len(text)-len(t.pattern)+1):])
}
