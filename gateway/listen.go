package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tidemark/gateway/config"
)

const (
	headerTimeout = 60 * time.Second // for a request's line and headers
	bodyTimeout   = 60 * time.Second // for an Admin request as a whole
	idleTimeout   = 75 * time.Second
	// What is above these is answered as Kong's web server does; what is above maxRead net/http does
	// not read, and answers 431.
	maxURI    = 8 << 10  // bytes of a request's URI
	maxField  = 8 << 10  // bytes of one header
	maxHeader = 32 << 10 // bytes of all
	maxRead   = 1 << 20
	// drainTimeout bounds how long requests in flight are waited for when the node stops.
	drainTimeout = 10 * time.Second
	// cutTimeout bounds how long it takes those that were cut to notice.
	cutTimeout = time.Second
)

// A door is an open listener and how it is served.
type door struct {
	net.Listener
	config.Listen
	worker int // of the proxy's doors; the others have one
}

// doors are the open listeners of a node, by what is behind them.
type doors struct {
	proxy, admin, status []door
	log                  *slog.Logger
}

// openDoors opens every listener that cfg names, or none: an error names the address. The proxy has
// as many on each address as it has workers; the system spreads the connections over them.
func openDoors(ctx context.Context, cfg config.Config, log *slog.Logger) (*doors, error) {
	d := &doors{log: log}
	for _, side := range []struct {
		at   *[]door
		want []config.Listen
		name string
	}{{&d.proxy, cfg.ProxyListen, "proxy"}, {&d.admin, cfg.AdminListen, "admin"}, {&d.status, cfg.StatusListen, "status"}} {
		workers := 1
		if side.at == &d.proxy {
			workers = cfg.Workers
		}
		for _, want := range side.want {
			want.ReusePort = want.ReusePort || workers > 1
			for worker := range workers {
				l, err := openDoor(ctx, want)
				if err != nil {
					d.close()
					return nil, failure{exitUsage, fmt.Errorf("configuration: open %s listener: %w; end what listens there, or give KONG_%s_LISTEN another address (port 0: any free one)",
						side.name, err, strings.ToUpper(side.name))}
				}
				*side.at = append(*side.at, door{l, want, worker})
				want.Address = l.Addr().String() // where it was port 0, the others share what the first got
			}
		}
	}
	return d, nil
}

func openDoor(ctx context.Context, want config.Listen) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: 15 * time.Second}
	if want.ReusePort {
		lc.Control = func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			})
			return errors.Join(err, failed)
		}
	}
	l, err := lc.Listen(ctx, "tcp", want.Address)
	if err != nil || want.Backlog == 0 {
		return l, err
	}
	if err := backlog(l, want.Backlog); err != nil {
		return nil, errors.Join(fmt.Errorf("set backlog of %s: %w", want.Address, err), l.Close())
	}
	return l, nil
}

// backlog sets how many connections may wait: listening again on a socket changes its number.
func backlog(l net.Listener, n int) error {
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), n) })
	return errors.Join(err, failed)
}

func (d *doors) all() []door {
	return append(append(append([]door(nil), d.proxy...), d.admin...), d.status...)
}

// String tells where the node listens and what is behind each address.
func (d *doors) String() string {
	var words []string
	for _, side := range []struct {
		name string
		list []door
	}{{"proxy", d.proxy}, {"admin", d.admin}, {"status", d.status}} {
		for _, address := range addresses(side.list) {
			words = append(words, side.name+" "+address)
		}
	}
	return strings.Join(words, ", ")
}

// addresses lists each address once.
func addresses(list []door) []string {
	out := make([]string, 0, len(list))
	for _, l := range list {
		if l.worker == 0 {
			out = append(out, l.Addr().String())
		}
	}
	return out
}

func (d *doors) close() {
	for _, l := range d.all() {
		_ = l.Close() // nothing was served on it
	}
}

// announce writes where the node listens, whole or not at all: who waits for the file never reads
// half of it. An empty name writes nothing. The function takes the file away again, unless another
// node has written its own there since.
func (d *doors) announce(file string) (withdraw func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	data, err := json.Marshal(map[string]any{
		"proxy": addresses(d.proxy), "admin": addresses(d.admin), "status": addresses(d.status), "pid": os.Getpid(),
	})
	if err == nil {
		data = append(data, '\n')
		err = replace(file, data)
	}
	if err != nil {
		return nil, failure{exitUsage, fmt.Errorf("configuration: write address file: %w; give --address-file a name in a folder that this user can write to", err)}
	}
	return func() {
		if now, err := os.ReadFile(file); err == nil && bytes.Equal(now, data) {
			if err := os.Remove(file); err != nil {
				d.log.Warn("address file is left behind", "error", err)
			}
		}
	}, nil
}

// replace puts a file in the place of what may be there.
func replace(file string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), ".addresses-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temporary.Name()))
	}
	return err
}

// serve serves until ctx ends, each worker of the proxy with its own handler, then takes no more
// connections and waits for the requests in flight, at most drainTimeout. It returns when every
// connection is closed; a listener that breaks ends the others too, and is the error.
func (d *doors) serve(ctx context.Context, proxies []http.Handler, admin, status http.Handler) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	certificate, err := d.certificate()
	if err != nil {
		d.close()
		return err
	}
	var wait sync.WaitGroup
	start := func(list []door, workers []http.Handler, readTimeout time.Duration) {
		for _, l := range list {
			s := newServer(l, workers[l.worker], readTimeout, certificate, d.log)
			wait.Go(func() { s.drain(ctx) })
			wait.Go(func() {
				if err := s.run(l); !errors.Is(err, http.ErrServerClosed) {
					stop(fmt.Errorf("serve %s: %w", l.Addr(), err))
				}
			})
		}
	}
	start(d.proxy, proxies, 0) // a body may stream for as long as it likes
	start(d.admin, []http.Handler{admin}, bodyTimeout)
	start(d.status, []http.Handler{status}, bodyTimeout)
	<-ctx.Done()
	wait.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// oversized is the answer to a request whose head is too large; 0: it is not.
func oversized(r *http.Request) (status int, message string) {
	if len(r.RequestURI) > maxURI {
		return http.StatusRequestURITooLong, "URI too long"
	}
	total := len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			size := len(name) + len(v) + len(": \r\n")
			if total += size; size > maxField || total > maxHeader {
				return http.StatusBadRequest, "Request header or cookie too large"
			}
		}
	}
	return 0, ""
}

// A server is an http.Server that knows its connections on which no request has come yet:
// Shutdown would wait 5 s for them.
type server struct {
	http.Server
	handler http.Handler
	mu      sync.Mutex
	fresh   map[net.Conn]bool
	leaving bool          // draining: what is accepted at the last moment is closed as well
	active  int           // requests
	ended   chan struct{} // gets something after one has ended
}

// ServeHTTP counts the requests in flight: what each of them logs is waited for, also when it is cut.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.count(1)
	defer s.count(-1)
	s.handler.ServeHTTP(w, r)
}

func (s *server) count(by int) (active int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active += by
	if by < 0 {
		select {
		case s.ended <- struct{}{}:
		default: // one word is enough
		}
	}
	return s.active
}

func newServer(l door, h http.Handler, readTimeout time.Duration, certificate *tls.Certificate, log *slog.Logger) *server {
	s := &server{handler: h, fresh: map[net.Conn]bool{}, ended: make(chan struct{}, 1)}
	s.Server = http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxRead, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo),
		Protocols: new(http.Protocols),
		ConnState: func(c net.Conn, state http.ConnState) {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case state == http.StateNew && s.leaving:
				_ = c.Close()
			case state == http.StateNew:
				s.fresh[c] = true
			default:
				delete(s.fresh, c)
			}
		},
	}
	s.Protocols.SetHTTP1(true)
	if l.TLS {
		s.Protocols.SetHTTP2(l.HTTP2)
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	} else {
		s.Protocols.SetUnencryptedHTTP2(l.HTTP2)
	}
	return s
}

func (s *server) run(l door) error {
	if l.TLS {
		return s.ServeTLS(l, "", "")
	}
	return s.Serve(l)
}

// drain stops the server when ctx ends.
func (s *server) drain(ctx context.Context) {
	<-ctx.Done()
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	s.mu.Lock()
	s.leaving = true
	for c := range s.fresh {
		_ = c.Close()
	}
	s.mu.Unlock()
	if s.Shutdown(bounded) != nil {
		_ = s.Close() // what is still in flight is cut
		s.await(cutTimeout)
	}
}

// await waits until no request is in flight, for at most d.
func (s *server) await(d time.Duration) {
	late := time.NewTimer(d)
	defer late.Stop()
	for s.count(0) > 0 {
		select {
		case <-s.ended:
		case <-late.C:
			return
		}
	}
}

// certificate makes one in memory where a listener needs it: TLS here is for tests and for
// protocols that want it, not for identity.
func (d *doors) certificate() (*tls.Certificate, error) {
	needed := false
	for _, l := range d.all() {
		needed = needed || l.TLS
	}
	if !needed {
		return nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
