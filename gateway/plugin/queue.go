package plugin

import (
	"errors"
	"time"

	"tidemark/gateway/queue"
	"tidemark/gateway/schema"
)

// QueueField declares the record "queue", the same in every log plugin (QUE-03, QUE-14, QRF-01 to 08).
func QueueField() schema.Field {
	return schema.Field{Name: "queue", Type: schema.Record, Required: true, Fields: []schema.Field{
		{Name: "max_batch_size", Type: schema.Integer, Default: int64(1), Between: []float64{1, 1_000_000}},
		{Name: "max_coalescing_delay", Type: schema.Number, Default: int64(1), Between: []float64{0, 3600}},
		{Name: "max_entries", Type: schema.Integer, Default: int64(10000), Between: []float64{1, 1_000_000}},
		{Name: "max_bytes", Type: schema.Integer},
		{Name: "max_retry_time", Type: schema.Number, Default: int64(60)},
		{Name: "initial_retry_delay", Type: schema.Number, Default: 0.01, Check: checkDelay},
		{Name: "max_retry_delay", Type: schema.Number, Default: int64(60), Check: checkDelay},
		{Name: "concurrency_limit", Type: schema.Integer, Default: int64(1), OneOf: []string{"-1", "1"}},
	}}
}

// checkDelay has a lower bound that the wire's message rounds.
func checkDelay(value any) error {
	n, isFloat := value.(float64)
	if i, isInt := value.(int64); isInt {
		n, isFloat = float64(i), true
	}
	if !isFloat || !(n >= 0.001 && n <= 1e6) {
		return errors.New("value should be between 0 and 1000000")
	}
	return nil
}

// QueueParams reads what a log plugin's configuration says of its queue, and the warnings that its
// legacy fields call for: queue_size and flush_timeout still rule, retry_count no longer does.
// Values that once were defaults count as unset.
func QueueParams(config Reader) (queue.Params, []string) {
	q := config.Record("queue")
	p := queue.Params{
		MaxBatchSize:       q.Int("max_batch_size", 1),
		MaxCoalescingDelay: q.Seconds("max_coalescing_delay", 1),
		MaxEntries:         q.Int("max_entries", 10000),
		MaxBytes:           int64(q.Int("max_bytes", 0)),
		HasMaxBytes:        q.Has("max_bytes"),
		MaxRetryTime:       q.Seconds("max_retry_time", 60),
		InitialRetryDelay:  q.Seconds("initial_retry_delay", 0.01),
		MaxRetryDelay:      q.Seconds("max_retry_delay", 60),
		ConcurrencyLimit:   q.Int("concurrency_limit", 1),
	}
	var warnings []string
	if config.Int("retry_count", oldRetryCount) != oldRetryCount {
		warnings = append(warnings, "the retry_count parameter no longer works, please update your configuration to use initial_retry_delay and max_retry_time instead")
	}
	if n := config.Int("queue_size", oldQueueSize); n != oldQueueSize {
		warnings = append(warnings, "the queue_size parameter is deprecated, please update your configuration to use queue.max_batch_size instead")
		p.MaxBatchSize = n
	}
	if d := config.Seconds("flush_timeout", oldFlushTimeout); d != oldFlushTimeout*time.Second {
		warnings = append(warnings, "the flush_timeout parameter is deprecated, please update your configuration to use queue.max_coalescing_delay instead")
		p.MaxCoalescingDelay = d
	}
	return p, warnings
}

// The defaults that the legacy fields had; flush_timeout is in seconds.
const (
	oldRetryCount   = 10
	oldQueueSize    = 1
	oldFlushTimeout = 2
)
