package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"clacks"
	"clacks/access"
	"clacks/rpc"
	"clacks/rpc/commands"
	"clacks/rpc/httpd"
)

type serveCommand struct {
	Config      string   `type:"existingfile" help:"Configuration file (YAML); see docs/configuration.md."`
	Data        string   `type:"path" placeholder:"DIR" help:"Folder for state and generated secrets (default: data)."`
	HTTP        string   `name:"http" placeholder:"ADDR" help:"Where to listen for HTTP (default: 127.0.0.1:8050); port 0 picks a free one."`
	AMQP        string   `name:"amqp" placeholder:"ADDR" help:"Where to listen for AMQP 1.0 (default: 127.0.0.1:5672); port 0 picks a free one, off listens nowhere."`
	ZMQEmit     string   `name:"zmq-emit" placeholder:"ENDPOINT" help:"Where programs push events with ZeroMQ: tcp://127.0.0.1:9000 (default: nowhere)."`
	ZMQRegister string   `name:"zmq-register" placeholder:"ENDPOINT" help:"Where programs subscribe to events with ZeroMQ: tcp://127.0.0.1:9001 (default: nowhere)."`
	Definitions []string `type:"path" placeholder:"PATH" help:"Further definition files, or folders of them."`
	SQLSchema   string   `name:"sql-schema" type:"existingfile" placeholder:"FILE" help:"Repeatable SQL statements that make the mapped tables of the backend SQL."`
	Demo        bool     `help:"Seed some fifty people and groups, and print three commands to try."`
}

const (
	watchInterval = 2 * time.Second // between two looks at definition files for changes
	pruneInterval = 10 * time.Minute
)

// Run implements the sub-command.
func (c serveCommand) Run(ctx context.Context, env environment) error {
	config, err := c.configuration()
	if err != nil {
		return err
	}
	log := newLogger(config, env)
	slog.SetDefault(log) // for what logs without being told where
	syscall.Umask(0o077) // the databases hold password hashes: they are for the service alone
	a, err := build(ctx, config, log)
	if err != nil {
		return err
	}
	defer a.close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", config.HTTP.Address)
	if err != nil {
		return err
	}
	server, err := a.door(ctx)
	if err != nil {
		return err
	}
	if a.zmq, err = a.openZMQ(ctx); err != nil {
		return err
	}
	address := a.address(listener)
	if a.bus != nil && a.bus.url() != "" {
		if _, err := fmt.Fprintln(env.stdout, "AMQP on", a.bus.url()); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(env.stdout, "listening on", address); err != nil {
		return err
	}
	if a.adminAt != "" {
		log.Info("administrator", "user", config.Admin.User, "password file", a.adminAt)
	}
	// What runs behind the scenes outlives the signal that ends ctx: commits in flight need it until they are done.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer func() {
		stop()
		running.Wait()
	}()
	a.behindTheScenes(background, &running)
	started := make(chan struct{})
	running.Go(func() {
		if err := a.start(background); err != nil {
			return
		}
		close(started)
		log.Info("ready")
		running.Go(func() { a.subscriptions.Run(background) }) // it needs the tables
		if c.Demo {
			a.demo(background, env, address)
		}
	})
	return a.serve(ctx, server, listener, started)
}

// behindTheScenes runs what goes on besides the answering of requests, until the context ends.
func (a *app) behindTheScenes(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() { a.watchFiles(ctx, watchInterval) })
	running.Go(func() { a.reloadOnSignal(ctx) })
	running.Go(func() { a.prune(ctx, pruneInterval) })
}

// serve answers at all doors until the context ends or the HTTP port fails.
func (a *app) serve(ctx context.Context, server *httpd.Server, listener net.Listener, started <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	if a.bus != nil {
		serving.Go(func() { a.bus.run(ctx, started) })
	}
	if a.zmq != nil {
		serving.Go(func() {
			select {
			case <-started:
			case <-ctx.Done():
			}
			a.zmq.Run(ctx)
		})
	}
	return server.Serve(ctx, listener)
}

// configuration is the file's, with the flags over it.
func (c serveCommand) configuration() (*Config, error) {
	config, err := loadConfig(c.Config)
	if err != nil {
		return nil, err
	}
	if c.Data != "" {
		if config.State.URL == "sqlite:"+config.Data+"/clacks.db" {
			config.State.URL = ""
		}
		config.Data = c.Data
		config.complete()
	}
	if c.HTTP != "" {
		config.HTTP.Address = c.HTTP
	}
	if c.AMQP != "" {
		config.AMQP.Address = c.AMQP
	}
	config.ZMQ.Emit = cmp.Or(c.ZMQEmit, config.ZMQ.Emit)
	config.ZMQ.Register = cmp.Or(c.ZMQRegister, config.ZMQ.Register)
	config.Definitions.Paths = append(config.Definitions.Paths, c.Definitions...)
	if c.SQLSchema != "" {
		b := config.Backends["SQL"]
		b.Schema = c.SQLSchema
		config.Backends["SQL"] = b
	}
	return config, nil
}

// door makes the HTTP server with all commands, and joins them to the bus.
func (a *app) door(ctx context.Context) (*httpd.Server, error) {
	metrics := httpd.NewMetrics(version())
	if err := metrics.Registerer().Register(collector{app: a}); err != nil {
		return nil, err
	}
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}, Log: a.log, Observe: metrics.Observe, Version: version()})
	err := commands.Register(registry, commands.Options{
		Objects: a.objects, Events: a.events, Base: a.config.Base, Subscriptions: a.subscriptions, Domain: a.config.Domain,
	})
	if err != nil {
		return nil, err
	}
	err = registry.Add(rpc.New(rpc.Spec{
		Name: "reloadDefinitions", Help: "Reads definitions and event schemas anew; if anything is wrong, the former ones stay.",
		Right: access.Write,
	}, a.reloadCommand), rpc.New(rpc.Spec{
		Name: "getBus", Help: "The connections, links and queues of the bus, for administrators.", Right: access.Read,
	}, a.busCommand))
	if err != nil {
		return nil, err
	}
	if a.bus, err = a.openBus(ctx, registry); err != nil {
		return nil, err
	}
	limits := httpd.Limits{Grace: a.config.HTTP.Grace}
	options := httpd.Options{
		Registry: registry, Authenticator: a.authenticator(), Sessions: httpd.NewSQLSessions(a.state),
		SessionEnded: a.objects.CloseSessions, Events: httpd.Events(a.events), Ready: a.reasons, Metrics: metrics,
		Secret: a.key, PlainBasic: a.config.HTTP.PlainBasic, Limits: limits, Log: a.log,
	}
	if a.config.HTTP.Certificate != "" {
		certificate, err := tls.LoadX509KeyPair(a.config.HTTP.Certificate, a.config.HTTP.Key)
		if err != nil {
			return nil, err
		}
		options.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	return httpd.New(options)
}

func (a *app) reloadCommand(context.Context, *rpc.Call, rpc.None) (bool, error) {
	if err := a.reload(); err != nil {
		return false, &clacks.Error{Op: "reload", Kind: clacks.Invalid, Reason: err.Error(), Err: err}
	}
	return true, nil
}

func (a *app) address(listener net.Listener) string {
	scheme := "http"
	if a.config.HTTP.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + listener.Addr().String()
}

// reloadOnSignal reloads the definitions on SIGHUP.
func (a *app) reloadOnSignal(ctx context.Context) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		if err := a.reload(); err != nil {
			a.log.Error("reload refused; the former definitions stay", "error", err)
		}
	}
}

func newLogger(config *Config, env environment) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(config.Log.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if config.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(env.stderr, options))
	}
	return slog.New(slog.NewTextHandler(env.stderr, options))
}
