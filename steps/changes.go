package steps

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tidemark/history"
	"tidemark/steps/stage"
)

// A change is one thing that a scenario can be about: what has to be there before, the Admin calls that make
// it, and what a look through the proxy sees of it.
type change struct {
	name   string // as the features say it
	doc    string
	given  []stage.Call
	made   []stage.Call
	looks  []stage.Look
	key    string // the API key whose cache entry it drops
	entity string // where the Admin API of any node shows what was made
	route  string // id of the route that it writes an event for
	behind *behind
}

// behind is the same change made by SQL, so that no event tells of it.
type behind struct {
	name     string // as the features say it: its … behind the gateway's back
	template string // of the target's file
	params   map[string]string
}

// Every cell is clean, so entities have the same names and ids in each scenario.
const (
	serviceID    = "5e6f1c1e-0000-4000-8000-000000000001"
	routeID      = "5e6f1c1e-0000-4000-8000-000000000002"
	pluginID     = "5e6f1c1e-0000-4000-8000-000000000003"
	consumerID   = "5e6f1c1e-0000-4000-8000-000000000004"
	credentialID = "5e6f1c1e-0000-4000-8000-000000000005"
	otherID      = "5e6f1c1e-0000-4000-8000-000000000006"
)

type fields = map[string]any

// changes is the table of all changes, in the order of reading.
func changes() []change {
	service := stage.Post("/services", fields{"id": serviceID, "name": "dogs", "url": "http://{upstream}/fur"})
	newRoute := stage.Post("/services/dogs/routes", fields{"id": routeID, "name": "dogs", "paths": []string{"/dogs"}})
	closed := stage.Post("/services/dogs/plugins", fields{"id": pluginID, "name": "request-termination", "config": fields{"status_code": 418}})
	guard := stage.Post("/services/dogs/plugins", fields{"name": "key-auth"})
	consumer := stage.Post("/consumers", fields{"id": consumerID, "username": "dana"})
	credential := stage.Post("/consumers/dana/key-auth", fields{"id": credentialID, "key": "bone"})

	served := []stage.Call{service, newRoute}
	guarded := append(served[:2:2], guard, consumer)
	known := append(guarded[:4:4], credential)
	shows := func(old, new string) []stage.Look { return []stage.Look{{Path: "/dogs", Old: old, New: new}} }
	opens := func(old, new string) []stage.Look {
		return []stage.Look{{Path: "/dogs", Key: "bone", Old: old, New: new}}
	}
	one := func(c stage.Call) []stage.Call { return []stage.Call{c} }

	return []change{
		{name: "a new route", doc: "POST of a route", given: one(service), made: one(newRoute), looks: shows("404", "200"), entity: "/routes/dogs", route: routeID},
		{
			name: "a route put by id", doc: "PUT of a route that did not exist", given: one(service), looks: shows("404", "200"), entity: "/routes/dogs", route: routeID,
			made: one(stage.Put("/routes/"+routeID, fields{"name": "dogs", "paths": []string{"/dogs"}, "service": fields{"id": serviceID}})),
		},
		{
			name: "a route moved to a new path", doc: "PATCH of a route's paths: the old one ends, the new one begins", given: served, route: routeID,
			made: one(stage.Patch("/routes/dogs", fields{"paths": []string{"/cats"}})), looks: append(shows("200", "404"), stage.Look{Path: "/cats", Old: "404", New: "200"}),
		},
		{
			name: "a replaced route", doc: "PUT of a route that exists: the old path ends, the new one begins", given: served, route: routeID,
			made: one(stage.Put("/routes/"+routeID, fields{"name": "dogs", "paths": []string{"/cats"}, "service": fields{"id": serviceID}})), looks: append(shows("200", "404"), stage.Look{Path: "/cats", Old: "404", New: "200"}),
		},
		{
			name: "a deleted route", doc: "DELETE of a route", given: served, made: one(stage.Remove("/routes/dogs")), looks: shows("200", "404"), route: routeID,
			behind: &behind{"route is deleted", "delete_route", map[string]string{"name": "dogs"}},
		},
		{
			name: "a service pointed elsewhere", doc: "PATCH of a service's path", given: served, made: one(stage.Patch("/services/dogs", fields{"path": "/feather"})),
			looks:  []stage.Look{{Path: "/dogs", Reads: "path", Old: "200 /fur", New: "200 /feather"}},
			behind: &behind{"service is moved", "update_service_path", map[string]string{"name": "dogs", "path": "/feather"}},
		},
		{name: "a disabled service", doc: "PATCH of a service to enabled: false", given: served, made: one(stage.Patch("/services/dogs", fields{"enabled": false})), looks: shows("200", "404")},

		{name: "a new plugin", doc: "POST of a plugin on a service", given: served, made: one(closed), looks: shows("200", "418")},
		{name: "a new plugin beside a credential", doc: "POST of a plugin where key-auth is: no credential has changed", given: known, made: one(closed), looks: opens("200", "418"), key: "bone"},
		{
			name: "a changed plugin", doc: "PATCH of a plugin's configuration", given: append(served[:2:2], closed), looks: shows("418", "451"),
			made: one(stage.Patch("/plugins/"+pluginID, fields{"config": fields{"status_code": 451}})),
		},
		{name: "a disabled plugin", doc: "PATCH of a plugin to enabled: false", given: append(served[:2:2], closed), made: one(stage.Patch("/plugins/"+pluginID, fields{"enabled": false})), looks: shows("418", "200")},
		{name: "a removed plugin", doc: "DELETE of a plugin", given: append(served[:2:2], closed), made: one(stage.Remove("/plugins/" + pluginID)), looks: shows("418", "200")},

		{
			name: "a new credential", doc: "POST of a key that was refused before", given: guarded, made: one(credential), looks: opens("401", "200"), key: "bone",
			behind: &behind{"credential is created", "insert_credential", map[string]string{"key": "bone", "username": "dana"}},
		},
		{
			name: "a credential put by id", doc: "PUT of a key that was refused before", given: guarded, looks: opens("401", "200"), key: "bone",
			made: one(stage.Put("/consumers/dana/key-auth/"+credentialID, fields{"key": "bone"})),
		},
		{
			name: "a credential's new key", doc: "PATCH of a credential's key: the old one ends, the new one begins", given: known, key: "bone",
			made: one(stage.Patch("/consumers/dana/key-auth/"+credentialID, fields{"key": "stick"})), looks: append(opens("200", "401"), stage.Look{Path: "/dogs", Key: "stick", Old: "401", New: "200"}),
		},
		{
			name: "a deleted credential", doc: "DELETE of a credential", given: known, made: one(stage.Remove("/consumers/dana/key-auth/" + credentialID)), looks: opens("200", "401"), key: "bone",
			behind: &behind{"credential is deleted", "delete_credential", map[string]string{"key": "bone"}},
		},
		{
			name: "a replaced credential", doc: "PUT of a credential that exists: the old key ends, the new one begins", given: known, key: "bone",
			made: one(stage.Put("/consumers/dana/key-auth/"+credentialID, fields{"key": "stick"})), looks: append(opens("200", "401"), stage.Look{Path: "/dogs", Key: "stick", Old: "401", New: "200"}),
		},
		{
			name: "a renamed consumer", doc: "PATCH of a consumer's username, which the upstream is told", given: known, made: one(stage.Patch("/consumers/"+consumerID, fields{"username": "dora"})),
			looks: []stage.Look{{Path: "/dogs", Key: "bone", Reads: "consumer", Old: "200 dana", New: "200 dora"}},
		},
		{name: "a deleted consumer", doc: "DELETE of a consumer, which takes its credentials along", given: known, made: one(stage.Remove("/consumers/dana")), looks: opens("200", "401"), key: "bone"},
	}
}

// changeNamed finds a change by the name that a sentence gives it.
func changeNamed(name string) (*change, error) {
	all := changes()
	if i := slices.IndexFunc(all, func(c change) bool { return c.name == name }); i >= 0 {
		return &all[i], nil
	}
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return nil, fmt.Errorf("make %q: no such change; there are: %s", name, strings.Join(names, ", "))
}

// service is a service with a route at its name, and its deletion.
func service(name string) *change {
	return &change{
		name: "the deleted service " + name,
		given: []stage.Call{
			stage.Post("/services", fields{"id": otherID, "name": name, "url": "http://{upstream}/"}),
			stage.Post("/services/"+name+"/routes", fields{"name": name, "paths": []string{"/" + name}}),
		},
		made:  []stage.Call{stage.Remove("/services/" + name)},
		looks: []stage.Look{{Path: "/" + name, Old: "200", New: "404"}},
	}
}

// turned says what the looks see of a change that was made in the meantime.
func (c *change) turned(sent, answered time.Time) []history.Turn {
	var turns []history.Turn
	for _, l := range c.looks {
		turns = append(turns, history.Turn{Change: c.name, Subject: l.Subject(), Old: l.Old, New: l.New, Sent: sent, Answered: answered})
	}
	return turns
}
