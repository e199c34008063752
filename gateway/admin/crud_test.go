package admin

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// rules hold over any store.
var rules = map[string]func(t *testing.T, f *fixture){
	"what stock fails at is refused":    refusedWhereStockFails,
	"service_id beside service.id":      flatServiceID,
	"a whole entity is a reference":     referencesByWholeEntities,
	"PATCH merges records":              patchMergesRecordsOnly,
	"a form's PATCH knows the plugin":   formPatchKnowsThePlugin,
	"the entity that another refers to": referredEntity,
	"a list is walked by offset":        pages,
}

func TestRules(t *testing.T) {
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { rule(t, newFixture(t)) })
	}
}

// What stock answers with a 500, this gateway refuses (400).
func refusedWhereStockFails(t *testing.T, f *fixture) {
	f.id(t, `POST /services {"name":"s","host":"a.test"}`)
	f.id(t, `POST /consumers {"username":"c"}`)
	for _, request := range []string{
		`POST /services [1]`,
		`POST /services "x"`,
		`POST /services null`,
		`POST /services/s/routes {"expression":"http.path == \"/\""}`,
		`POST /consumers/c/key-auth {"key":"k","ttl":"x"}`,
		`POST /consumers/c/key-auth {"key":"k","ttl":-1}`,
		`GET /services?offset=WyJ4Il0`,
		`GET /services/%ff`,
		`GET /services/a%00b`,
		`GET /services?tags=%ff`,
		`GET /consumers?custom_id=%00`,
	} {
		if w := f.ask(request); w.Code != 400 {
			t.Errorf("%s: %d %s, want 400", request, w.Code, w.Body)
		}
	}
}

func flatServiceID(t *testing.T, f *fixture) {
	one := f.id(t, `POST /services {"name":"one","host":"a.test"}`)
	two := f.id(t, `POST /services {"name":"two","host":"a.test"}`)
	for body, want := range map[string]any{
		`{"paths":["/a"],"service_id":"` + one + `"}`:                                one,
		`{"paths":["/a"],"service_id":"` + one + `","service":{"id":"` + one + `"}}`: one,
		`{"paths":["/a"],"service_id":null}`:                                         nil,
		`{"paths":["/a"],"service_id":null,"service":null}`:                          nil,
	} {
		o := f.must(t, 201, "POST /routes "+body)
		var got any
		if s, _ := o["service"].(map[string]any); s != nil {
			got = s["id"]
		}
		if got != want || o["service_id"] != nil {
			t.Errorf("%s: %v, want service %v", body, o, want)
		}
	}
	for _, request := range []string{
		`POST /routes {"paths":["/a"],"service_id":"` + one + `","service":{"id":"` + two + `"}}`,
		`POST /routes {"paths":["/a"],"service_id":null,"service":{"id":"` + two + `"}}`,
		`POST /routes {"paths":["/a"],"service_id":"one"}`,
		`POST /routes {"paths":["/a"],"service_id":7}`,
		`POST /plugins {"name":"key-auth","service_id":"` + one + `"}`,
	} {
		f.must(t, 400, request)
	}
	// the path wins, also over this name
	o := f.must(t, 201, `POST /services/two/routes {"paths":["/a"],"service_id":"`+one+`"}`)
	if o["service"].(map[string]any)["id"] != two {
		t.Errorf("%v, want service %s", o["service"], two)
	}
}

func referencesByWholeEntities(t *testing.T, f *fixture) {
	id := f.id(t, `POST /services {"name":"s","host":"a.test"}`)
	whole := f.ask("GET /services/s").Body.String()
	o := f.must(t, 201, `POST /routes {"paths":["/a"],"service":`+whole+`}`)
	if want := map[string]any{"id": id}; !reflect.DeepEqual(o["service"], want) {
		t.Errorf("service %v, want %v", o["service"], want)
	}
	f.must(t, 400, `POST /routes {"paths":["/a"],"service":{"id":"s"}}`)
}

func patchMergesRecordsOnly(t *testing.T, f *fixture) {
	id := f.id(t, `POST /plugins {"name":"nested","config":{"queue":{"size":7,"delay":2},"headers":{"a":"1","b":"2"}},"tags":["x","y"]}`)
	o := f.must(t, 200, `PATCH /plugins/`+id+` {"config":{"queue":{"delay":3},"headers":{"c":"3"}},"tags":["z"]}`)
	want := map[string]any{
		"queue":   map[string]any{"size": 7.0, "delay": 3.0},
		"headers": map[string]any{"c": "3"},
	}
	if !reflect.DeepEqual(o["config"], want) || !reflect.DeepEqual(o["tags"], []any{"z"}) {
		t.Errorf("config %v tags %v, want %v [z]", o["config"], o["tags"], want)
	}
	o = f.must(t, 200, `PATCH /plugins/`+id+` {"created_at":null,"id":null,"config":{"headers":null}}`)
	if o["created_at"] == nil || o["id"] != id || o["config"].(map[string]any)["headers"] != nil {
		t.Errorf("%v, want id and created_at kept, headers cleared", o)
	}
	o = f.must(t, 200, `PATCH /plugins/`+id+` {"name":"request-termination","config":null}`)
	if o["config"].(map[string]any)["status_code"] != 503.0 {
		t.Errorf("config %v, want the defaults of the other plugin", o["config"])
	}
}

func formPatchKnowsThePlugin(t *testing.T, f *fixture) {
	id := f.id(t, `POST /plugins {"name":"nested"}`)
	r := httptest.NewRequest("PATCH", "/plugins/"+id, strings.NewReader("config.queue.size=7&config.headers.a=5&enabled=false"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	o := f.must(t, 200, "GET /plugins/"+id)
	config := o["config"].(map[string]any)
	if w.Code != 200 || config["queue"].(map[string]any)["size"] != 7.0 || o["enabled"] != false || config["headers"].(map[string]any)["a"] != "5" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func referredEntity(t *testing.T, f *fixture) {
	f.id(t, `POST /routes {"name":"r","paths":["/a"]}`)
	for _, request := range []string{"GET /routes/r/service", `PATCH /routes/r/service {"retries":1}`, "DELETE /routes/r/service", "GET /routes/none/service", "DELETE /routes/none/service"} {
		f.must(t, 404, request)
	}
	made := f.must(t, 200, `PUT /routes/r/service {"host":"a.test","name":"s"}`)
	if got := f.must(t, 200, "GET /routes/r/service"); got["id"] != made["id"] || got["name"] != "s" {
		t.Errorf("%v, want the service %v", got, made)
	}
	replaced := f.must(t, 200, `PUT /routes/r/service {"host":"b.test"}`)
	if replaced["id"] != made["id"] || replaced["name"] != nil || replaced["host"] != "b.test" {
		t.Errorf("%v, want %v replaced", replaced, made["id"])
	}
	if got := f.must(t, 200, `PATCH /routes/r/service {"retries":1}`); got["retries"] != 1.0 || got["host"] != "b.test" {
		t.Errorf("%v, want it patched", got)
	}
	f.must(t, 405, "DELETE /routes/r/service")
}

func pages(t *testing.T, f *fixture) {
	service := f.id(t, `POST /services {"name":"s","host":"a.test"}`)
	for i := range 4 {
		f.id(t, `POST /services/s/routes {"paths":["/%d"],"tags":["a","b"]}`, i)
	}
	seen := map[any]bool{}
	path := "/routes?size=1&tags=a,b"
	for pages := 0; path != ""; pages++ {
		page := f.must(t, 200, "GET "+path)
		for _, o := range page["data"].([]any) {
			seen[o.(map[string]any)["id"]] = true
		}
		path, _ = page["next"].(string)
		if path != "" && path != fmt.Sprintf("/routes?offset=%s&tags=a%%2Cb&size=1", page["offset"]) || pages > 4 {
			t.Fatalf("page %d: next %q offset %v", pages, path, page["offset"])
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d routes, want 4", len(seen))
	}
	page := f.must(t, 200, "GET /services/s/routes?size=3&tags=a")
	if want := fmt.Sprintf("/services/%s/routes?offset=%s", service, page["offset"]); page["next"] != want {
		t.Errorf("next %v, want %s", page["next"], want)
	}
	// the last page, exactly full, offers no further one
	if page := f.must(t, 200, "GET /services/s/routes?size=4"); page["next"] != nil || page["offset"] != nil || len(page["data"].([]any)) != 4 {
		t.Errorf("full page: %v", page)
	}
	f.must(t, 400, "GET /routes?tags=a,b,c,d,e,f")
	f.must(t, 400, "GET /consumers?custom_id=")
}

func TestTransport(t *testing.T) {
	f := newFixture(t)
	f.id(t, `POST /services {"name":"s","host":"a.test"}`)
	for request, status := range map[string]int{
		"GET //services":              404,
		"GET /services/":              200,
		"GET /services/s/":            200,
		"POST /consumers//key-auth":   404,
		"OPTIONS /nope":               404,
		"OPTIONS /services/s":         204,
		"GET /cache":                  405,
		"POST /cache {}":              405,
		"PUT /cache/x {}":             405,
		"POST /services/s {}":         405,
		"DELETE /services":            405,
		"TRACE /services":             405,
		"DELETE /services/none":       204,
		"GET /services/a%20b":         400,
		"PUT /services/a%20b {}":      400,
		"GET /services?size=1&size=2": 400,
	} {
		if w := f.ask(request); w.Code != status {
			t.Errorf("%s: %d %s, want %d", request, w.Code, w.Body, status)
		}
	}
	get, head := f.ask("GET /services/s"), f.ask("HEAD /services/s")
	if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") {
		t.Errorf("HEAD: %d, %d bytes, length %s; GET's length %s", head.Code, head.Body.Len(), head.Header().Get("Content-Length"), get.Header().Get("Content-Length"))
	}
	for name, want := range map[string]string{
		"Server": "kong/3.8.1", "Content-Type": "application/json; charset=utf-8", "X-Kong-Admin-Latency": "0",
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true",
	} {
		if got := get.Header().Get(name); got != want && name != "X-Kong-Admin-Latency" || got == "" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if none := f.ask("DELETE /services/s"); none.Code != 204 || none.Header().Get("Content-Type") != "" || none.Body.Len() != 0 {
		t.Errorf("DELETE: %d %q %s", none.Code, none.Header().Get("Content-Type"), none.Body)
	}
}

func TestDatabaseAway(t *testing.T) {
	f := newFixture(t)
	f.id(t, `POST /services {"name":"s","host":"a.test"}`)
	f.store.away = true
	away(t, f)
}

// away is what is answered while the database is: reads of the node itself go on, bad input is told from
// bad times.
func away(t *testing.T, f *fixture) {
	for request, want := range map[string]string{
		"GET /services":                   `500 {"message":"An unexpected error occurred"}`,
		"GET /services/s":                 `500 {"message":"An unexpected error occurred"}`,
		`POST /services {"host":"a.b"}`:   `500 {"message":"An unexpected error occurred"}`,
		`PATCH /services/s {"retries":1}`: `500 {"message":"An unexpected error occurred"}`,
		"DELETE /services/s":              `500 {"message":"An unexpected error occurred"}`,
		"GET /":                           `500 {"message":"An unexpected error happened"}`,
		`POST /services {"foo":1}`:        `400`,
		"GET /cache/x":                    `404 {"message":"Not found"}`,
		"GET /status":                     `200`,
	} {
		w := f.ask(request)
		if got := fmt.Sprintf("%d %s", w.Code, w.Body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
	if s := f.must(t, 200, "GET /status"); s["database"].(map[string]any)["reachable"] != false {
		t.Errorf("database %v, want it unreachable", s["database"])
	}
}
