package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/go-amqp"
	"github.com/sethvargo/go-retry"

	"clacks"
)

// connection is one connection from its open to its loss.
type connection struct {
	*amqp.Conn
	socket  net.Conn // to cut it when a close takes too long
	dialect Dialect
}

// alive reports whether nobody has noticed a loss.
func (n *connection) alive() bool {
	select {
	case <-n.Done():
		return false
	default:
		return true
	}
}

// settledAfter is how long a connection has to live for the next pause to be short again: a server that accepts
// connections only to end them is not asked without pause.
const settledAfter = 10 * time.Second

// run is the supervisor. It ends with the context, and the connection with it.
func (c *Client) run(ctx context.Context) {
	defer close(c.stopped)
	backoff := c.backoff()
	for attempt := 1; ; attempt++ {
		conn, err := c.dial(ctx)
		if err == nil {
			began := time.Now()
			c.up(conn)
			err = c.serve(ctx, conn)
			if time.Since(began) > settledAfter {
				backoff = c.backoff()
			}
			attempt = 0
		}
		if ctx.Err() != nil {
			c.down(State{Err: closedError("client")}, false)
			return
		}
		c.down(State{Attempt: attempt, Err: err}, attempt > 0)
		pause, _ := backoff.Next()
		c.log.Warn("no connection to the bus", "server", c.host(), "attempt", attempt, "pause", pause, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// backoff gives the pauses between attempts: each twice the last, with a random part, so that many clients of one server do
// not come back at the same moment.
func (c *Client) backoff() retry.Backoff {
	return retry.WithCappedDuration(c.options.BackoffMax, retry.WithJitterPercent(30, retry.NewExponential(c.options.BackoffMin)))
}

// serve waits for the end of a connection, and says why it was lost.
func (c *Client) serve(ctx context.Context, conn *connection) error {
	select {
	case <-conn.Done():
	case <-ctx.Done():
	}
	err := conn.Close()
	if err == nil {
		err = errors.New("the server closed the connection")
	}
	return clacks.E(clacks.Unavailable, "remote", "the connection to %s was lost: %w", c.host(), err)
}

// up tells everybody of a connection.
func (c *Client) up(conn *connection) {
	c.log.Info("connected to the bus", "server", c.host(), "dialect", conn.dialect)
	c.mu.Lock()
	c.conn = conn
	c.stats.Connects++
	c.mu.Unlock()
	c.tell(State{Connected: true, Dialect: conn.dialect})
}

// down tells everybody that there is none: it was lost, or an attempt failed.
func (c *Client) down(s State, failed bool) {
	c.mu.Lock()
	if c.conn != nil {
		c.conn = nil
		c.stats.Losses++
	} else if failed {
		c.stats.Failures++
	}
	c.mu.Unlock()
	c.tell(s)
}

// tell publishes a state. Only the supervisor calls it.
func (c *Client) tell(s State) {
	c.mu.Lock()
	s.Since = time.Now()
	if c.state.Connected == s.Connected {
		s.Since = c.state.Since
	}
	c.state = s
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	if c.options.OnState != nil {
		c.options.OnState(s)
	}
}

// current waits for a connection.
func (c *Client) current(ctx context.Context) (*connection, error) {
	for {
		c.mu.Lock()
		conn, state, changed, closed := c.conn, c.state, c.changed, c.closed
		c.mu.Unlock()
		if closed {
			return nil, closedError("client")
		}
		if conn != nil && conn.alive() {
			return conn, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, waited(ctx, state)
		}
	}
}

// waited is the error of a call whose time was over before there was a connection.
func waited(ctx context.Context, state State) error {
	e := clacks.E(clacks.Unavailable, "remote", "there is no connection to the bus: %w", ctx.Err())
	if state.Err != nil {
		e.Err = errors.Join(ctx.Err(), state.Err)
	}
	return e
}

// sever cuts the connection without a word.
func (c *Client) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.socket.Close()
	}
}

// endpoint is where to connect, and as whom.
type endpoint struct {
	address string // host:port
	tls     *tls.Config
	sasl    amqp.SASLType
	host    string
	exposed bool // a password would cross the network for everybody to read
}

// endpointOf reads the options.
func endpointOf(o Options) (*endpoint, error) {
	wrong := func(why string) error { return clacks.E(clacks.Invalid, "remote", "the address of the bus: %s", why) }
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, wrong("it is no URL") // the reason would quote the password
	}
	e := &endpoint{host: u.Hostname()}
	port := map[string]string{"amqp": "5672", "amqps": "5671"}[u.Scheme]
	switch {
	case port == "":
		return nil, wrong("it begins with amqp:// or amqps://")
	case e.host == "":
		return nil, wrong("it names no host")
	case !o.Dialect.Known():
		return nil, wrong("there is no dialect " + string(o.Dialect))
	}
	if u.Port() != "" {
		port = u.Port()
	}
	e.address = net.JoinHostPort(e.host, port)
	if u.Scheme == "amqps" {
		e.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.TLS != nil {
			e.tls = o.TLS.Clone()
		}
		if e.tls.ServerName == "" {
			e.tls.ServerName = e.host
		}
	}
	if o.User == "" && u.User != nil {
		o.User = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	return e, e.login(o)
}

// login chooses the mechanism.
func (e *endpoint) login(o Options) error {
	mechanism := o.SASL
	if mechanism == "" {
		switch {
		case o.User != "":
			mechanism = Plain
		case e.tls != nil && (len(e.tls.Certificates) > 0 || e.tls.GetClientCertificate != nil):
			mechanism = External
		default:
			mechanism = Anonymous
		}
	}
	switch mechanism {
	case Plain:
		e.sasl = amqp.SASLTypePlain(o.User, o.Password)
		e.exposed = e.tls == nil && !loopback(e.host)
	case External:
		e.sasl = amqp.SASLTypeExternal("")
	case Anonymous:
		e.sasl = amqp.SASLTypeAnonymous()
	default:
		return clacks.E(clacks.Invalid, "remote", "there is no SASL mechanism %s", mechanism)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// host is the server's name for messages, without a password.
func (c *Client) host() string {
	u, err := url.Parse(c.options.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// dial makes one attempt.
func (c *Client) dial(ctx context.Context) (*connection, error) {
	e, err := endpointOf(c.options)
	if err != nil {
		return nil, err
	}
	if e.exposed {
		c.log.Warn("the password of the bus crosses the network unprotected; use amqps://", "server", c.host())
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.ConnectTimeout)
	defer cancel()
	socket, err := e.connect(ctx)
	if err != nil {
		return nil, clacks.E(clacks.Unavailable, "remote", "no connection to %s: %w", c.host(), err)
	}
	conn, err := amqp.NewConn(ctx, socket, &amqp.ConnOptions{
		ContainerID: c.options.ContainerID, HostName: e.host, IdleTimeout: c.options.IdleTimeout, SASLType: e.sasl,
		WriteTimeout: c.options.IdleTimeout, Properties: map[string]any{"product": "Clacks"},
	})
	if err != nil {
		_ = socket.Close()
		return nil, clacks.E(refusal(err), "remote", "%s refused the connection: %w", c.host(), err)
	}
	dialect := c.options.Dialect
	if dialect == Auto {
		dialect = detect(conn.Properties())
	}
	return &connection{Conn: conn, socket: socket, dialect: dialect}, nil
}

// refusal is the kind of a connection that was not opened. go-amqp has no type for a login that failed. Of the outcomes of
// SASL (AMQP 1.0, 5.3.3.6) only 1 is about the credentials; the others are troubles of the server.
func refusal(err error) clacks.Kind {
	text := err.Error()
	if strings.Contains(text, "SASL") && (!strings.Contains(text, "failed with code") || strings.Contains(text, "failed with code 0x1:")) {
		return clacks.Unauthenticated
	}
	return clacks.Unavailable
}

func (e *endpoint) connect(ctx context.Context) (net.Conn, error) {
	if e.tls != nil {
		return (&tls.Dialer{Config: e.tls}).DialContext(ctx, "tcp", e.address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", e.address)
}
