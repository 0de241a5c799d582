package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/listener"
	"clacks/bus/remote"
	"clacks/rpc"
	"clacks/rpc/busd"
	"clacks/rpc/busevents"
)

// busService is the bus as this process uses it: its own nodes with a listener for others, or an external broker.
type busService struct {
	log   *slog.Logger
	names bus.Names
	node  string

	nodes  *container.Container // nil with an external broker
	server *listener.Listener   // likewise
	socket net.Listener         // likewise
	secure bool
	client *remote.Client // nil with nodes of our own
	broker string         // its address, without a password

	access bus.Bus
	door   *busd.Door
	relay  *busevents.Relay // of subscriptions, to an external broker
}

// agentUser is who this process is at its own nodes. No directory has a user with a colon in his name that could log in as
// it: links of this process are told by their having no address.
const agentUser = "agent:"

// openBus opens the way to the bus that is configured, nil when there is none. Nothing is read from it before run.
func (a *app) openBus(ctx context.Context, registry *rpc.Registry) (*busService, error) {
	name, err := owner(a.config)
	if err != nil {
		return nil, err
	}
	b := &busService{log: a.log, names: bus.Names(a.config.Domain), node: nodeName(name)}
	user := agentUser + b.node
	var redelivered func(m *bus.Message) bool
	switch {
	case a.config.Bus.URL != "":
		if user, err = b.dial(a.config); err != nil {
			return nil, err
		}
		redelivered = b.redelivered
		b.relay = busevents.NewRelay(busevents.RelayOptions{
			Log: a.events, Kept: a.subscriptions, Bus: b.access, Names: b.names, Node: b.node, Owners: a.authenticator().named, Logger: a.log,
		})
	case a.config.AMQP.Address != off:
		if err := b.listen(ctx, a, user); err != nil {
			b.close()
			return nil, err
		}
	default:
		return nil, nil
	}
	b.door, err = busd.New(busd.Options{
		Registry: registry, Bus: b.access, Names: b.names, Node: b.node, Users: a.authenticator().named, UserID: user,
		Nodes: busd.NewSQLNodes(a.state), Secret: a.key, Policy: access.Static{}, Redelivered: redelivered, Log: a.log,
		Limits: busd.Limits{Workers: a.config.Bus.Workers, UserCalls: a.config.Bus.UserCalls, Status: a.config.Bus.Status, Grace: a.config.HTTP.Grace},
	})
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// nodeName makes the name of this agent fit to be a part of an address.
func nodeName(owner string) string {
	name := strings.Map(func(r rune) rune {
		if busd.FitName(string(r)) {
			return r
		}
		return '-'
	}, owner)
	return name[max(0, len(name)-64):]
}

// dial joins an external broker. It answers the name that this agent has there, which is what messages carry as user-id.
func (b *busService) dial(config *Config) (user string, err error) {
	options := remote.Options{URL: config.Bus.URL, User: config.Bus.User, Dialect: remote.Dialect(config.Bus.Dialect), Log: b.log}
	if options.Password, err = config.Bus.secret(); err != nil {
		return "", fmt.Errorf("bus: %w", err)
	}
	if options.TLS, err = config.Bus.tls(); err != nil {
		return "", fmt.Errorf("bus: %w", err)
	}
	if b.client, err = remote.New(options); err != nil {
		return "", fmt.Errorf("bus.url: %w", err)
	}
	b.access, b.broker = b.client, withoutPassword(config.Bus.URL)
	return config.Bus.user(), nil
}

// redelivered tells a message that was given to somebody before. RabbitMQ counts no deliveries, but marks the first.
func (b *busService) redelivered(m *bus.Message) bool {
	dialect := b.client.State().Dialect
	rabbit := dialect == remote.RabbitMQ3 || dialect == remote.RabbitMQ4
	return m.Header.DeliveryCount > 0 || rabbit && !m.Header.FirstAcquirer
}

// listen makes the nodes of this process and the port for others.
func (b *busService) listen(ctx context.Context, a *app, user string) error {
	config := a.config.AMQP
	b.nodes = container.New(rights{names: b.names, policy: access.Static{}}, container.Options{
		Rules: b.rules(config), Log: a.log, Limits: container.Limits{Bytes: config.Memory, Message: config.MessageSize},
	})
	for _, address := range []string{b.names.Command(bus.Core), b.names.Agent(bus.Core, b.node)} {
		if err := b.nodes.Declare(address, container.Settings{}); err != nil {
			return err
		}
	}
	b.access = b.nodes.Connect(bus.Peer{User: access.User{ID: user, Admin: true}, Container: b.node, Connection: "this process"})
	security, err := config.tls()
	if err != nil {
		return fmt.Errorf("amqp: %w", err)
	}
	b.secure = security != nil
	busevents.Register(b.nodes, b.names, a.events, a.subscriptions, a.log)
	b.server, err = listener.New(listener.Options{
		Nodes: b.nodes, Auth: a.authenticator(), TLS: security, Anonymous: config.Anonymous, Container: b.node, Log: a.log,
		Limits: listener.Limits{Connections: config.Connections, PerAddress: config.PerAddress, Sessions: config.Sessions, Links: config.Links,
			MessageSize: uint64(max(config.MessageSize, 0)), Idle: config.Idle},
	})
	if err != nil {
		return err
	}
	b.socket, err = (&net.ListenConfig{}).Listen(ctx, "tcp", config.Address)
	if err != nil {
		return fmt.Errorf("amqp.address: %w; --amqp HOST:PORT listens elsewhere, --amqp off does without", err)
	}
	return nil
}

// rules are how queues behave. What a command's queue could not deliver is kept for a look, the newest of it.
func (b *busService) rules(config AMQPConfig) []container.Rule {
	bounds := container.Settings{MaxMessages: config.QueueMessages, MaxBytes: config.QueueBytes}
	commands, dead := bounds, bounds
	commands.RequireUser, commands.DeadLetter = container.Required, b.deadLetters()
	dead.MaxMessages, dead.Full = 1000, container.DropOldest
	ours := []container.Rule{
		{Address: b.deadLetters(), Settings: dead},
		{Address: b.names.Command("*"), Settings: commands},
		{Address: "*", Settings: bounds},
	}
	var rules []container.Rule
	for _, name := range slices.Sorted(maps.Keys(config.Queues)) {
		rule := config.Queues[name].rule()
		// What is not set stays as it is, above all that a command needs a user.
		wider := slices.IndexFunc(ours, func(r container.Rule) bool { return r.Covers(rule.Address) })
		rule.Settings = rule.Settings.Over(ours[wider].Settings)
		rules = append(rules, rule)
	}
	return append(rules, ours...)
}

func (b *busService) deadLetters() string { return string(b.names) + ".dead" }

// url is where others reach the listener; "" when there is none.
func (b *busService) url() string {
	switch {
	case b.socket == nil:
		return ""
	case b.secure:
		return "amqps://" + b.socket.Addr().String()
	}
	return "amqp://" + b.socket.Addr().String()
}

// run lets others in, and takes commands as soon as the service has started, until the context ends.
func (b *busService) run(ctx context.Context, started <-chan struct{}) {
	var serving sync.WaitGroup
	if b.server != nil {
		serving.Go(b.serve)
	}
	select {
	case <-started:
		if b.relay != nil {
			serving.Go(func() { b.relay.Run(ctx) })
		}
		b.door.Run(ctx)
	case <-ctx.Done():
	}
	if b.server != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), busCloseTime)
		defer cancel()
		if err := b.server.Shutdown(ending); err != nil {
			b.log.Debug("connections were cut off", "error", err)
		}
	}
	serving.Wait()
}

// busCloseTime bounds the orderly end of the connections of others.
const busCloseTime = 3 * time.Second

func (b *busService) serve() {
	var err error
	if b.secure {
		err = b.server.ServeTLS(b.socket)
	} else {
		err = b.server.Serve(b.socket)
	}
	if err != nil && !errors.Is(err, listener.ErrClosed) {
		b.log.Error("the AMQP port failed", "error", err)
	}
}

// close ends what openBus has opened.
func (b *busService) close() {
	ctx, cancel := context.WithTimeout(context.Background(), busCloseTime)
	defer cancel()
	if b.access != nil {
		_ = b.access.Close(ctx)
	}
	if b.socket != nil {
		_ = b.socket.Close()
	}
	if b.nodes != nil {
		b.nodes.Close()
	}
}

// ready is why commands of the bus cannot be taken, nil when they can.
func (b *busService) ready() error {
	if b.client != nil {
		if state := b.client.State(); !state.Connected {
			return clacks.E(clacks.Unavailable, "bus.ready", "no connection to the broker: %w", state.Err)
		}
	}
	return b.door.Ready()
}

// rights are who may do what at our own nodes.
type rights struct {
	names  bus.Names
	policy access.Policy
}

var _ container.Authorizer = rights{}

// Allowed implements container.Authorizer. What a command may do is asked for when it runs; here it is about who may put
// messages into which queue, and read them out of it.
//
//	commands of core        everybody who is logged in may send
//	other commands          a program's own: agents send there, since it trusts what they say of the user
//	replies, dynamic nodes  nobody can guess the address of somebody else
//	events, subscriptions   their handlers look at each subscriber's rights themselves
func (r rights) Allowed(peer bus.Peer, action container.Action, address string) bool {
	if peer.Address == "" {
		return true // this process
	}
	if peer.User.Anonymous() {
		return false
	}
	rest, ours := strings.CutPrefix(address, string(r.names)+".")
	kind, _, _ := strings.Cut(rest, ".")
	switch {
	case address == "", strings.HasPrefix(address, container.DynamicPrefix), ours && kind == "reply":
		return true
	case ours && action != container.Create && (kind == "events" || kind == "subscription"):
		return true
	case ours && kind == "command" && action == container.Send && r.core(address):
		return true
	}
	topic := access.Topic{Command: address}
	if action == container.Send {
		return r.policy.Allowed(peer.User, access.Write, topic)
	}
	// To make a queue is to decide who reads it first.
	return r.policy.Allowed(peer.User, access.Receive, topic)
}

func (r rights) core(address string) bool {
	core := r.names.Command(bus.Core)
	return address == core || strings.HasPrefix(address, core+".")
}

// named is the user of a name that somebody else has checked: the bus, or the authority of his certificate.
func (a *authenticator) named(ctx context.Context, name string) (access.User, error) {
	if !a.prepared() {
		return access.User{}, clacks.E(clacks.Unavailable, "login", "the service is not ready yet")
	}
	if name == a.admin {
		return access.User{ID: name, Admin: true}, nil
	}
	return a.find(ctx, name)
}

// Certificate implements listener.Authenticator: the user is the common name.
func (a *authenticator) Certificate(ctx context.Context, certificate *x509.Certificate) (access.User, error) {
	name := certificate.Subject.CommonName
	if name == "" {
		return access.User{}, wrongCredentials()
	}
	return a.named(ctx, name)
}

var _ listener.Authenticator = (*authenticator)(nil)

// authorities reads a set of authorities.
func authorities(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

// tls is the security of the listener, nil for none.
func (c AMQPConfig) tls() (*tls.Config, error) {
	if c.Certificate == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if c.ClientCA != "" {
		if config.ClientCAs, err = authorities(c.ClientCA); err != nil {
			return nil, err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// tls is the security of the connection to the broker, nil for the system's authorities.
func (c BusConfig) tls() (*tls.Config, error) {
	if c.CAFile == "" && c.Certificate == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if c.CAFile != "" {
		if config.RootCAs, err = authorities(c.CAFile); err != nil {
			return nil, err
		}
	}
	if c.Certificate != "" {
		certificate, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}
