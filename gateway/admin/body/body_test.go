package body

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

func TestFormNamesSpellRecordsAndLists(t *testing.T) {
	for form, want := range map[string]string{
		"":                                   `{}`,
		"name=a&port=80":                     `{"name":"a","port":"80"}`,
		"name=":                              `{"name":null}`,
		"name":                               `{"name":true}`,
		"a=b=c":                              `{"a":"b=c"}`,
		"config.key_names=a":                 `{"config":{"key_names":"a"}}`,
		"config[key_names]=a":                `{"config":{"key_names":"a"}}`,
		"config.a.b.c=1&config.a[b][d]=2":    `{"config":{"a":{"b":{"c":"1","d":"2"}}}}`,
		"paths[]=/a&paths[]=/b":              `{"paths":["/a","/b"]}`,
		"paths[]=/a":                         `{"paths":["/a"]}`,
		"paths[2]=/b&paths[1]=/a":            `{"paths":["/a","/b"]}`,
		"paths[999999999]=/a":                `{"paths":["/a"]}`,
		"paths=/a&paths=/b":                  `{"paths":["/a","/b"]}`,
		"headers.X=v":                        `{"headers":{"X":"v"}}`,
		"headers.X[]=v&headers.X[]=w":        `{"headers":{"X":["v","w"]}}`,
		"a[1].b=x&a[1].c=y&a[2].b=z":         `{"a":[{"b":"x","c":"y"},{"b":"z"}]}`,
		"a[][b]=x&a[][b]=y":                  `{"a":[{"b":"x"},{"b":"y"}]}`,
		"url=http%3A%2F%2Fa.test%3A82%2Fx":   `{"url":"http://a.test:82/x"}`,
		"a=b+c%20d":                          `{"a":"b c d"}`,
		"a=%zz%":                             `{"a":"%zz%"}`,
		"a[b=1":                              `{"a[b":"1"}`,
		".a=1&a..b=2&[x]=3&a[b]c=4":          `{".a":"1","a..b":"2","[x]":"3","a[b]c":"4"}`,
		"&&a=1&":                             `{"a":"1"}`,
		"a[12345678901234567890]=big":        `{"a":{"12345678901234567890":"big"}}`,
		"service.id=1&service_id=2&name=%E8": "",
	} {
		b, err := decodeForm([]byte(form))
		if err == nil {
			err = Legible(b.Fields)
		}
		if want == "" {
			if err == nil {
				t.Errorf("%q = %v, want it refused", form, b.Fields)
			}
			continue
		}
		var expected map[string]any
		if e := json.Unmarshal([]byte(want), &expected); e != nil {
			t.Fatal(e)
		}
		if err != nil || !reflect.DeepEqual(b.Fields, expected) {
			t.Errorf("%q = %v, %v; want %s", form, b.Fields, err, want)
		}
	}
}

func TestFormsThatSayTwoThings(t *testing.T) {
	for _, form := range []string{"a=1&a.b=2", "a.b=2&a=1", "a[1]=x&a.b=y", "a[1]=x&a=y", strings.Repeat("a.", MaxDepth) + "a=1"} {
		if b, err := decodeForm([]byte(form)); err == nil {
			t.Errorf("%.40q = %v, want it refused", form, b.Fields)
		}
	}
}

func TestJSONNumbers(t *testing.T) {
	b, err := decodeJSON([]byte(`{"a":1,"b":1.5,"c":-9223372036854775808,"d":9223372036854775808,"e":[1e2,{"f":0}]}`))
	want := map[string]any{
		"a": int64(1), "b": 1.5, "c": int64(-9223372036854775808), "d": 9223372036854775808.0,
		"e": []any{100.0, map[string]any{"f": int64(0)}},
	}
	if err != nil || !reflect.DeepEqual(b.Fields, want) {
		t.Errorf("%#v, %v; want %#v", b.Fields, err, want)
	}
}

func TestJSONEscapes(t *testing.T) {
	b, err := decodeJSON([]byte(`{"a":"\ud83d\ude00","b":"\\ud83d","c":"\u00e9\"\\"}`))
	want := map[string]any{"a": "😀", "b": `\ud83d`, "c": "é\"\\"}
	if err != nil || !reflect.DeepEqual(b.Fields, want) {
		t.Errorf("%q, %v; want %q", b.Fields, err, want)
	}
}

func FuzzBody(f *testing.F) {
	for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=XX"} {
		for _, text := range []string{
			`{"name":"a","tags":["b"],"config":{"x":1.5}}`, `a[1].b=x&a[][c]=%zz&d.e[]=&f`, "a.b=1&a=2",
			"--XX\r\nContent-Disposition: form-data; name=\"a[b]\"\r\n\r\nv\r\n--XX--\r\n",
		} {
			f.Add(kind, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(string(data)))
		r.Header["Content-Type"] = []string{kind}
		b, err := Read(httptest.NewRecorder(), r, 1<<20)
		if err != nil {
			if refused, isRefusal := err.(*Refusal); !isRefusal || refused.Status < 400 || refused.Status > 499 || refused.Message == "" {
				t.Fatalf("error %v is not a refusal", err)
			}
			return
		}
		if b.Fields == nil {
			t.Fatal("a body without fields")
		}
		if _, err := json.Marshal(b.Fields); err != nil {
			t.Fatalf("not the shape of JSON: %v", err)
		}
	})
}
