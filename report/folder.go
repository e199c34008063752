package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"tidemark/history"
)

// kept is how many runs a folder of runs holds before the oldest goes.
const kept = 20

var runName = regexp.MustCompile(`^\d{8}-\d{6}-\d+(-\d+)?$`)

// NewFolder makes a new folder for a run in out, named for its start and process, points out/latest
// to it and removes all but the newest 20 runs. Nothing is ever overwritten. The path that it returns
// is absolute: programs with working folders of their own are given files in it.
func NewFolder(out string, started time.Time) (string, error) {
	out, err := filepath.Abs(out)
	if err != nil {
		return "", fmt.Errorf("make run folder: %w", err)
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return "", fmt.Errorf("make run folder: %w", err)
	}
	base := filepath.Join(out, fmt.Sprintf("%s-%d", started.Format("20060102-150405"), os.Getpid()))
	folder := base
	for n := 2; ; n++ {
		err := os.Mkdir(folder, 0o777)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("make run folder: %w", err)
		}
		folder = fmt.Sprintf("%s-%d", base, n)
	}
	return folder, errors.Join(Furnish(folder), point(out, folder), rotate(out, folder))
}

// Furnish makes the folder, where it is missing, and what each run keeps in it.
func Furnish(folder string) error {
	for _, part := range []string{"logs", "history"} {
		if err := os.MkdirAll(filepath.Join(folder, part), 0o777); err != nil {
			return fmt.Errorf("make run folder: %w", err)
		}
	}
	return nil
}

// point makes out/latest lead to the folder, by rename, so that it always leads somewhere.
func point(out, folder string) error {
	temporary := filepath.Join(folder, ".latest")
	if err := os.Symlink(filepath.Base(folder), temporary); err != nil {
		return fmt.Errorf("point latest: %w", err)
	}
	if err := os.Rename(temporary, filepath.Join(out, "latest")); err != nil {
		return fmt.Errorf("point latest: %w", err)
	}
	return nil
}

func rotate(out, mine string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return fmt.Errorf("rotate runs: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() || !runName.MatchString(e.Name()) || e.Name() == filepath.Base(mine)
	})
	var failed error
	for i := 0; i < len(entries)-(kept-1); i++ { // ReadDir sorts by name, so by start
		failed = errors.Join(failed, os.RemoveAll(filepath.Join(out, entries[i].Name())))
	}
	return failed
}

// remembered is how many earlier runs are asked how long scenarios take.
const remembered = 5

// Durations returns how long each scenario took when it last passed, as the latest runs of out say;
// nothing where there are none.
func Durations(out string) map[string]time.Duration {
	entries, err := os.ReadDir(out)
	if err != nil {
		return nil
	}
	known, asked := map[string]time.Duration{}, 0
	for _, e := range slices.Backward(entries) {
		data, err := os.ReadFile(filepath.Join(out, e.Name(), "results.json"))
		var last Results
		if !runName.MatchString(e.Name()) || err != nil || json.Unmarshal(data, &last) != nil || len(last.Target.Defects) > 0 {
			continue
		}
		for _, s := range last.Scenarios {
			if _, newer := known[s.ID]; s.Verdict == Pass && !newer {
				known[s.ID] = s.Duration.Duration()
			}
		}
		if asked++; asked == remembered {
			break
		}
	}
	return known
}

// Write puts results.json, junit.xml and report.txt into the folder, each whole or not at all.
func Write(folder string, r *Results) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	junit, err := JUnit(r)
	if err != nil {
		return err
	}
	return errors.Join(
		writeWhole(filepath.Join(folder, "results.json"), append(data, '\n')),
		writeWhole(filepath.Join(folder, "junit.xml"), junit),
		writeWhole(filepath.Join(folder, "report.txt"), []byte(Text(r, folder))),
	)
}

func writeWhole(file string, data []byte) error {
	if err := os.WriteFile(file+".new", data, 0o666); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// KeepLogs keeps what a red scenario left in dir (within folder) and the logs that lie elsewhere,
// secrets redacted, and returns the files relative to folder. Of another scenario nothing is kept.
func KeepLogs(folder, dir string, logs []string, red bool) ([]string, error) {
	if !red {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("drop logs: %w", err)
		}
		return nil, nil
	}
	for _, log := range logs {
		if inside, err := filepath.Rel(dir, log); err == nil && filepath.IsLocal(inside) {
			continue
		}
		if data, err := os.ReadFile(log); err == nil { // a node that never started has none
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(log)), data, 0o666); err != nil {
				return nil, fmt.Errorf("keep logs: %w", err)
			}
		}
	}
	var files []string
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, file)
		files = append(files, relative)
		return cmp.Or(err, os.WriteFile(file, Redact(data), 0o666))
	})
	if err != nil {
		return files, fmt.Errorf("keep logs: %w", err)
	}
	return files, nil
}

// KeepHistory writes what a scenario saw, an entry a line, and returns the file relative to folder.
func KeepHistory(folder, name string, h *history.History) (string, error) {
	relative := filepath.Join("history", name+".ndjson")
	file, err := os.Create(filepath.Join(folder, relative))
	if err != nil {
		return "", fmt.Errorf("keep history: %w", err)
	}
	buffer := bufio.NewWriter(file)
	for _, entry := range h.Entries() {
		line, err := json.Marshal(entry)
		if err != nil {
			return "", errors.Join(fmt.Errorf("keep history: %w", err), file.Close())
		}
		buffer.Write(append(Redact(line), '\n'))
	}
	if err := errors.Join(buffer.Flush(), file.Close()); err != nil {
		return "", fmt.Errorf("keep history: %w", err)
	}
	return relative, nil
}

var (
	secretValue  = regexp.MustCompile(`(?i)((?:password|passwd|secret|api[-_]?key)"?\s*[:=]\s*"?)([^\s"&,;}]+)`)
	secretHeader = regexp.MustCompile(`(?i)(authorization"?\s*[:=]\s*"?)([^"\r\n]+)`)
	secretInURL  = regexp.MustCompile(`(://[^\s/:@]*:)([^\s/@]+)@`)
)

// Redact replaces passwords, keys and the like by ******.
func Redact(text []byte) []byte {
	text = secretInURL.ReplaceAll(text, []byte("${1}******@"))
	text = secretHeader.ReplaceAll(text, []byte("${1}******"))
	return secretValue.ReplaceAll(text, []byte("${1}******"))
}
