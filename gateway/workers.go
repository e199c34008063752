package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"tidemark/gateway/plugin"
	"tidemark/gateway/proxy"
	"tidemark/gateway/queue"
)

// hire gives the node its workers: each has queues of its own (QUE-11).
func (n *node) hire() {
	for id := range n.cfg.Workers {
		queues := queue.New(queue.Options{Logger: n.log.With("worker", id), Defects: n.cfg.Defects.Queue})
		n.workers = append(n.workers, &plugin.Worker{ID: id, Queues: queues})
	}
}

// flush delivers what the queues of all workers hold, for at most queue_flush_timeout, and says how
// much is lost (QUE-24, QUE-25). It is for after the last request: what comes later is not waited for.
func (n *node) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.QueueFlushTimeout)
	defer cancel()
	lost := make([]int, len(n.workers))
	var flushing sync.WaitGroup
	for i, w := range n.workers {
		flushing.Go(func() { lost[i] = w.Queues.Flush(ctx) })
	}
	flushing.Wait()
	total := 0
	for _, l := range lost {
		total += l
	}
	if total > 0 && !n.cfg.Defects.Node.LossUnsaid {
		n.log.Error("queues could not be flushed in time, their entries are lost", "entries", total, "queue_flush_timeout", n.cfg.QueueFlushTimeout)
	}
}

// proxies are the data plane, one for each worker.
func (n *node) proxies() []http.Handler {
	transport := proxy.NewTransport()
	all := make([]http.Handler, 0, len(n.workers))
	for _, w := range n.workers {
		if n.cfg.Defects.Node.SharedQueues {
			w = n.workers[0]
		}
		all = append(all, proxy.New(proxy.Options{
			Live: n.live, Logger: n.log, Defects: n.cfg.Defects.Proxy, Transport: transport, Worker: w, Refuse: oversized,
		}))
	}
	return all
}

// timers is this node's part of GET /timers: one job for each queue that holds entries (QUE-21).
// All workers show, those after the first by their numbers.
func (n *node) timers() map[string]any {
	jobs := map[string]any{}
	workspace := n.live.Current().Workspace
	for _, w := range n.workers {
		for _, job := range w.Queues.Jobs() {
			name := "queue " + workspace + "." + job.Name
			if w.ID > 0 {
				name += " #" + strconv.Itoa(w.ID)
			}
			jobs[name] = map[string]any{
				"name": name, "is_running": true,
				"meta":  map[string]any{"name": name, "callstack": "debug off"},
				"stats": map[string]any{"waiting": job.Waiting, "resident": job.Resident, "since": moment(job.Since), "worker": w.ID},
			}
		}
	}
	return map[string]any{
		"worker": map[string]any{"id": 0, "count": len(n.workers)},
		"stats": map[string]any{
			"timers": jobs, "flamegraph": map[string]any{"running": "", "pending": "", "elapsed_time": ""},
			"sys": map[string]any{"total": len(jobs), "running": len(jobs), "pending": 0, "waiting": 0, "runs": len(jobs)},
		},
	}
}
