package admin

import (
	"context"
	"net/http"
)

// status answers GET /status of the Admin API: always 200, also while the database is away.
func (a *api) status(c *call) (answer, error) {
	return a.plane.status(c, a.Store.Ready, a.Status)
}

// status tells how the process is and whether its database answers; it may take as long as ready does.
func (p *plane) status(c *call, ready func(context.Context) error, more func(context.Context) map[string]any) (answer, error) {
	used, err := memoryUse(c.args)
	if err != nil {
		return answer{}, err
	}
	state := map[string]any{"memory": used, "server": p.counts()}
	if more != nil {
		state = with(state, more(c.ctx))
	}
	if state["database"] == nil {
		state["database"] = map[string]any{"reachable": ready == nil || ready(c.ctx) == nil}
	}
	return ok(state), nil
}

// counts are what this handler knows of its server. Each request counts as a connection.
func (p *plane) counts() map[string]any {
	n := p.requests.Load()
	return map[string]any{
		"total_requests": n, "connections_accepted": n, "connections_handled": n,
		"connections_active": 1, "connections_reading": 0, "connections_writing": 1, "connections_waiting": 0,
	}
}

// statusEndpoints are those of the status listener.
func statusEndpoints(p *plane, o StatusOptions) {
	p.root.handle(http.MethodGet, "/status", func(c *call) (answer, error) {
		return p.status(c, o.Ready, o.Status)
	})
	p.root.handle(http.MethodGet, "/status/ready", func(c *call) (answer, error) {
		if o.Ready != nil {
			if err := o.Ready(c.ctx); err != nil {
				return message(http.StatusServiceUnavailable, err.Error()), nil
			}
		}
		return message(http.StatusOK, "ready"), nil
	})
}
