package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

const startTLSOID = "1.3.6.1.4.1.1466.20037"

// dialer opens connections to one of several servers, beginning with the one that answered last.
type dialer struct {
	options Options
	trust   *tls.Config
	servers []server
	last    atomic.Int32
}

// dial opens a connection and binds it as the service.
func (d *dialer) dial(ctx context.Context) (*conn, error) {
	c, s, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.run(ctx, d.options.DialTimeout, func() error { return d.bind(c, s) }); err != nil {
		c.discard()
		return nil, fmt.Errorf("bind as %q: %w", d.options.BindDN, err)
	}
	return c, nil
}

// bind says who we are. Over ldapi without a name the kernel says it (SASL EXTERNAL).
func (d *dialer) bind(c *conn, s server) error {
	switch {
	case d.options.BindDN != "":
		return c.Bind(d.options.BindDN, d.options.Password)
	case s.scheme == "ldapi":
		return c.ExternalBind()
	}
	return nil
}

// connect opens a connection, encrypted where that is configured, and does not bind it.
func (d *dialer) connect(ctx context.Context) (*conn, server, error) {
	var failures []error
	first := int(d.last.Load())
	for i := range d.servers {
		at := (first + i) % len(d.servers)
		c, err := d.open(ctx, d.servers[at])
		if err == nil {
			d.last.Store(int32(at))
			return c, d.servers[at], nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, server{}, errors.Join(failures...)
}

func (d *dialer) open(ctx context.Context, s server) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.options.DialTimeout)
	defer cancel()
	var network net.Dialer
	raw, err := network.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	stream, err := d.secure(ctx, raw, s)
	if err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("%s: %w", s.address, err)
	}
	return newConn(raw, stream), nil
}

// secure starts TLS on a fresh connection where the URI or the options ask for it.
func (d *dialer) secure(ctx context.Context, raw net.Conn, s server) (net.Conn, error) {
	if s.scheme != "ldaps" && (s.scheme != "ldap" || !d.options.StartTLS) {
		return raw, nil
	}
	// The handshake obeys the context; the exchange before it a deadline.
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if s.scheme == "ldap" {
		if err := startTLS(raw); err != nil {
			return nil, fmt.Errorf("StartTLS: %w", err)
		}
	}
	config := d.trust.Clone()
	if config.ServerName == "" {
		config.ServerName = s.host
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, raw.SetDeadline(time.Time{})
}

// startTLS asks the server to go on encrypted (RFC 4511, section 4.14). go-ldap can do it too, but then nobody else sees
// the decrypted stream, and connections need to (conn.go).
func startTLS(raw net.Conn) error {
	request := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "LDAP Request")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(1), "Message ID"))
	operation := ber.Encode(ber.ClassApplication, ber.TypeConstructed, goldap.ApplicationExtendedRequest, nil, "Start TLS")
	operation.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, startTLSOID, "Request Name"))
	request.AppendChild(operation)
	if _, err := raw.Write(request.Bytes()); err != nil {
		return err
	}
	// Unbuffered: what follows the answer belongs to TLS.
	answer, err := ber.ReadPacket(raw)
	if err != nil {
		return err
	}
	return goldap.GetLDAPError(answer)
}
