package plugin

import (
	"net/http"
	"time"

	"tidemark/gateway/queue"
	"tidemark/gateway/schema"
)

// A Logger is a [Handler] that wants to know how its exchanges end.
type Logger interface {
	// Log runs once the answer is out, whoever gave it, the gateway's own answers included, and
	// also when the client went away. It must not block (QUE-01, QUE-05): the next request of the
	// same connection waits for it, so that what one client does is told in order.
	Log(x *Exchange, entry *Entry)
}

// A Worker is one acceptor of the proxy with what it shares with no other (QUE-11, QRF-09). Here
// it is no process: all workers of a node live and die together.
type Worker struct {
	ID     int // from 0
	Queues *queue.Set
}

// An Entry is what is known of an exchange that has ended.
type Entry struct {
	Bound Bound // the instance that logs

	Started time.Time // when the request's headers were there
	Asked   time.Time // when it went to the service; zero: never
	Heard   time.Time // when the service's headers, or its last failure, came back
	Ended   time.Time
	Tries   []Try
	Service bool // the answer is the service's, not the gateway's own

	Status       int         // 499: the client left before there was an answer
	Header       http.Header // as it was sent; a name without values was not
	RequestSize  int64       // bytes, headers included
	ResponseSize int64       // bytes, headers included

	Defects LogDefects // of who logs

	text []byte // see Serialize
}

// A Try is one attempt to reach a service.
type Try struct {
	Start   time.Time
	Chosen  time.Duration // what it took to choose the address
	Address string        // IP:port, or the name where none was found
	Status  int           // 502 or 504 where there was no answer
	Failed  bool
}

// QueueDefects break the queues.
type QueueDefects = queue.Defects

// LogDefects break log plugins, each in one named way. The zero value is the sound gateway.
type LogDefects struct {
	NotFoundDelivered  bool // a 404 counts as delivered
	RedirectDelivered  bool // a 302 counts as delivered
	AcceptedFailed     bool // a 2xx other than 200 counts as failed
	NameWithoutTimeout bool // plugins that differ in nothing but the timeout share a queue
	NameByInstance     bool // every instance has a queue of its own
	ForgetTimeout      bool // a delivery waits for its answer for ever
	ArrayAlways        bool // a single entry is an array, although max_batch_size is 1
	ShowAuthorization  bool // an entry shows the Authorization header
	KeepQuery          bool // the query of the endpoint is sent along
	NewBody            bool // each try of a batch has another body
	OwnAnswersUnlogged bool // what the gateway answers itself is not logged
	IgnoreLegacy       bool // queue_size and flush_timeout have no effect
	OneQueue           bool // all instances share one queue, whatever their endpoint
	PercentStuck       bool // an endpoint with a percent sign gets nothing
	HostWithoutPort    bool // deliveries name the host without its port
	BareEntry          bool // an entry names neither route nor service
	OtherDefaults      bool // the parameters of a queue have other defaults than the documented ones
	Unchecked          bool // the parameters of a queue may have any value
}

// QueueField is the record "queue" as it is declared with these defects.
func (d LogDefects) QueueField() schema.Field {
	f := QueueField()
	for i := range f.Fields {
		if d.OtherDefaults {
			f.Fields[i].Default = int64(-1)
		}
		if d.Unchecked {
			f.Fields[i].Between, f.Fields[i].OneOf, f.Fields[i].Check = nil, nil, nil
		}
	}
	return f
}
