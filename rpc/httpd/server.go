package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"clacks"
)

// maxHeader bounds the header of a request in bytes; XQuery filters travel in it.
const maxHeader = 64 << 10

// sweepEvery is how often expired sessions are removed from the store.
const sweepEvery = time.Minute

// Serve answers requests on the listener until the context ends. Then it stops accepting, ends the event streams, and
// returns when the commands in flight are done or Limits.Grace is over. A Server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	limits := s.options.Limits
	// Commands outlive the context that ends the serving: they are given the time of grace.
	commands, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	defer cancel()
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: limits.ReadHeader, ReadTimeout: limits.Read,
		IdleTimeout: limits.Idle, MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return commands },
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	listener = &limitListener{Listener: listener, slots: make(chan struct{}, limits.Connections), done: make(chan struct{})}
	if s.options.TLS != nil {
		config := s.options.TLS.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		server.TLSConfig = config
		listener = tls.NewListener(listener, config)
	}
	sweeping.Go(func() { s.sweep(commands) })

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return &clacks.Error{Op: "httpd.serve", Kind: clacks.Unavailable, Reason: "the HTTP port failed", Err: err}
	case <-ctx.Done():
	}
	close(s.closing)
	grace, stop := context.WithTimeout(commands, limits.Grace)
	defer stop()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("commands were still running at the end of the time of grace", "grace", limits.Grace)
		cancel()
		return server.Close()
	}
	return err
}

// sweep removes expired sessions until the context ends.
func (s *Server) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if err := s.options.Sessions.Sweep(ctx, now); err != nil && ctx.Err() == nil {
				s.log.Warn("expired sessions could not be removed", "error", err)
			}
		}
	}
}

// limitListener accepts no more connections than it has slots; the next waits in the kernel's queue.
type limitListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitConn struct {
	net.Conn
	release func()
}

func (c *limitConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
