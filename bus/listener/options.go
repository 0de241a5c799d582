package listener

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
)

// Authenticator says who a peer is. It is called by several goroutines, Limits.Logins at most at once.
type Authenticator interface {
	// Authenticate returns the user whose password this is. clacks.Unauthenticated means that name or password are
	// wrong; any other error that it cannot be said, and the peer is told to come again.
	Authenticate(ctx context.Context, name, password string) (access.User, error)
	// Certificate returns the user of a client certificate, which was verified against Options.TLS.ClientCAs.
	Certificate(ctx context.Context, certificate *x509.Certificate) (access.User, error)
}

// Options are what a Listener is made of.
type Options struct {
	// Nodes are what peers reach. Rights are asked for there: on attach and for each message.
	Nodes bus.Handler
	Auth  Authenticator
	// TLS is for ServeTLS; its ClientCAs and ClientAuth (tls.VerifyClientCertIfGiven) make SASL EXTERNAL possible.
	TLS *tls.Config
	// Anonymous lets peers in who do not say who they are, as the zero access.User.
	Anonymous bool
	// Container is the container-id that peers are told; "clacks" if empty.
	Container string
	Limits    Limits
	Log       *slog.Logger // nil for slog.Default
}

// Limits bound what peers can make the server hold. A zero is its default.
type Limits struct {
	Connections    int           // in all: 4096
	PerAddress     int           // connections of one address: 1024
	HalfOpen       int           // connections that are not open yet: 1024; the oldest goes when another comes
	HalfOpenEach   int           // of those, of one address: 256
	Handshake      time.Duration // until a connection has to be open: 10 s
	Logins         int           // at once: 4
	Sessions       int           // of one connection: 64
	Links          int           // of one session: 256
	LinksPerSecond int           // attaches of one connection: 100, and twice as many at once; more have to wait
	Unsettled      int           // deliveries of one session that were sent and are not settled: 4096
	Credit         uint32        // messages that a sending link may have under way: 128
	FrameSize      uint32        // bytes: 64 KiB
	MessageSize    uint64        // bytes: 4 MiB
	Memory         int           // bytes of a connection that came and that no node has taken: 16 MiB
	Output         int           // bytes of a connection that wait to be written before its links wait: 256 KiB
	Idle           time.Duration // silence of the peer after which it is cut off: 60 s
	Write          time.Duration // for the peer to take 64 KiB: 30 s
	MinIdle        time.Duration // the shortest idle time-out that a peer may ask for: 100 ms
	Close          time.Duration // for the peer to answer a close: 2 s
}

func or[T int | uint32 | uint64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// withDefaults fills in what is not set, and makes the limits fit each other.
func (l Limits) withDefaults() Limits {
	or(&l.Connections, 4096)
	or(&l.PerAddress, 1024)
	or(&l.HalfOpen, 1024)
	or(&l.HalfOpenEach, 256)
	or(&l.Handshake, 10*time.Second)
	or(&l.Logins, 4)
	or(&l.Sessions, 64)
	or(&l.Links, 256)
	or(&l.LinksPerSecond, 100)
	or(&l.Unsettled, 4096)
	or(&l.Credit, 128)
	or(&l.FrameSize, 64<<10)
	or(&l.MessageSize, 4<<20)
	or(&l.Memory, 16<<20)
	or(&l.Output, 256<<10)
	or(&l.Idle, time.Minute)
	or(&l.Write, 30*time.Second)
	or(&l.MinIdle, 100*time.Millisecond)
	or(&l.Close, 2*time.Second)
	l.FrameSize = max(l.FrameSize, 512)
	l.Memory = max(l.Memory, 2*int(l.FrameSize))
	return l
}

// check completes the options.
func (o Options) check() (Options, error) {
	if o.Nodes == nil || o.Auth == nil && !o.Anonymous {
		return o, clacks.E(clacks.Invalid, "listener.new", "a listener needs nodes, and an authenticator or anonymous access")
	}
	if o.Container == "" {
		o.Container = "clacks"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Limits = o.Limits.withDefaults()
	return o, nil
}
