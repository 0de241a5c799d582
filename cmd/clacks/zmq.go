package main

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"clacks"
	"clacks/access"
	"clacks/rpc/zmqd"
)

// ZMQConfig is the gateway for programs that speak ZeroMQ.
type ZMQConfig struct {
	Emit     string `koanf:"emit" doc:"Where programs push events (PULL socket); empty for nowhere. ZeroMQ has no authentication: everybody who can connect may." example:"tcp://127.0.0.1:9000"`
	Register string `koanf:"register" doc:"Where programs subscribe (PUB socket) to what is pushed and to all committed events, whole, whatever rights they have; empty for nowhere." example:"tcp://127.0.0.1:9001"`
	User     string `koanf:"user" doc:"As whom pushed events of a known type enter the event log, if he may send them. Empty: they do not, and are only passed on." example:"admin"`
	Remote   bool   `koanf:"remote" doc:"Allow addresses that other machines can reach." example:"false"`
}

// problems are the values that cannot work.
func (c ZMQConfig) problems(add func(key, format string, args ...any)) {
	for key, endpoint := range map[string]string{"zmq.emit": c.Emit, "zmq.register": c.Register} {
		if endpoint == "" {
			continue
		}
		if _, err := zmqd.ParseEndpoint(endpoint, c.Remote); err != nil {
			add(key, "%s", reasonOf(err))
		}
	}
}

func reasonOf(err error) string {
	var e *clacks.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return err.Error()
}

// openZMQ opens the sockets of the gateway, nil when there is none. Nothing is read from them before it runs.
func (a *app) openZMQ(ctx context.Context) (*zmqd.Gateway, error) {
	c := a.config.ZMQ
	if c.Emit == "" && c.Register == "" {
		return nil, nil
	}
	user := access.User{ID: c.User, Admin: c.User != "" && c.User == a.config.Admin.User}
	gateway, err := zmqd.Listen(ctx, zmqd.Options{
		Emit: c.Emit, Register: c.Register, Remote: c.Remote, Events: a.events, User: user, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	a.log.Info("ZeroMQ: everybody who can connect is let in", "emit", gateway.EmitAddress(), "register", gateway.RegisterAddress())
	return gateway, nil
}

var (
	descZMQConnections = describe("clacks_zmq_connections", "Connections of programs that speak ZeroMQ.")
	descZMQPushed      = describe("clacks_zmq_pushed_total", "Messages that were pushed.")
	descZMQLogged      = describe("clacks_zmq_logged_total", "Pushed messages that entered the event log.")
	descZMQWrong       = describe("clacks_zmq_wrong_total", "Pushed messages that were dropped because they were wrong.")
	descZMQSent        = describe("clacks_zmq_sent_total", "Messages sent to subscribers.")
	descZMQDropped     = describe("clacks_zmq_dropped_total", "Messages that were dropped for subscribers that are too slow.")
	descZMQRefused     = describe("clacks_zmq_refused_total", "Connections that were refused.")
	descZMQCut         = describe("clacks_zmq_cut_total", "Connections that were cut off.")
)

// collectZMQ shows the numbers of the gateway.
func collectZMQ(g *zmqd.Gateway, metrics chan<- prometheus.Metric) {
	s := g.Stats()
	metrics <- prometheus.MustNewConstMetric(descZMQConnections, prometheus.GaugeValue, float64(s.Emitters+s.Subscribers))
	for desc, value := range map[*prometheus.Desc]int64{
		descZMQPushed: s.Pushed, descZMQLogged: s.Logged, descZMQWrong: s.Wrong, descZMQSent: s.Sent, descZMQDropped: s.Dropped,
		descZMQRefused: s.Refused, descZMQCut: s.Cut,
	} {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value))
	}
}
