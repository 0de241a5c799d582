package testservers

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// Verdict is what a hook decides about a piece of a connection's traffic.
type Verdict uint8

const (
	// Pass forwards the bytes.
	Pass Verdict = iota
	// Cut closes the connection on both sides, without forwarding the bytes.
	Cut
	// Drop swallows the bytes and leaves the connection open: the other side waits in vain.
	Drop
)

// Hook sees the bytes of one read before they are forwarded. It must not keep or change them. It is called by many
// goroutines at once when there are many connections.
type Hook func(bytes []byte) Verdict

// TCPProxy stands between a client and a server and cuts connections at a chosen moment. Methods may be called from
// many goroutines.
type TCPProxy struct {
	Addr string // 127.0.0.1:PORT, where it listens

	target   string
	listener net.Listener
	wait     sync.WaitGroup

	mu      sync.Mutex
	refuse  bool
	closed  bool
	toward  Hook // client to server
	back    Hook // server to client
	links   map[*link]struct{}
	cutting func(request []byte) bool // of CutReply
}

// link is one proxied connection.
type link struct {
	client, server net.Conn
	condemned      bool // of CutReply: the server's next bytes are not delivered; guarded by TCPProxy.mu
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// Proxy starts a proxy in front of target (host:port) for one test.
func Proxy(t testing.TB, target string) *TCPProxy {
	t.Helper()
	proxy, err := StartProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

// StartProxy starts a proxy in front of target (host:port) on a free loopback port. The caller closes it.
func StartProxy(target string) (*TCPProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &TCPProxy{Addr: listener.Addr().String(), target: target, listener: listener, links: map[*link]struct{}{}}
	p.wait.Add(1)
	go p.accept()
	return p, nil
}

// OnRequest sets the hook for what clients send; nil forwards everything.
func (p *TCPProxy) OnRequest(hook Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.toward = hook
}

// OnReply sets the hook for what the server sends; nil forwards everything.
func (p *TCPProxy) OnReply(hook Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back = hook
}

// CutRequest cuts the connection of the first request that match accepts, before the server sees it. Once.
func (p *TCPProxy) CutRequest(match func(request []byte) bool) {
	var once sync.Once
	p.OnRequest(func(bytes []byte) Verdict {
		verdict := Pass
		if match(bytes) {
			once.Do(func() { verdict = Cut })
		}
		return verdict
	})
}

// CutReply forwards the first request that match accepts and cuts its connection as soon as the server answers: the
// server has done the work, the client never learns of it. Once.
func (p *TCPProxy) CutReply(match func(request []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutting = match
}

// Refuse makes the proxy close new connections at once (true) or accept them again (false). Open ones live on.
func (p *TCPProxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// CutAll closes all open connections; new ones are accepted.
func (p *TCPProxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Open is the number of connections that are open now.
func (p *TCPProxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Close stops the proxy, closes its connections and waits for its goroutines.
func (p *TCPProxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.CutAll()
	p.wait.Wait()
}

func (p *TCPProxy) accept() {
	defer p.wait.Done()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Add(1)
		go p.serve(client)
	}
}

func (p *TCPProxy) serve(client net.Conn) {
	defer p.wait.Done()
	p.mu.Lock()
	refused := p.refuse
	p.mu.Unlock()
	if refused {
		_ = client.Close()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.close()
		return
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		p.pump(l, server, client, p.judgeReply)
	}()
	p.pump(l, client, server, p.judgeRequest)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pump copies from one side to the other until either ends or a verdict cuts the connection.
func (p *TCPProxy) pump(l *link, from io.Reader, to io.Writer, judge func(*link, []byte) Verdict) {
	defer l.close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			switch judge(l, buffer[:n]) {
			case Cut:
				return
			case Pass:
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			case Drop:
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *TCPProxy) judgeRequest(l *link, bytes []byte) Verdict {
	p.mu.Lock()
	if p.cutting != nil && p.cutting(bytes) {
		p.cutting = nil
		l.condemned = true
	}
	hook := p.toward
	p.mu.Unlock()
	if hook == nil {
		return Pass
	}
	return hook(bytes)
}

func (p *TCPProxy) judgeReply(l *link, bytes []byte) Verdict {
	p.mu.Lock()
	condemned, hook := l.condemned, p.back
	p.mu.Unlock()
	if condemned {
		return Cut
	}
	if hook == nil {
		return Pass
	}
	return hook(bytes)
}
