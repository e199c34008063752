package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A room is one package of this module, as `go list` sees it. Tests count where they could cheat: a
// suite's test that imports the gateway would be as much of a lie as the suite itself.
type room struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

const module = "tidemark"

func rooms(t *testing.T) []room {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-test=false", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []room
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var r room
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		if name, ours := short(r.ImportPath); ours {
			r.ImportPath = name
			all = append(all, r)
		}
	}
}

// short is a package's path inside this module, "." for the root.
func short(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func ours(imports []string) []string {
	var names []string
	for _, path := range imports {
		if name, is := short(path); is {
			names = append(names, name)
		}
	}
	return names
}

func inGateway(name string) bool { return name == "gateway" || strings.HasPrefix(name, "gateway/") }

// in says whether a package is one of the rooms or lies below one.
func in(name string, rooms ...string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool { return name == r || strings.HasPrefix(name, r+"/") })
}

func TestTheSuiteNeverImportsTheGateway(t *testing.T) {
	for _, r := range rooms(t) {
		if inGateway(r.ImportPath) {
			continue
		}
		for _, dep := range slices.Concat(ours(r.Deps), ours(r.TestImports), ours(r.XTestImports)) {
			if inGateway(dep) {
				t.Errorf("%s reaches %s: a suite that sees the gateway from inside can cheat", r.ImportPath, dep)
			}
		}
	}
}

func TestTheGatewayNeverImportsTheSuite(t *testing.T) {
	for _, r := range rooms(t) {
		if !inGateway(r.ImportPath) {
			continue
		}
		for _, dep := range ours(r.Deps) {
			if !inGateway(dep) {
				t.Errorf("%s reaches %s: the reference knows nothing of its judge", r.ImportPath, dep)
			}
		}
		// Its tests may use a real database, and nothing else of the suite's.
		for _, dep := range slices.Concat(ours(r.TestImports), ours(r.XTestImports)) {
			if !inGateway(dep) && dep != "fixtures/postgres" {
				t.Errorf("a test of %s imports %s", r.ImportPath, dep)
			}
		}
	}
}

func TestRoomsThatKnowNothingOfOurs(t *testing.T) {
	alone := []string{"history", "fixtures/logserver", "fixtures/postgres", "fixtures/upstream", "gateway/cache", "gateway/queue", "gateway/event", "gateway/schema"}
	for _, r := range rooms(t) {
		if slices.Contains(alone, r.ImportPath) {
			if deps := ours(r.Deps); len(deps) > 0 {
				t.Errorf("%s imports %v and should import nothing of ours", r.ImportPath, deps)
			}
		}
	}
}

func TestPluginsDoNotImportEachOther(t *testing.T) {
	for _, r := range rooms(t) {
		if !strings.HasPrefix(r.ImportPath, "gateway/plugin/") {
			continue
		}
		for _, dep := range ours(r.Deps) {
			if strings.HasPrefix(dep, "gateway/plugin/") {
				t.Errorf("%s imports %s", r.ImportPath, dep)
			}
		}
	}
}

func TestOnlyTheGatewaysWiringKnowsManyRooms(t *testing.T) {
	for _, r := range rooms(t) {
		if n := len(ours(r.Imports)); n > 6 && r.ImportPath != "gateway" {
			t.Errorf("%s imports %d rooms: %v", r.ImportPath, n, ours(r.Imports))
		}
	}
}

// Every row names a library and the rooms that may hold it.
func TestWhoUsesWhat(t *testing.T) {
	law := map[string][]string{
		"github.com/cucumber/godog":                   {"suite", "steps"},
		"github.com/gavv/httpexpect/v2":               {"steps"},
		"github.com/jackc/pgx/v5":                     {"gateway/store", "fixtures/postgres"},
		"github.com/Shopify/toxiproxy/v2":             {"toxics", "cluster"},
		"github.com/testcontainers/testcontainers-go": {"cluster/compose"},
	}
	for _, r := range rooms(t) {
		for library, allowed := range law {
			for _, path := range r.Imports {
				if (path == library || strings.HasPrefix(path, library+"/")) && !in(r.ImportPath, allowed...) {
					t.Errorf("%s imports %s, which belongs to %v", r.ImportPath, path, allowed)
				}
			}
		}
	}
}

func TestWhatAStrangerLooksForIsThere(t *testing.T) {
	for _, path := range []string{
		"gateway", "features", "steps", "toxics", "fixtures", "go.mod", "go.sum", "Makefile",
		"README.md", "CONTRIBUTING.md", ".ci/run", "report/results.schema.json",
	} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("missing: %v", err)
		}
	}
}

// Lines bounds two files that must stay wiring.
func TestWiringStaysShort(t *testing.T) {
	for _, file := range []string{"main.go", "gateway/main.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > 150 {
			t.Errorf("%s has %d lines; it is wiring, at most 150", file, n)
		}
	}
}
