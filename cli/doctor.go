package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidemark/fixtures/postgres"
	"tidemark/suite"
)

// A finding is one thing that a driver wants of this machine.
type finding struct {
	Driver string `json:"driver"`
	What   string `json:"what"`
	Good   bool   `json:"good"`
	Found  string `json:"found"`
	Mend   string `json:"mend,omitempty"` // the one command that mends it
	must   bool
}

func (a *app) doctorCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "doctor", Short: "Say what this machine has and lacks for each driver", Args: noArguments,
		Long: "Say what this machine has and lacks for each driver, with the one command that mends it. Exit 0 where the local\ndriver can run, else 2.",
		RunE: func(c *cobra.Command, _ []string) error {
			findings := []finding{findPostgres(), onPath("sh", "apt-get install dash"), onPath("curl", "apt-get install curl"), openFiles(), space("/dev/shm", "shared memory", 2), space(os.TempDir(), "disk", 2), docker(c.Context())}
			for _, f := range findings {
				if f.must && !f.Good {
					a.exit = suite.ExitUnsure
				}
			}
			if format == "json" {
				return a.json(findings)
			}
			a.printFindings(findings)
			return nil
		},
	}
	output(c, &format)
	return c
}

func (a *app) printFindings(findings []finding) {
	for _, f := range findings {
		mark := "ok    "
		switch {
		case !f.Good && f.must:
			mark = "LACKS "
		case !f.Good:
			mark = "hint  "
		}
		fmt.Fprintf(a.out, "%s %-8s %-14s %s\n", mark, f.Driver, f.What, f.Found)
		if !f.Good && f.Mend != "" {
			fmt.Fprintf(a.out, "       %-8s %-14s -> %s\n", "", "", f.Mend)
		}
	}
}

func findPostgres() finding {
	f := finding{Driver: "local", What: "PostgreSQL", must: true, Mend: "apt-get install postgresql"}
	found, err := postgres.Find()
	if err != nil {
		f.Found = strings.ReplaceAll(err.Error(), "\n", " ")
		return f
	}
	f.Good, f.Found = true, fmt.Sprintf("%d in %s", found.Major, found.Dir)
	return f
}

// onPath looks for a program that the walk-through types its commands with.
func onPath(name, mend string) finding {
	f := finding{Driver: "local", What: name, must: true, Mend: mend}
	found, err := exec.LookPath(name)
	if err != nil {
		f.Found = "not on PATH; the walk-through needs it"
		return f
	}
	f.Good, f.Found = true, found
	return f
}

// wantedFiles is what 16 cells hold open in this process: a proxy's two ends for each connection.
const wantedFiles = 4096

func openFiles() finding {
	f := finding{Driver: "local", What: "open files", must: true, Mend: fmt.Sprintf("ulimit -n %d", wantedFiles)}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		f.Found = err.Error()
		return f
	}
	f.Good = limit.Max >= wantedFiles // Go raises the soft limit to the hard one
	f.Found = fmt.Sprintf("%d at once, %d at most (%d wanted)", limit.Cur, limit.Max, wantedFiles)
	return f
}

// space looks at a folder for databases. Too little of it makes a run slow, not impossible.
func space(dir, what string, gigabytes float64) finding {
	f := finding{Driver: "local", What: what, must: what == "disk"}
	if what == "disk" {
		f.Mend = "export TMPDIR=DIR, with a DIR on a larger disk"
	} else {
		f.Mend = fmt.Sprintf("mount -o remount,size=%.0fG %s", gigabytes, dir)
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		f.Found = fmt.Sprintf("no %s (%v); databases lie on disk, which is slower", dir, err)
		return f
	}
	free := float64(stat.Bavail) * float64(stat.Bsize) / (1 << 30)
	f.Good = free >= gigabytes
	f.Found = fmt.Sprintf("%.1f GB free in %s (%.0f wanted)", free, dir, gigabytes)
	return f
}

// docker is wanted by a driver that is still to come, so it is never more than a hint.
func docker(ctx context.Context) finding {
	f := finding{Driver: "compose", What: "Docker", Mend: "start Docker, or set DOCKER_HOST (the local driver needs none)"}
	network, address := "unix", "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		var found bool
		if network, address, found = strings.Cut(host, "://"); !found {
			f.Found = fmt.Sprintf("DOCKER_HOST=%s is no URL", host)
			return f
		}
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		f.Found = "does not answer: " + errors.Unwrap(err).Error()
		return f
	}
	if err := conn.Close(); err != nil {
		f.Found = err.Error()
		return f
	}
	f.Good, f.Found = true, "answers at "+address
	return f
}
