package listener

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"os"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/wire"
)

// The protocol headers (AMQP 1.0, 2.2, 5.2.1, 5.3.1).
var (
	headerAMQP = []byte{'A', 'M', 'Q', 'P', 0, 1, 0, 0}
	headerSASL = []byte{'A', 'M', 'Q', 'P', 3, 1, 0, 0}
)

// The mechanisms.
const (
	plain     bus.Symbol = "PLAIN"
	external  bus.Symbol = "EXTERNAL"
	anonymous bus.Symbol = "ANONYMOUS"
)

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// handshake goes through TLS, SASL and the protocol header; the open is the first frame that read sees.
func (c *conn) handshake(config *tls.Config) error {
	local := isLocal(c.raw.RemoteAddr())
	if config != nil {
		secured := tls.Server(c.raw, config)
		ctx, cancel := context.WithTimeout(c.l.ctx, c.l.o.Limits.Handshake)
		defer cancel()
		if err := secured.HandshakeContext(ctx); err != nil {
			return &fault{reason: Handshake, err: err}
		}
		c.nc, c.tls = secured, true
	}
	c.peer = bus.Peer{Connection: c.id, Address: c.raw.RemoteAddr().String(), Secure: c.tls || local}
	c.in.nc, c.in.all, c.in.max = c.nc, &c.l.counters.bytesIn, wire.MinFrameSize
	header, err := c.header()
	if err != nil {
		return err
	}
	switch {
	case bytes.Equal(header, headerSASL):
		if err := c.sasl(); err != nil {
			return err
		}
		if header, err = c.header(); err != nil {
			return err
		}
		if !bytes.Equal(header, headerAMQP) {
			return c.otherHeader(headerAMQP)
		}
	case bytes.Equal(header, headerAMQP) && c.l.o.Anonymous:
	default:
		return c.otherHeader(headerSASL)
	}
	c.in.max = int(c.l.o.Limits.FrameSize)
	return c.send(headerAMQP)
}

func (c *conn) header() ([]byte, error) {
	b, err := c.in.take(len(headerAMQP))
	if err != nil {
		return nil, &fault{reason: Handshake, err: err}
	}
	return b, nil
}

// otherHeader answers a header that is not spoken here, that of TLS on a plain socket for example, with one that is, and
// closes (AMQP 1.0, 2.2).
func (c *conn) otherHeader(header []byte) error {
	if err := c.send(header); err != nil {
		return err
	}
	c.linger()
	return &fault{reason: Handshake, err: errors.New("another protocol")}
}

func (c *conn) send(b []byte) error {
	c.l.counters.bytesOut.Add(uint64(len(b)))
	if _, err := c.nc.Write(b); err != nil {
		return &fault{reason: Handshake, err: err}
	}
	return nil
}

func (c *conn) sendSASL(p wire.Performative) error {
	return c.send(wire.AppendFrame(nil, wire.FrameSASL, 0, p))
}

// sasl authenticates the peer.
func (c *conn) sasl() error {
	if err := c.send(headerSASL); err != nil {
		return err
	}
	mechanisms, certificate := c.mechanisms()
	if err := c.sendSASL(&wire.Mechanisms{Names: mechanisms}); err != nil {
		return err
	}
	init, err := c.saslInit()
	if err != nil {
		return err
	}
	offered := false
	for _, m := range mechanisms {
		offered = offered || m == init.Mechanism
	}
	if !offered {
		return c.deny(wire.OutcomeAuth, Login, errors.New("a mechanism that was not offered"))
	}
	response := init.Response
	if response == nil && init.Mechanism == plain {
		if response, err = c.challenge(); err != nil {
			return err
		}
	}
	switch init.Mechanism {
	case plain:
		err = c.plain(response)
	case external:
		err = c.external(certificate.PeerCertificates[0], string(response))
	}
	if err != nil {
		return err
	}
	c.l.counters.logins.Add(1)
	return c.sendSASL(&wire.Outcome{Code: wire.OutcomeOK})
}

// mechanisms are those that fit the connection.
func (c *conn) mechanisms() (names []bus.Symbol, state tls.ConnectionState) {
	if c.tls {
		state = c.nc.(*tls.Conn).ConnectionState()
	}
	if c.l.o.Auth != nil && len(state.VerifiedChains) > 0 {
		names = append(names, external)
	}
	if c.l.o.Auth != nil && c.peer.Secure {
		names = append(names, plain)
	}
	if c.l.o.Anonymous {
		names = append(names, anonymous)
	}
	return names, state
}

func (c *conn) saslFrame() (wire.Performative, error) {
	h, body, err := c.in.frame()
	if err != nil {
		return nil, &fault{reason: Handshake, err: err}
	}
	if h.Type != wire.FrameSASL {
		return nil, &fault{reason: Handshake, err: errors.New("a frame of another type than SASL")}
	}
	p, _, err := c.parser.Parse(wire.FrameSASL, body)
	if err != nil {
		return nil, &fault{reason: Handshake, err: err}
	}
	return p, nil
}

func (c *conn) saslInit() (*wire.Init, error) {
	p, err := c.saslFrame()
	if err != nil {
		return nil, err
	}
	init, ok := p.(*wire.Init)
	if !ok {
		return nil, &fault{reason: Handshake, err: errors.New("no sasl-init")}
	}
	// What was read is overwritten by the next frame.
	init.Response = bytes.Clone(init.Response)
	return init, nil
}

// challenge asks for a response that did not come with the init: an empty challenge (RFC 4422, 5).
func (c *conn) challenge() ([]byte, error) {
	if err := c.sendSASL(&wire.Challenge{Challenge: []byte{}}); err != nil {
		return nil, err
	}
	p, err := c.saslFrame()
	if err != nil {
		return nil, err
	}
	response, ok := p.(*wire.Response)
	if !ok {
		return nil, &fault{reason: Handshake, err: errors.New("no sasl-response")}
	}
	return bytes.Clone(response.Response), nil
}

// plain checks a password (RFC 4616). To act for somebody else is not offered.
func (c *conn) plain(response []byte) error {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return c.deny(wire.OutcomeAuth, Login, errors.New("not a response of PLAIN"))
	}
	name, password := string(parts[1]), string(parts[2])
	return c.login(func(ctx context.Context) (access.User, error) {
		return c.l.o.Auth.Authenticate(ctx, name, password)
	}, name)
}

// external lets a client in whose certificate was verified; it may say who it is, but not that it is somebody else.
func (c *conn) external(certificate *x509.Certificate, claimed string) error {
	return c.login(func(ctx context.Context) (access.User, error) {
		user, err := c.l.o.Auth.Certificate(ctx, certificate)
		if err == nil && claimed != "" && claimed != user.ID {
			return access.User{}, clacks.E(clacks.Unauthenticated, "login", "the certificate is that of somebody else")
		}
		return user, err
	}, "certificate")
}

// login asks who the peer is, not too often for one address and not too many at once.
func (c *conn) login(ask func(context.Context) (access.User, error), name string) error {
	byName := c.host + "\x00" + name
	if !c.l.throttle.allowed(time.Now(), c.host, byName) {
		return c.deny(wire.OutcomeTemporary, Throttled, errors.New("too many failed logins"))
	}
	ctx, cancel := context.WithTimeout(c.l.ctx, c.l.o.Limits.Handshake)
	defer cancel()
	select {
	case c.l.logins <- struct{}{}:
	case <-ctx.Done():
		return c.deny(wire.OutcomeTemporary, Handshake, ctx.Err())
	}
	user, err := ask(ctx)
	<-c.l.logins
	switch {
	case err == nil && !user.Anonymous():
		c.l.throttle.passed(byName)
		c.peer.User = user
		return nil
	case err == nil || clacks.IsKind(err, clacks.Unauthenticated):
		now := time.Now()
		c.l.throttle.failed(now, byName, freeOfName)
		c.l.throttle.failed(now, c.host, freeOfAddress)
		return c.deny(wire.OutcomeAuth, Login, errors.New("wrong credentials of "+name))
	default:
		return c.deny(wire.OutcomeTemporary, Login, err)
	}
}

// deny ends the authentication.
func (c *conn) deny(code uint8, reason Reason, why error) error {
	if err := c.sendSASL(&wire.Outcome{Code: code}); err != nil {
		return err
	}
	c.linger()
	return &fault{reason: reason, err: why}
}
