package toxics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	client "github.com/Shopify/toxiproxy/v2/client"
	toxic "github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
)

// callTimeout bounds each call of toxiproxy's API, which may block on a peer that does not read.
const callTimeout = 6 * time.Second

// lingering is for how long a closed listener may live on in a process that is being forked.
const lingering = 500 * time.Millisecond

// A Server is a toxiproxy in this process. Safe for concurrent use.
type Server struct {
	inside *toxiproxy.ApiServer
	api    *http.Server
	served chan error
	client *client.Client
	ports  Ports
	name   string
	calls  sync.WaitGroup
}

// Ports says where proxies may listen.
type Ports interface {
	// Port returns a port on 127.0.0.1 that nobody else is given until it is freed, also while
	// nobody listens on it: a wire that was cut must come back where it was.
	Port() (int, error)
	Free(port int)
}

// anyPort leaves it to the system, which may give a cut wire's port to somebody else.
type anyPort struct{}

func (anyPort) Port() (int, error) { return 0, nil }
func (anyPort) Free(int)           {}

// NewServer starts one, with its API on a port of its own. nil ports are the system's.
func NewServer(ports Ports) (*Server, error) {
	toxic.Register(stallType, new(stall))
	toxic.Register(observeType, new(observe))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start toxiproxy: %w", err)
	}
	if ports == nil {
		ports = anyPort{}
	}
	s := &Server{
		inside: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), served: make(chan error, 1),
		ports: ports, name: listener.Addr().String(), client: client.NewClient(listener.Addr().String()),
	}
	s.api = &http.Server{Handler: s.inside.Routes(), ReadHeaderTimeout: callTimeout}
	go func() { s.served <- s.api.Serve(listener) }()
	return s, nil
}

// Close takes all proxies away and ends the API.
func (s *Server) Close() error {
	err := s.inside.Collection.Clear()
	s.calls.Wait()
	err = errors.Join(err, s.api.Close())
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// call runs one API call and gives up waiting for it after a while, or with the context.
func (s *Server) call(ctx context.Context, what string, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	done := make(chan error, 1)
	s.calls.Go(func() { done <- do() })
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: toxiproxy does not answer: %w", what, ctx.Err())
	}
}

// A Proxy is one wire between two ends. Its faults are set one at a time: the caller sees to that.
type Proxy struct {
	server  *Server
	proxy   *client.Proxy
	port    int
	key     string
	traffic *traffic
}

// Proxy opens a wire to the address; names are unique. What the client sends is searched for the
// pattern ("" searches nothing), see [Proxy.Seen].
func (s *Server) Proxy(ctx context.Context, name, upstream, pattern string) (*Proxy, error) {
	p := &Proxy{server: s, key: s.name + "/" + name, traffic: &traffic{pattern: []byte(pattern)}}
	trafficByKey.Store(p.key, p.traffic)
	err := s.call(ctx, "open wire "+name, func() error { return p.open(name, upstream) })
	if err != nil {
		trafficByKey.Delete(p.key)
		return nil, err
	}
	return p, nil
}

// open tries another port where somebody else was faster.
func (p *Proxy) open(name, upstream string) (err error) {
	for range 5 {
		var port int
		if port, err = p.server.ports.Port(); err != nil {
			return err
		}
		if p.proxy, err = p.server.client.CreateProxy(name, fmt.Sprintf("127.0.0.1:%d", port), upstream); err == nil {
			p.port = port
			break
		}
	}
	if err != nil {
		return err
	}
	for _, stream := range []string{"upstream", "downstream"} {
		attributes := client.Attributes{"key": p.key, "to_server": stream == "upstream"}
		if _, err := p.proxy.AddToxic("observe-"+stream, observeType, stream, 1, attributes); err != nil {
			return errors.Join(err, p.proxy.Delete())
		}
	}
	return nil
}

// Addr returns host:port where the wire begins. It stays the same for as long as the wire exists.
func (p *Proxy) Addr() string { return p.proxy.Listen }

// Name returns what the wire was called.
func (p *Proxy) Name() string { return p.proxy.Name }

// Retarget leads the wire to another address. Connections are closed.
func (p *Proxy) Retarget(ctx context.Context, upstream string) error {
	return p.server.call(ctx, "lead wire "+p.Name()+" elsewhere", func() error {
		p.proxy.Upstream = upstream
		if err := p.proxy.Disable(); err != nil {
			return err
		}
		return p.enable()
	})
}

// Seen returns when each chunk with the pattern arrived from a client.
func (p *Proxy) Seen() []time.Time {
	p.traffic.mu.Lock()
	defer p.traffic.mu.Unlock()
	return slices.Clone(p.traffic.seen)
}

// Bytes returns how many came from clients and from the server; what a fault held back or swallowed counts.
func (p *Proxy) Bytes() (toServer, fromServer uint64) {
	p.traffic.mu.Lock()
	defer p.traffic.mu.Unlock()
	return p.traffic.toServer, p.traffic.fromServer
}

// Answered returns when the server last sent something.
func (p *Proxy) Answered() time.Time {
	p.traffic.mu.Lock()
	defer p.traffic.mu.Unlock()
	return p.traffic.lastFromServer
}

// Close takes the wire away. Faults should be healed before, or connections that they hold linger in
// this process.
func (p *Proxy) Close(ctx context.Context) error {
	defer trafficByKey.Delete(p.key)
	err := p.server.call(ctx, "close wire "+p.Name(), p.proxy.Delete)
	if err == nil {
		p.server.ports.Free(p.port)
	}
	return err
}

func (p *Proxy) inflict(f Fault) error {
	if f.Down {
		return p.proxy.Disable()
	}
	for _, t := range f.Toxics {
		if _, err := p.proxy.AddToxic(t.name(), t.Type, t.Stream, 1, client.Attributes(t.Attributes)); err != nil {
			return err
		}
	}
	return nil
}

// heal undoes inflict. Where the client is gone (its process died), a toxic that still holds bytes
// for it cannot be taken out within seconds: then the connections are closed first.
func (p *Proxy) heal(f Fault, clientGone bool) error {
	if clientGone && !f.Down {
		if err := p.proxy.Disable(); err != nil {
			return err
		}
	}
	for _, t := range slices.Backward(f.Toxics) {
		if err := p.proxy.RemoveToxic(t.name()); err != nil {
			return err
		}
	}
	if f.Down || clientGone {
		return p.enable()
	}
	return nil
}

// enable lets the wire listen again, where it did before. A process that is being forked just now keeps
// a copy of the closed listener until it has become its own program; so this may take some tries.
func (p *Proxy) enable() (err error) {
	tick := time.NewTicker(lingering / 20)
	defer tick.Stop()
	for range 20 {
		if err = p.proxy.Enable(); err == nil {
			return nil
		}
		<-tick.C
	}
	return err
}

func (t Toxic) name() string { return t.Type + "-" + t.Stream }
