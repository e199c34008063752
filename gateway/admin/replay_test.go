package admin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidemark/gateway/schema"
)

// An exchange is one request to a stock gateway of the version that this one follows, and its
// answer. Without a status it only takes part in the state of the later ones.
type exchange struct {
	Name, Method, Path, Type, Body string
	Status                         int
	Answer                         any
	Page, Allow                    string
}

func exchanges(tb testing.TB, file string) []exchange {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var all []exchange
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			tb.Fatalf("read %s: %v", file, err)
		}
		all = append(all, e)
	}
	return all
}

// recordings are the files of one recorded session, in its order: they share their entities.
var recordings = []string{"services.jsonl", "routes.jsonl", "consumers.jsonl", "credentials.jsonl", "plugins.jsonl"}

func TestRecordedExchanges(t *testing.T) {
	f := newFixture(t)
	b := &binding{ids: map[string]string{}}
	for _, file := range recordings {
		for _, e := range exchanges(t, file) {
			t.Run(strings.TrimSuffix(file, ".jsonl")+"/"+e.Name, func(t *testing.T) { replay(t, f, b, e) })
		}
	}
}

// replay sends one request with this run's ids in place of the recorded ones.
func replay(t *testing.T, f http.Handler, b *binding, e exchange) {
	r := httptest.NewRequest(e.Method, b.replace(e.Path), strings.NewReader(b.replace(e.Body)))
	if e.Type != "" {
		r.Header.Set("Content-Type", e.Type)
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code >= 500 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if e.Status == 0 {
		return
	}
	if w.Code != e.Status {
		t.Fatalf("status %d, recorded %d: %s", w.Code, e.Status, w.Body)
	}
	if e.Page != "" && w.Body.String() != e.Page {
		t.Errorf("page %q, recorded %q", w.Body, e.Page)
	}
	if e.Allow != "" && w.Header().Get("Allow") != e.Allow {
		t.Errorf("Allow %q, recorded %q", w.Header().Get("Allow"), e.Allow)
	}
	if e.Answer == nil {
		return
	}
	var got any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("answer %q: %v", w.Body, err)
	}
	if list, ok := e.Answer.(map[string]any); ok && list["offset"] != nil {
		return // which entities a page shows depends on their ids
	}
	if err := b.same("", e.Answer, got); err != nil {
		t.Error(err)
	}
}

// A binding knows which id of this run stands for which recorded one.
type binding struct{ ids map[string]string }

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func (b *binding) replace(s string) string {
	return uuids.ReplaceAllStringFunc(s, func(id string) string {
		if mine, known := b.ids[id]; known {
			return mine
		}
		return id
	})
}

// same compares an answer with the recorded one but for ids, times and made-up keys.
func (b *binding) same(path string, want, got any) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || !reflect.DeepEqual(slices.Sorted(maps.Keys(w)), slices.Sorted(maps.Keys(g))) {
			return fmt.Errorf("%s: %v, recorded %v", path, got, want)
		}
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if err := b.same(path+"."+key, w[key], g[key]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Errorf("%s: %v, recorded %v", path, got, want)
		}
		if strings.HasSuffix(path, ".data") {
			w, g = b.byID(w, true), b.byID(g, false)
		}
		for i := range w {
			if err := b.same(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return b.sameScalar(path, want, got)
}

// byID sorts a list's entities: the recorded ones by the ids that stand for theirs.
func (b *binding) byID(list []any, recorded bool) []any {
	id := func(v any) string {
		o, _ := v.(map[string]any)
		text, _ := o["id"].(string)
		if recorded {
			return b.replace(text)
		}
		return text
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(x, y any) int { return strings.Compare(id(x), id(y)) })
	return list
}

func (b *binding) sameScalar(path string, want, got any) error {
	last := path[strings.LastIndex(path, ".")+1:]
	switch w := want.(type) {
	case string:
		g, _ := got.(string)
		if last == "id" && schema.IsUUID(g) && b.ids[w] == "" {
			b.ids[w] = g
		}
		if last == "key" && len(w) == 32 && len(g) == 32 {
			return nil
		}
		want = b.replace(w)
	case float64:
		g, isNumber := got.(float64)
		if isNumber && g > 1e9 && w > 1e9 && (last == "created_at" || last == "updated_at") {
			return nil
		}
		if isNumber && last == "ttl" && g <= w+1 && g >= w {
			return nil
		}
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Errorf("%s: %#v, recorded %#v", path, got, want)
	}
	return nil
}
