package admin

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// Every bad body is answered with a 400, a 413 or a 415 and an object that says why.
func TestBadBodies(t *testing.T) {
	const jsonType, formType = "application/json", "application/x-www-form-urlencoded"
	const multipartType = "multipart/form-data; boundary=XX"
	unparsable := "Cannot parse JSON body"
	for _, c := range []struct {
		name, kind, body string
		status           int
		message          string
	}{
		{"broken", jsonType, `{"name":`, 400, unparsable},
		{"empty", jsonType, ``, 400, unparsable},
		{"array", jsonType, `[1]`, 400, unparsable},
		{"string", jsonType, `"x"`, 400, unparsable},
		{"number", jsonType, `7`, 400, unparsable},
		{"null", jsonType, `null`, 400, unparsable},
		{"two values", jsonType, `{} {}`, 400, unparsable},
		{"rubbish behind", jsonType, `{}x`, 400, unparsable},
		{"deep", jsonType, `{"a":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`, 413, "Payload too large"},
		{"deep enough", jsonType, `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, unparsable},
		{"unbalanced", jsonType, strings.Repeat(`{"a":`, 5000), 400, unparsable},
		{"invalid UTF-8", jsonType, "{\"name\":\"\xff\"}", 400, unparsable},
		{"huge number", jsonType, `{"port":1e999}`, 400, unparsable},
		{"NUL", jsonType, `{"name":"a\u0000b","host":"h.test"}`, 400, "Cannot parse body"},
		{"NUL in a name", jsonType, `{"a\u0000b":1}`, 400, "Cannot parse body"},
		{"half a character", jsonType, `{"name":"\ud83d","host":"h.test"}`, 400, unparsable},
		{"the other half", jsonType, `{"name":"\uDE00","host":"h.test"}`, 400, unparsable},
		{"halves in the wrong order", jsonType, `{"name":"\ude00\ud83d","host":"h.test"}`, 400, unparsable},
		{"half a character and another", jsonType, `{"na\ud83d\u0061me":"x","host":"h.test"}`, 400, unparsable},
		{"half a character and no more", jsonType, `{"name":"\ud83d\`, 400, unparsable},
		{"too many fields", jsonType, `{` + fieldsOf(1001) + `}`, 400, "Too many arguments"},
		{"too long", jsonType, `{"name":"` + strings.Repeat("x", 1<<16) + `"}`, 413, "Payload too large"},
		{"too many arguments", formType, strings.Repeat("a=1&", 1001), 400, "Too many arguments"},
		{"separators", formType, strings.Repeat("&", 5000), 400, "Too many arguments"},
		{"form UTF-8", formType, "name=%ff&host=a", 400, "Cannot parse body"},
		{"form NUL", formType, "name=%00&host=a", 400, "Cannot parse body"},
		{"form conflict", formType, "name=a&name.b=1", 400, "conflicting arguments for 'name'"},
		{"no boundary", "multipart/form-data", "x", 400, "Cannot parse multipart body"},
		{"cut multipart", multipartType, "--XX\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx", 400, "Cannot parse multipart body"},
		{"many parts", multipartType, strings.Repeat("--XX\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nx\r\n", 1001) + "--XX--\r\n", 400, "Too many arguments"},
		{"type in capitals", "Application/JSON", `{}`, 415, ""},
		{"text", "text/plain", `{}`, 415, ""},
		{"no type", "", `{}`, 415, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, method := range []string{"POST /services", "PUT /services/a", "PATCH /services/a"} {
				verb, path, _ := strings.Cut(method, " ")
				r := httptest.NewRequest(verb, path, strings.NewReader(c.body))
				r.Header.Set("Content-Type", c.kind)
				if c.kind == "" {
					r.Header.Del("Content-Type")
				}
				w := httptest.NewRecorder()
				newFixture(t).ServeHTTP(w, r)
				if w.Code != c.status || !strings.Contains(w.Body.String(), c.message) {
					t.Errorf("%s: %d %.200s, want %d with %q", method, w.Code, w.Body, c.status, c.message)
				}
			}
		})
	}
}

// fieldsOf is the inside of a JSON object.
func fieldsOf(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`"a%d":1`, i)
	}
	return strings.Join(fields, ",")
}

// slow is a body that does not come before the server's patience ends.
type slow struct{}

func (slow) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestSlowBody(t *testing.T) {
	r := httptest.NewRequest("POST", "/services", slow{})
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	newFixture(t).ServeHTTP(w, r)
	if w.Code != 408 || w.Body.String() != `{"message":"Request timeout"}` || w.Header().Get("Connection") != "close" {
		t.Errorf("%d %s %v, want 408 and the end of the connection", w.Code, w.Body, w.Header())
	}
}

// A chunked body is measured as it comes, one that says its length before it is read.
func TestTooLongWithoutLength(t *testing.T) {
	r := httptest.NewRequest("POST", "/services", strings.NewReader(`{"name":"`+strings.Repeat("x", 1<<17)+`"}`))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	newFixture(t).ServeHTTP(w, r)
	if w.Code != 413 {
		t.Errorf("%d %s, want 413", w.Code, w.Body)
	}
}

// Whatever is asked, the answer is one that the Admin API gives, never a 500 and never a panic.
func FuzzHandler(f *testing.F) {
	for _, file := range recordings {
		for _, e := range exchanges(f, file) {
			f.Add(e.Method, e.Path, e.Type, e.Body)
		}
	}
	f.Add("GET", "/cache/a", "", "")
	f.Add("DELETE", "/cache", "", "")
	f.Add("PUT", "/routes/ns/service", "application/json", `{"host":"a.test"}`)
	f.Fuzz(func(t *testing.T, method, path, kind, text string) {
		r := httptest.NewRequest("GET", "/", strings.NewReader(text))
		u, err := r.URL.Parse(path)
		if err != nil {
			return // a server answers 400 before any handler sees it
		}
		r.Method, r.URL = method, u
		r.Header["Content-Type"] = []string{kind}
		h := newFixture(t)
		for _, setup := range []string{`POST /services {"name":"svc1","host":"a.test"}`, `POST /services/svc1/routes {"name":"ns","paths":["/a"]}`, `POST /consumers {"username":"alice"}`} {
			if w := h.ask(setup); w.Code != 201 {
				t.Fatal(w.Body)
			}
		}
		w := httptest.NewRecorder()
		began := time.Now()
		h.ServeHTTP(w, r)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("%s %s: took %s", method, path, took)
		}
		if w.Code >= 500 || w.Code < 200 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if w.Code >= 400 && !json.Valid(w.Body.Bytes()) && w.Code != 415 && method != "HEAD" && method != "TRACE" {
			t.Fatalf("%s %s: %d %q is no object", method, path, w.Code, w.Body)
		}
	})
}

// ask sends "METHOD path body", the body as JSON.
func (f *fixture) ask(request string) *httptest.ResponseRecorder {
	parts := strings.SplitN(request, " ", 3)
	var body string
	if len(parts) == 3 {
		body = parts[2]
	}
	r := httptest.NewRequest(parts[0], parts[1], strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// must is ask, and the answer decoded.
func (f *fixture) must(t *testing.T, status int, request string) map[string]any {
	t.Helper()
	w := f.ask(request)
	if w.Code != status {
		t.Fatalf("%s: %d %s, want %d", request, w.Code, w.Body, status)
	}
	var o map[string]any
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
			t.Fatalf("%s: %q: %v", request, w.Body, err)
		}
	}
	return o
}

func (f *fixture) id(t *testing.T, request string, args ...any) string {
	t.Helper()
	id, _ := f.must(t, 201, fmt.Sprintf(request, args...))["id"].(string)
	return id
}
