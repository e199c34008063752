package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"

	"tidemark/history"
	"tidemark/steps/stage"
)

// The services that requests are sent to, by path and name.
const first, second = "/dogs", "/cats"

// Every cell is clean, so plugins have the same ids in each scenario.
const (
	pluginID = "5e6f1c1e-0000-4000-8000-000000000101"
	otherID  = "5e6f1c1e-0000-4000-8000-000000000102"
)

type fields = map[string]any

// Set states a parameter of the plugins that later sentences make: of "queue" or of the "plugin" itself. Numbers
// are numbers.
func (l *Ledger) Set(of, name, value string) error {
	into := l.plugin
	if of == "queue" {
		into = l.queue
	}
	into[name] = parsed(value)
	return nil
}

func parsed(value string) any {
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	if n, err := strconv.ParseFloat(value, 64); err == nil {
		return n
	}
	return value
}

// Upstream has the services' upstream answer late by some milliseconds.
func (l *Ledger) Upstream(ms int) error {
	l.upstream = fmt.Sprintf("/delay/%d", ms)
	return nil
}

// Log makes a service whose requests are logged to the log server.
func (l *Ledger) Log(ctx context.Context) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	return l.log(ctx, first, pluginID, l.s.Cluster.LogServerAddr(), nil)
}

// LogSecond makes another one. How: "alike", "with another timeout", "to nobody" or "to a place that hangs".
func (l *Ledger) LogSecond(ctx context.Context, how string) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	to, more := l.s.Cluster.LogServerAddr(), fields{}
	switch how {
	case "alike":
	case "with another timeout":
		more["timeout"] = 9000
	case "to nobody":
		to = l.s.Cluster.NobodyAddr()
	case "to a place that hangs":
		more["path"] = "/stuck"
		c := l.conduct
		c.Hang = true
		l.s.Cluster.LogServer().Behave("/stuck", c)
	default:
		return fmt.Errorf("log a second service %q: it is alike, with another timeout, to nobody or to a place that hangs", how)
	}
	return l.log(ctx, second, otherID, to, more)
}

func (l *Ledger) log(ctx context.Context, service, id, to string, more fields) error {
	name := service[1:]
	began := l.s.History.Now()
	err := l.s.Call(
		ctx, 1, stage.Post("/services", fields{"name": name, "url": "http://{upstream}" + l.upstream}),
		stage.Post("/services/"+name+"/routes", fields{"paths": []string{service}}),
		stage.Post("/services/"+name+"/plugins", fields{"id": id, "name": "http-log", "config": l.config(to, more)}),
	)
	l.acts()
	l.memory, _ = l.s.Cluster.Node(1).Memory() // where it cannot be told, the judgment says so
	if err == nil && l.s.Spec.Nodes > 1 {
		err = l.s.Heard(ctx, began)
	}
	return err
}

// config is what the sentences have said, with the endpoint. "path" is where on the log server.
func (l *Ledger) config(to string, more fields) fields {
	config := maps.Clone(l.plugin)
	maps.Copy(config, more)
	where, _ := config["path"].(string)
	delete(config, "path")
	config["http_endpoint"] = "http://" + to + where
	if len(l.queue) > 0 {
		config["queue"] = maps.Clone(l.queue)
	}
	return config
}

// RefuseAll has a plugin of the gateway answer for the first service.
func (l *Ledger) RefuseAll(ctx context.Context) error {
	l.answered = http.StatusForbidden
	return l.s.Call(ctx, 1, stage.Post("/services"+first+"/plugins", fields{"name": "request-termination", "config": fields{"status_code": l.answered}}))
}

// LogMany makes many services whose requests are logged to nobody, and sends one request to each.
func (l *Ledger) LogMany(ctx context.Context, count int) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	if err := l.s.Call(ctx, 1, stage.Post("/services", fields{"name": "many", "url": "http://{upstream}"})); err != nil {
		return err
	}
	errs := make([]error, count)
	turns := make(chan int)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range turns {
				errs[i] = l.logOneOfMany(ctx, fmt.Sprintf("many-%d", i))
			}
		})
	}
	for i := range count {
		turns <- i
	}
	close(turns)
	all.Wait()
	return errors.Join(errs...)
}

func (l *Ledger) logOneOfMany(ctx context.Context, name string) error {
	err := l.s.Call(
		ctx, 1, stage.Post("/services/many/routes", fields{"name": name, "paths": []string{"/" + name + "/"}}),
		stage.Post("/routes/"+name+"/plugins", fields{"name": "http-log", "config": l.config(l.s.Cluster.NobodyAddr(), fields{"path": "/" + name})}),
	)
	if err != nil {
		return err
	}
	answer, err := l.s.Request(ctx, l.s.Cluster.Node(1).DirectProxyURL()+"/"+name+"/")
	if err != nil {
		return fmt.Errorf("ask %s: %w", name, err)
	}
	return answer.Body.Close()
}

// Change patches a parameter of the first plugin's queue.
func (l *Ledger) Change(ctx context.Context, name, value string) error {
	err := l.s.Call(ctx, 1, stage.Patch("/plugins/"+pluginID, fields{"config": fields{"queue": fields{name: parsed(value)}}}))
	l.acts()
	return err
}

// Delete removes the first plugin.
func (l *Ledger) Delete(ctx context.Context) error {
	err := l.s.Call(ctx, 1, stage.Remove("/plugins/"+pluginID))
	l.acts()
	return err
}

// Reported judges the value in force of a parameter of the first plugin, or of its queue; "nothing" is null.
func (l *Ledger) Reported(ctx context.Context, of, name, value string) error {
	l.s.Checks++
	answer, err := l.s.Request(ctx, l.s.Cluster.Node(1).AdminURL()+"/plugins/"+pluginID)
	if err != nil {
		return fmt.Errorf("ask for the plugin: %w", err)
	}
	defer answer.Body.Close()
	var plugin struct{ Config fields }
	if err := json.NewDecoder(answer.Body).Decode(&plugin); err != nil {
		return fmt.Errorf("read the plugin: %w", err)
	}
	from := plugin.Config
	if of == "queue" {
		from, _ = plugin.Config["queue"].(fields)
	}
	shown := fmt.Sprint(from[name])
	if from[name] == nil {
		shown = "nothing"
	}
	if shown != value {
		return &history.Violation{Expected: fmt.Sprintf("the %s's %s to be %s", of, name, value), Actual: shown, Node: 1, Request: "GET /plugins/" + pluginID}
	}
	return nil
}

// Ask asks for a plugin of which something is said that may not be allowed, and keeps what was answered.
func (l *Ledger) Ask(ctx context.Context, of, name, value string) error {
	if err := l.s.Up(ctx); err != nil {
		return err
	}
	if err := l.Set(of, name, value); err != nil {
		return err
	}
	body := fields{"name": "http-log", "config": l.config(l.s.Cluster.LogServerAddr(), nil)}
	l.answer = l.s.Expect(ctx, 1, l.s.Cluster.Node(1).AdminURL()).POST("/plugins").WithJSON(body).Expect()
	return l.s.Complaints()
}

// Refused judges that the answer was no.
func (l *Ledger) Refused() error {
	l.s.Checks++
	l.answer.Status(http.StatusBadRequest)
	return l.s.Complaints()
}
