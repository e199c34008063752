package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"tidemark/target"
)

const targets = "fixtures/targets"

// loadTarget takes a name of the targets that ship with tidemark, or a file (with a slash or ending
// in .yaml).
func (a *app) loadTarget(name string) (*target.Target, error) {
	if strings.Contains(name, "/") || strings.HasSuffix(name, ".yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, usageError("read target: %v", err)
		}
		return target.Load(name, data)
	}
	file := path.Join(targets, name+".yaml")
	data, err := fs.ReadFile(a.content, file)
	if err != nil {
		return nil, usageError("unknown target %q%s", name, target.Near(name, a.targetNames()))
	}
	return target.Load(file, data)
}

func (a *app) targetNames() []string {
	files, _ := fs.Glob(a.content, targets+"/*.yaml")
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(path.Base(f), ".yaml"))
	}
	return names
}

// program finds what a node is started with: the one that was asked for, else the target's beside
// this program, else on PATH.
func program(t *target.Target, asked string) (string, error) {
	name := t.Start.Program
	if asked != "" {
		name = asked
	} else if self, err := os.Executable(); err == nil && !strings.Contains(name, "/") {
		beside := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", usageError("find the target's program: %v (beside tidemark and on PATH; --gateway names another; make build makes the reference)", err)
	}
	return filepath.Abs(found)
}

// A defect is one way to break the reference, as the gateway itself tells it.
type defect struct {
	Name      string   `json:"name"`
	Breaks    string   `json:"breaks"`
	Scenarios []string `json:"scenarios"` // as the target's file says
}

// defects asks the program which it has and adds what the target's file expects of them. Where the
// program cannot be asked, the file alone speaks, and err says why.
func defects(ctx context.Context, t *target.Target, program string) (all []defect, err error) {
	listed := map[string][]string{}
	for _, d := range t.Defects {
		listed[d.Name] = d.Scenarios
	}
	text, err := exec.CommandContext(ctx, program, "defects", "-o", "json").Output()
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		all = nil
		for _, d := range t.Defects {
			all = append(all, defect{Name: d.Name, Scenarios: d.Scenarios})
		}
		return all, fmt.Errorf("ask %s for its defects: %w", program, err)
	}
	for i := range all {
		all[i].Scenarios = listed[all[i].Name]
	}
	return all, nil
}
