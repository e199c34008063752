package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidemark/fixtures/postgres"
)

// A process is one run of a node's program.
type process struct {
	*postgres.Child
	env []string
	at  addresses
}

// addresses is what a node writes when all its listeners are open.
type addresses struct {
	Proxy  []string `json:"proxy"`
	Admin  []string `json:"admin"`
	Status []string `json:"status"`
}

// launch starts the program and waits until it is ready. An error comes with the end of its log.
func (n *Node) launch(ctx context.Context) (*process, error) {
	d := n.cluster.cell.driver
	home := filepath.Join(n.cluster.dir, "run", fmt.Sprintf("node%d", n.number))
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(home, "addresses.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err // a previous process's would be believed
	}
	args := slices.Concat(d.o.Target.Start.Args, fill(d.o.Target.Start.AddressFile, "{file}", file))
	if n.cluster.spec.ConfigFile != "" {
		args = append(args, fill(d.o.Target.Start.ConfigFile, "{file}", n.cluster.spec.ConfigFile)...)
	}
	for _, defect := range d.o.Defects {
		args = append(args, fill(d.o.Target.Start.Defect, "{name}", defect)...)
	}
	cmd := exec.Command(d.program, args...)
	cmd.Dir = home
	cmd.Env = append(environment(home), d.o.Target.Environment(n.settings, n.facts(), n.said...)...)
	log, err := os.OpenFile(n.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p := &process{env: cmd.Env}
	if p.Child, err = d.nursery.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	if err := p.ready(ctx, d, file); err != nil {
		p.Kill()
		return p, fmt.Errorf("start %s: %w%s", n.name(), err, lastLines(n.LogPath()))
	}
	return p, nil
}

// environment is what a node has beside its settings: nothing of this process's that could configure it.
func environment(home string) []string {
	env := []string{"HOME=" + home, "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"TMPDIR", "GOCOVERDIR", "GOTRACEBACK"} {
		if v, found := os.LookupEnv(name); found {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func fill(args []string, placeholder, value string) []string {
	filled := make([]string, len(args))
	for i, a := range args {
		filled[i] = strings.ReplaceAll(a, placeholder, value)
	}
	return filled
}

// ready waits for the addresses, and then for the status listener's good answer.
func (p *process) ready(ctx context.Context, d *Driver, file string) error {
	within := d.o.Target.Start.Ready.Timeout.Duration()
	if within == 0 {
		within = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := p.until(ctx, func() error { return p.readAddresses(file) })
	if err != nil {
		return err
	}
	return p.until(ctx, func() error { return d.ready(ctx, p.at.Status[0]) })
}

// until tries every few milliseconds until it goes well.
func (p *process) until(ctx context.Context, try func() error) error {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Ended():
			return fmt.Errorf("it ended (%s)", p.Outcome())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

func (p *process) readAddresses(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &p.at); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if len(p.at.Proxy) == 0 || len(p.at.Admin) == 0 || len(p.at.Status) == 0 {
		return fmt.Errorf("read %s: it lacks an address: %s", file, data)
	}
	return nil
}

// ready asks once whether a node may be used.
func (d *Driver) ready(ctx context.Context, addr string) error {
	want := d.o.Target.Start.Ready
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url(addr)+want.Path, nil)
	if err != nil {
		return err
	}
	answer, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 512)) // only for the error
	if answer.StatusCode != want.Status {
		return fmt.Errorf("GET %s: %d %s", want.Path, answer.StatusCode, bytes.TrimSpace(said))
	}
	return nil
}

func lastLines(file string) string {
	data, err := os.ReadFile(file)
	if err != nil || len(data) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return "\n  " + strings.Join(lines[max(0, len(lines)-8):], "\n  ")
}

func (p *process) ended() bool {
	select {
	case <-p.Ended():
		return true
	default:
		return false
	}
}

// terminate asks it to end by a signal, "" is the target's, waits, and kills what does not.
func (n *Node) terminate(ctx context.Context, p *process, by string) error {
	stop := n.cluster.cell.driver.o.Target.Start.Stop
	by = cmp.Or(by, stop.Signal)
	signal, found := signals[by]
	if !found {
		return fmt.Errorf("stop: no signal %q", by)
	}
	if err := p.Signal(signal); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	within := stop.Timeout.Duration()
	if within == 0 {
		within = 5 * time.Second
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.Ended():
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	p.Kill()
	return fmt.Errorf("stop: it did not end within %v of %s", within, by)
}

var signals = map[string]syscall.Signal{
	"": syscall.SIGTERM, "SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGHUP": syscall.SIGHUP,
}

// freeze stops it and waits until it stands still.
func (p *process) freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if p.state() == "stopped" {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("freeze: it is still %s", p.state())
}

func (p *process) thaw() error {
	if err := p.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("thaw: %w", err)
	}
	return nil
}

// state asks the system: "running", "stopped" or "gone".
func (p *process) state() string {
	if p.ended() {
		return "gone"
	}
	switch letter := stateLetter(p.PID()); letter {
	case "", "Z", "X":
		return "gone"
	case "T":
		return "stopped"
	default:
		return "running"
	}
}

// stateLetter is ps's word for what a process does; "" when there is no such process. Where there is a
// /proc it is read, which costs no process of its own.
func stateLetter(pid int) string {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		return string(fields[0])
	}
	out, err := exec.Command("ps", "-o", "state=", "-p", fmt.Sprint(pid)).Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		return ""
	}
	return string(bytes.TrimSpace(out)[:1])
}

// memory is how many bytes the process holds in memory, by /proc.
func memory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, &UnsupportedError{Why: "memory is read from /proc: " + err.Error()}
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	var kilobytes int64
	if _, err := fmt.Fscan(bytes.NewReader(rest), &kilobytes); err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return kilobytes << 10, nil
}
