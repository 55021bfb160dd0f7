package front

import (
	"context"
	"net"
	"net/http"
	"sync"

	"hippad"
)

type callerKey struct{}

// CallerOf returns who is asking. It is the one thing that travels in a context, because net/http leaves no other way
// from a connection to its requests.
func CallerOf(r *http.Request) hippad.Caller {
	p, _ := r.Context().Value(callerKey{}).(hippad.Caller)
	return p
}

// As returns the request with another caller: the one that a token or a session in it stands for.
func As(r *http.Request, c hippad.Caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// handover is a net.Listener whose connections come from the front, already past TLS and with a known caller.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	mu  sync.Mutex
	who map[net.Conn]hippad.Caller // guarded by mu
}

func newHandover(addr net.Addr) *handover {
	return &handover{addr: addr, conns: make(chan net.Conn), done: make(chan struct{}), who: map[net.Conn]hippad.Caller{}}
}

// give passes c to the HTTP server; false means that it no longer accepts.
func (h *handover) give(c net.Conn, who hippad.Caller) bool {
	h.mu.Lock()
	h.who[c] = who
	h.mu.Unlock()
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		h.forget(c)
		return false
	}
}

func (h *handover) caller(c net.Conn) hippad.Caller {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.who[c]
}

func (h *handover) forget(c net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.who, c)
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return h.addr }
