package toxics_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tidemark/toxics"
)

func TestMain(m *testing.M) {
	// What toxiproxy's client keeps of its last calls ends with the server, a moment after it.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// server answers every chunk with "S" and what it got: canaries hear one byte, tests all of it.
type server struct {
	listener net.Listener
	all      sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
	got      strings.Builder
}

func serve(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: l}
	s.all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.all.Go(func() { s.answer(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		s.all.Wait()
	})
	return s
}

func (s *server) answer(conn net.Conn) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if n != 8 {
			s.mu.Lock()
			s.got.Write(buf[:n])
			s.mu.Unlock()
		}
		if _, err := conn.Write(append([]byte("S"), buf[:n]...)); err != nil {
			return
		}
	}
}

func (s *server) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

func open(t *testing.T, pattern string) (*toxics.Proxy, *server) {
	t.Helper()
	back := serve(t)
	s, err := toxics.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	p, err := s.Proxy(t.Context(), "wire", back.listener.Addr().String(), pattern)
	if err != nil {
		t.Fatal(err)
	}
	return p, back
}

func dial(t *testing.T, p *toxics.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends a line and returns what came back within d.
func ask(conn net.Conn, line string, d time.Duration) (string, error) {
	_ = conn.SetDeadline(time.Now().Add(d))
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func inflict(t *testing.T, p *toxics.Proxy, f toxics.Fault) *toxics.Disturbance {
	t.Helper()
	d, err := p.Inflict(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func heal(t *testing.T, d *toxics.Disturbance) {
	t.Helper()
	if err := d.Heal(t.Context(), false); err != nil {
		t.Fatal(err)
	}
}

func witnessed(t *testing.T, d *toxics.Disturbance) {
	t.Helper()
	if yes, why := d.Witnessed(); !yes {
		t.Errorf("not witnessed: %q", why)
	} else {
		t.Logf("%q", why)
	}
}

func TestCutClosesAndRefuses(t *testing.T) {
	p, _ := open(t, "")
	conn := dial(t, p)
	if _, err := ask(conn, "hello", time.Second); err != nil {
		t.Fatal(err)
	}
	d := inflict(t, p, toxics.CutFromDatabase)
	if _, err := ask(conn, "again", time.Second); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the old connection: %v, want it closed", err)
	}
	if late, err := net.Dial("tcp", p.Addr()); err == nil {
		_ = late.Close()
		t.Error("a new connection was let in")
	}
	heal(t, d)
	witnessed(t, d)
	if _, err := ask(dial(t, p), "hello", time.Second); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

func TestDeafHearsNothingAndIsHeard(t *testing.T) {
	p, back := open(t, "")
	conn := dial(t, p)
	d := inflict(t, p, toxics.DeafToDatabase)
	if got, err := ask(conn, "write", 100*time.Millisecond); err == nil {
		t.Errorf("heard %q", got)
	}
	if got := back.heard(); got != "write\n" {
		t.Errorf("the server got %q, want the write", got)
	}
	heal(t, d)
	witnessed(t, d)
	if _, err := ask(conn, "again", time.Second); err == nil {
		t.Error("the connection outlived the fault")
	}
}

func TestHeldArrivesAfterwardsInOrder(t *testing.T) {
	p, back := open(t, "")
	conn := dial(t, p)
	d := inflict(t, p, toxics.HeldFromDatabase)
	var want strings.Builder
	for i := range 20 {
		line := strings.Repeat(string(rune('a'+i)), 3000) + "\n"
		want.WriteString(line)
		if _, err := io.WriteString(conn, line); err != nil {
			t.Fatal(err)
		}
	}
	if got := back.heard(); got != "" {
		t.Errorf("the server got %q during the fault", got)
	}
	heal(t, d)
	witnessed(t, d)
	deadline := time.Now().Add(2 * time.Second)
	for tick := time.NewTicker(time.Millisecond); back.heard() != want.String() && time.Now().Before(deadline); {
		<-tick.C
	}
	if back.heard() != want.String() {
		t.Errorf("the server got %d bytes, want %d, in order", len(back.heard()), want.Len())
	}
}

func TestSlowAnswersLate(t *testing.T) {
	p, _ := open(t, "")
	conn := dial(t, p)
	d := inflict(t, p, toxics.SlowDatabase(200*time.Millisecond))
	began := time.Now()
	if _, err := ask(conn, "hello", time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); !toxics.Within(took, 200*time.Millisecond) {
		t.Errorf("answered after %v, want 200 ms", took)
	}
	heal(t, d)
	witnessed(t, d)
}

func TestNoWitnessWhenNothingWasThereToBreak(t *testing.T) {
	for _, f := range []toxics.Fault{toxics.CutFromDatabase, toxics.DeafToDatabase, toxics.HeldFromDatabase} {
		t.Run(f.Name, func(t *testing.T) {
			p, back := open(t, "")
			_ = back.listener.Close()
			d := inflict(t, p, f)
			heal(t, d)
			if yes, why := d.Witnessed(); yes {
				t.Errorf("witnessed on a dead wire: %q", why)
			}
		})
	}
}

func TestNoWitnessWhenTheFaultDoesNothing(t *testing.T) {
	for _, f := range []toxics.Fault{
		{Name: "nothing", Wire: toxics.Database},
		{Name: "nothing that answers", Wire: toxics.Database, Answers: true},
		{Name: "half", Wire: toxics.Database, Answers: true, Delay: 300 * time.Millisecond, Toxics: toxics.SlowDatabase(20 * time.Millisecond).Toxics},
	} {
		t.Run(f.Name, func(t *testing.T) {
			p, _ := open(t, "")
			d := inflict(t, p, f)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-t.Context().Done():
			}
			heal(t, d)
			if yes, why := d.Witnessed(); yes {
				t.Errorf("witnessed: %q", why)
			}
		})
	}
}

func TestThePatternIsSeenWhenItIsSent(t *testing.T) {
	p, _ := open(t, "/* poll */")
	conn := dial(t, p)
	var from, to time.Time
	for _, text := range []string{"SELECT 1", "/* poll */ SELECT 2", "SELECT 3 /* pool */"} {
		began := time.Now()
		if _, err := ask(conn, text, time.Second); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "poll") {
			from, to = began, time.Now()
		}
	}
	seen := p.Seen()
	if len(seen) != 1 || seen[0].Before(from) || seen[0].After(to) {
		t.Errorf("seen at %v, want once between %v and %v", seen, from, to)
	}
}

func TestThePatternIsSeenAcrossChunks(t *testing.T) {
	p, _ := open(t, "/* poll */")
	conn := dial(t, p)
	for _, part := range []string{"x /* po", "ll */ y"} {
		if _, err := io.WriteString(conn, part); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, len(part)+1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(p.Seen()); got != 1 {
		t.Errorf("seen %d times, want 1", got)
	}
	if to, from := p.Bytes(); to != 14 || from != 16 {
		t.Errorf("bytes: %d and %d, want 14 and 16", to, from)
	}
}

func TestFaultsAreTold(t *testing.T) {
	var names []string
	for _, f := range toxics.Faults() {
		if f.Explain == "" || f.Wire == "" {
			t.Errorf("%s: no explanation or wire", f.Name)
		}
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(toxics.Faults()) {
		t.Errorf("two faults of one name: %v", names)
	}
}

// A child that is being forked holds a copy of every listener, which lives on until the child runs its program.
func TestCutIsWitnessedWhileProcessesAreForked(t *testing.T) {
	p, _ := open(t, "")
	stop := make(chan struct{})
	var forks sync.WaitGroup
	for range 4 {
		forks.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	defer forks.Wait()
	defer close(stop)
	for range 60 {
		d := inflict(t, p, toxics.CutFromDatabase)
		heal(t, d)
		if yes, why := d.Witnessed(); !yes {
			t.Fatalf("not witnessed: %q", why)
		}
	}
}
