package schema_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"testing"
	"time"

	"tidemark/gateway/schema"
)

// queue is a record two levels below the entity, as the plugins have it.
var queue = schema.Field{Name: "queue", Type: schema.Record, Required: true, Fields: []schema.Field{
	{Name: "max_batch_size", Type: schema.Integer, Default: 1, Between: []float64{1, 1000000}},
	{Name: "initial_retry_delay", Type: schema.Number, Default: 0.01, Between: []float64{0, 1000000}},
	{Name: "concurrency_limit", Type: schema.Integer, Default: 1, OneOf: []string{"-1", "1"}},
}}

func example() *schema.Schema {
	return &schema.Schema{
		Name: "example",
		Fields: []schema.Field{
			{Name: "id", Type: schema.String, UUID: true, Auto: true, Required: true},
			{Name: "created_at", Type: schema.Integer, Timestamp: true, Auto: true},
			{Name: "updated_at", Type: schema.Integer, Timestamp: true, Auto: true},
			{Name: "secret", Type: schema.String, Auto: true},
			{Name: "host", Type: schema.String},
			{Name: "port", Type: schema.Integer, Default: 80},
			{Name: "ratio", Type: schema.Number},
			{Name: "on", Type: schema.Boolean},
			{Name: "list", Type: schema.Array, Elements: &schema.Field{Type: schema.Integer}},
			{Name: "tags", Type: schema.Set, Elements: &schema.Field{Type: schema.String}},
			{Name: "places", Type: schema.Set, Elements: &schema.Field{Type: schema.Record, Fields: []schema.Field{{Name: "port", Type: schema.Integer}}}},
			{Name: "headers", Type: schema.Map, Values: &schema.Field{Type: schema.Array, Elements: &schema.Field{Type: schema.String}}},
			{Name: "config", Type: schema.Record, Required: true, Fields: []schema.Field{queue}},
			{Name: "free", Type: schema.String, LenMin: -1},
		},
		Now: func() time.Time { return time.Unix(1000, 999) },
	}
}

type object = map[string]any

func TestDefaultsAndConversions(t *testing.T) {
	sent := object{"on": false, "tags": []any{"a", "b", "a"}, "places": []any{object{"port": 1.0}, object{"port": 1}}, "ratio": 2, "free": ""}
	got, bad := example().Process(sent, schema.Insert)
	if bad != nil {
		t.Fatal(bad)
	}
	if !schema.IsUUID(got["id"].(string)) || len(got["secret"].(string)) != 32 {
		t.Errorf("made by the server: %v", got)
	}
	delete(got, "id")
	delete(got, "secret")
	want := object{
		"created_at": int64(1000), "updated_at": int64(1000), "host": nil, "port": int64(80), "ratio": 2.0, "on": false,
		"list": nil, "tags": []any{"a", "b"}, "places": []any{object{"port": int64(1)}}, "headers": nil, "free": "",
		"config": object{"queue": object{"max_batch_size": int64(1), "initial_retry_delay": 0.01, "concurrency_limit": int64(1)}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
	if _, there := sent["port"]; there || len(sent) != 5 {
		t.Errorf("what was sent changed: %v", sent)
	}
}

func TestWhatTheServerMakes(t *testing.T) {
	const id = "11111111-1111-4111-8111-111111111111"
	for _, rule := range []struct {
		says           string
		op             schema.Op
		sent           object
		field          string
		want           any
		wantSomeString bool
	}{
		{"a client's id stays", schema.Insert, object{"id": id}, "id", id, false},
		{"in lower case", schema.Insert, object{"id": "AAAAAAAA-1111-4111-8111-111111111111"}, "id", "aaaaaaaa-1111-4111-8111-111111111111", false},
		{"a null id is made", schema.Insert, object{"id": nil}, "id", nil, true},
		{"a client's created_at stays", schema.Insert, object{"created_at": 5}, "created_at", int64(5), false},
		{"a client's updated_at does not", schema.Insert, object{"updated_at": 5}, "updated_at", int64(1000), false},
		{"a replacement is created now", schema.Upsert, object{"id": id}, "created_at", int64(1000), false},
		{"a change keeps created_at", schema.Update, object{"id": id, "created_at": 5}, "created_at", int64(5), false},
		{"a change sets updated_at", schema.Update, object{"id": id, "updated_at": 5}, "updated_at", int64(1000), false},
		{"a change makes no secret", schema.Update, object{"id": id}, "secret", nil, false},
	} {
		got, bad := example().Process(rule.sent, rule.op)
		text, isText := got[rule.field].(string)
		if bad != nil || rule.wantSomeString && (!isText || text == "") || !rule.wantSomeString && got[rule.field] != rule.want {
			t.Errorf("%s: got %v %v", rule.says, got[rule.field], bad)
		}
	}
}

// TestMessages: the text and the nesting of the original (observed.md, "Admin API surprises").
func TestMessages(t *testing.T) {
	for _, rule := range []struct {
		sent   object
		want   string
		fields string // JSON
	}{
		{object{"foo": 1}, "schema violation (foo: unknown field)", `{"foo":"unknown field"}`},
		{object{"zz": 1, "host": 5, "aa": 1}, "3 schema violations (aa: unknown field; host: expected a string; zz: unknown field)", `{"aa":"unknown field","host":"expected a string","zz":"unknown field"}`},
		{object{"host": ""}, "schema violation (host: length must be at least 1)", `{"host":"length must be at least 1"}`},
		{object{"port": 80.5}, "schema violation (port: expected an integer)", `{"port":"expected an integer"}`},
		{object{"ratio": "1"}, "schema violation (ratio: expected a number)", `{"ratio":"expected a number"}`},
		{object{"on": 1}, "schema violation (on: expected a boolean)", `{"on":"expected a boolean"}`},
		{object{"list": object{}}, "schema violation (list: expected an array)", `{"list":"expected an array"}`},
		{object{"list": []any{1, "x", 2, nil}}, "2 schema violations (list.2: expected an integer; list.4: required field missing)", `{"list":[null,"expected an integer",null,"required field missing"]}`},
		{object{"headers": []any{}}, "schema violation (headers: expected a map)", `{"headers":"expected a map"}`},
		{object{"headers": object{"x": "y"}}, "schema violation (headers: expected an array)", `{"headers":"expected an array"}`},
		{object{"config": "x"}, "schema violation (config: expected a record)", `{"config":"expected a record"}`},
		{object{"config": object{"zzz": 1}}, "schema violation (config.zzz: unknown field)", `{"config":{"zzz":"unknown field"}}`},
		{
			object{"config": object{"queue": object{"concurrency_limit": -2, "max_batch_size": 1000001}}},
			"schema violation (config.queue: {\n  concurrency_limit = \"expected one of: -1, 1\",\n  max_batch_size = \"value should be between 1 and 1000000\"\n})",
			`{"config":{"queue":{"concurrency_limit":"expected one of: -1, 1","max_batch_size":"value should be between 1 and 1000000"}}}`,
		},
		{object{"places": []any{object{"port": "x"}}}, "schema violation (places.1: {\n  port = \"expected an integer\"\n})", `{"places":[{"port":"expected an integer"}]}`},
	} {
		_, bad := example().Process(rule.sent, schema.Insert)
		if bad == nil || bad.Error() != rule.want {
			t.Errorf("%v: got %v, want %s", rule.sent, bad, rule.want)
		}
		if fields, err := json.Marshal(bad); err != nil || string(fields) != rule.fields {
			t.Errorf("%v: fields %s %v, want %s", rule.sent, fields, err, rule.fields)
		}
	}
}

func TestCheckComesFirstAndTwiceIsTwo(t *testing.T) {
	s := example()
	s.Check = func(object) []string { return []string{"whole", "at least one of these"} }
	s.CheckFields = func(o object) schema.Violations {
		if _, there := o["port"]; there {
			t.Error("a wrong field is shown to CheckFields")
		}
		return schema.Violations{"host": "second", "@entity": []string{"more"}}
	}
	_, bad := s.Process(object{"id": "11111111-1111-4111-8111-111111111111", "port": "x"}, schema.Update)
	const want = "5 schema violations (whole; when updating, at least one of these; more; host: second; port: expected an integer)"
	if bad == nil || bad.Error() != want {
		t.Errorf("got %v, want %s", bad, want)
	}
}

func TestCoerce(t *testing.T) {
	form := object{
		"port": "81", "ratio": "0.5", "on": "true", "host": "82", "list": []any{"1", "2"}, "tags": "a", "unknown": "5",
		"headers": object{"x": "1", "y": []any{"2"}}, "config": object{"queue": object{"max_batch_size": "3"}}, "free": nil,
	}
	want := object{
		"port": int64(81), "ratio": 0.5, "on": true, "host": "82", "list": []any{int64(1), int64(2)}, "tags": []any{"a"}, "unknown": "5",
		"headers": object{"x": []any{"1"}, "y": []any{"2"}}, "config": object{"queue": object{"max_batch_size": int64(3)}}, "free": nil,
	}
	if got := example().Coerce(form); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v, want\n%v", got, want)
	}
	for field, value := range (object{"port": "x", "on": "yes", "list": "x", "ratio": "NaN"}) {
		if _, bad := example().Process(example().Coerce(object{field: value}), schema.Insert); bad == nil {
			t.Errorf("%s = %v was taken", field, value)
		}
	}
}

func TestCoerceOfAVariant(t *testing.T) {
	s := &schema.Schema{
		Fields: []schema.Field{{Name: "name", Type: schema.String}, {Name: "config", Type: schema.Record, Required: true}},
		Variant: func(o map[string]any) (string, *schema.Schema) {
			if o["name"] == "known" {
				return "config", &schema.Schema{Fields: []schema.Field{{Name: "n", Type: schema.Integer, Default: 7}}}
			}
			return "config", nil
		},
	}
	got, bad := s.Process(s.Coerce(object{"name": "known", "config": object{"n": "5"}}), schema.Insert)
	if want := (object{"name": "known", "config": object{"n": int64(5)}}); bad != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v %v", got, bad)
	}
	got, bad = s.Process(object{"name": "known"}, schema.Insert)
	if want := (object{"name": "known", "config": object{"n": int64(7)}}); bad != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("defaults: got %v %v", got, bad)
	}
	if _, bad = s.Process(object{"name": "known", "config": object{"x": 1}}, schema.Insert); bad.Error() != "schema violation (config.x: unknown field)" {
		t.Errorf("got %v", bad)
	}
}

// A set as long as a body may be is a matter of milliseconds: it took minutes while each element was
// compared with each, which this test would not outlive.
func TestALongSetIsNoDenialOfService(t *testing.T) {
	s := &schema.Schema{Name: "things", Fields: []schema.Field{
		{Name: "tags", Type: schema.Set, Elements: &schema.Field{Type: schema.String}},
	}}
	tags := make([]any, 500_000)
	for i := range tags {
		tags[i] = strconv.Itoa(i % 400_000)
	}
	out, bad := s.Process(map[string]any{"tags": tags}, schema.Insert)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	if got := len(out["tags"].([]any)); got != 400_000 {
		t.Errorf("%d elements are left of 400000 different ones", got)
	}
}
