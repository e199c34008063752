// Package httplog sends what happened to each request to an HTTP server, through a queue: the
// client never waits for it, and a server that is away for a while gets all of it later, as far as
// the queue's bounds go (README.md).
package httplog

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidemark/gateway/plugin"
	"tidemark/gateway/queue"
	"tidemark/gateway/schema"
)

// warnInterval is the least time between two warnings of one queue about its legacy fields.
const warnInterval = time.Minute

// longTimeout holds where none is set: a configured 0 is nginx's own minute.
const longTimeout = time.Minute

// Options are what New needs. All of them may be zero.
type Options struct {
	Logger  *slog.Logger
	Defects plugin.LogDefects
}

type httpLog struct {
	log     *slog.Logger
	defects plugin.LogDefects
	sender  sender

	mu     sync.Mutex
	warned map[string]time.Time // when, by queue; see warn
}

// New makes the plugin.
func New(o Options) plugin.Plugin {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &httpLog{
		log: o.Logger, defects: o.Defects, warned: map[string]time.Time{},
		sender: sender{defects: o.Defects},
	}
}

func (*httpLog) Name() string  { return name }
func (*httpLog) Priority() int { return 12 }

const name = "http-log"

// Config declares the fields.
func (l *httpLog) Config() *schema.Schema {
	return &schema.Schema{Name: name, Check: check, Fields: []schema.Field{
		{Name: "http_endpoint", Type: schema.String, Required: true, Check: checkEndpoint},
		{Name: "method", Type: schema.String, Default: "POST", OneOf: []string{"POST", "PUT", "PATCH"}},
		{Name: "content_type", Type: schema.String, Default: "application/json", OneOf: []string{"application/json", "application/json; charset=utf-8"}},
		{Name: "timeout", Type: schema.Number, Default: int64(10000)},
		{Name: "keepalive", Type: schema.Number, Default: int64(60000)},
		{Name: "retry_count", Type: schema.Integer},
		{Name: "queue_size", Type: schema.Integer},
		{Name: "flush_timeout", Type: schema.Number},
		{
			Name: "headers", Type: schema.Map, Keys: &schema.Field{Type: schema.String, Check: checkHeaderName},
			Values: &schema.Field{Type: schema.String, Check: checkHeaderValue},
		},
		l.defects.QueueField(),
		{
			Name: "custom_fields_by_lua", Type: schema.Map, Check: checkLua,
			Keys: &schema.Field{Type: schema.String}, Values: &schema.Field{Type: schema.String},
		},
	}}
}

// New makes an instance. It does no I/O.
func (l *httpLog) New(config map[string]any) (plugin.Handler, error) {
	c := plugin.Read(config)
	h := &handler{httpLog: l}
	h.params, h.legacy = plugin.QueueParams(c)
	h.params.Plugin = name
	h.target = target{
		method:      c.String("method", "POST"),
		contentType: c.String("content_type", "application/json"),
		timeout:     c.Millis("timeout", 10000),
		keepalive:   c.Millis("keepalive", 60000),
		headers:     c.Texts("headers"),
		single:      h.params.MaxBatchSize == 1 && !l.defects.ArrayAlways,
	}
	if h.target.timeout <= 0 {
		h.target.timeout = longTimeout
	}
	url := c.String("http_endpoint", "")
	h.queue = queueName(url, c, l.defects)
	if l.defects.IgnoreLegacy {
		h.params.MaxBatchSize = c.Record("queue").Int("max_batch_size", 1)
		h.params.MaxCoalescingDelay = c.Record("queue").Seconds("max_coalescing_delay", 1)
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	var err error
	h.target.endpoint, err = parseEndpoint(url)
	h.deliver = func(ctx context.Context, entries []queue.Entry) error { return l.sender.send(ctx, &h.target, entries) }
	return h, err
}

// queueName is what instances must have in common to share a queue: whatever else they say, of
// their queue even, counts no more once one of them has filled it (P82).
func queueName(url string, c plugin.Reader, defects plugin.LogDefects) string {
	retries := "nil"
	if c.Has("retry_count") {
		retries = strconv.Itoa(c.Int("retry_count", 0))
	}
	timeout := plain(c.Number("timeout", 10000))
	if defects.NameWithoutTimeout {
		timeout = ""
	}
	return fmt.Sprintf("%s:%s:%s:%s:%s:%s", url, c.String("method", "POST"), c.String("content_type", "application/json"),
		timeout, plain(c.Number("keepalive", 60000)), retries)
}

func plain(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// A handler is one configured instance.
type handler struct {
	plugin.Quiet
	*httpLog
	queue   string
	params  queue.Params
	target  target
	deliver queue.Handler
	legacy  []string // warnings
}

// Log hands the exchange to the queue of the worker that served it.
func (h *handler) Log(x *plugin.Exchange, e *plugin.Entry) {
	if x.Worker == nil || h.defects.OwnAnswersUnlogged && !e.Service {
		return
	}
	h.warn(e.Bound.ID)
	e.Defects = h.defects
	to := h.queue
	switch {
	case h.defects.OneQueue:
		to = name
	case h.defects.PercentStuck && strings.Contains(to, "%"):
		return
	}
	if h.defects.NameByInstance {
		to += e.Bound.ID
	}
	err := x.Worker.Queues.Enqueue(to, h.params, h.deliver, queue.Entry{Data: plugin.Serialize(x, e), Text: true})
	if err != nil {
		h.log.Error("Failed to enqueue log entry to log server", "plugin", name, "plugin_id", e.Bound.ID, "error", err)
	}
}

// warn tells about legacy fields, at most once in warnInterval for all instances that share a
// queue (P86).
func (h *handler) warn(instance string) {
	if len(h.legacy) == 0 {
		return
	}
	now := time.Now()
	h.mu.Lock()
	due := now.Sub(h.warned[h.queue]) >= warnInterval
	if due {
		h.warned[h.queue] = now
	}
	h.mu.Unlock()
	if !due {
		return
	}
	for _, text := range h.legacy {
		h.log.Warn(text, "plugin", name, "plugin_id", instance)
	}
}
