package remote

import (
	"net/url"
	"strings"

	"clacks/bus"
)

// Dialect is how a broker wants addresses, and what it can do of what a Bus offers. Names in the program are plain
// (bus.Names); an address that begins with "/" is the broker's own and goes to it as it is.
type Dialect string

// The dialects.
const (
	Auto      Dialect = ""          // by product and version in the broker's open frame
	PlainName Dialect = "plain"     // the embedded listener, Artemis, Qpid: the name itself
	RabbitMQ3 Dialect = "rabbitmq3" // /queue/NAME for receivers, /amq/queue/NAME for senders
	RabbitMQ4 Dialect = "rabbitmq4" // /queues/NAME
)

// Known reports whether it is one of the dialects.
func (d Dialect) Known() bool {
	switch d {
	case Auto, PlainName, RabbitMQ3, RabbitMQ4:
		return true
	}
	return false
}

// detect is the dialect of a broker by the properties of its open frame.
func detect(properties map[string]any) Dialect {
	product, _ := properties["product"].(string)
	version, _ := properties["version"].(string)
	switch {
	case product != "RabbitMQ":
		return PlainName
	case strings.HasPrefix(version, "3."):
		return RabbitMQ3
	default:
		return RabbitMQ4
	}
}

// source is the address of a receiver. RabbitMQ 3 makes the queue when there is none.
func (d Dialect) source(name string) string {
	return d.address(name, "/queue/")
}

// target is the address of a sender. In RabbitMQ 3 it names a queue that exists: one that a sender makes could not agree
// with its receiver on how durable it is.
func (d Dialect) target(name string) string {
	return d.address(name, existing)
}

// existing is RabbitMQ 3's prefix of queues that are not made by the attach.
const existing = "/amq/queue/"

func (d Dialect) address(name, prefix3 string) string {
	switch {
	case name == "" || strings.HasPrefix(name, "/"):
		return name
	case d == RabbitMQ3:
		return prefix3 + url.PathEscape(name)
	case d == RabbitMQ4:
		return "/queues/" + url.PathEscape(name)
	default:
		return name
	}
}

// rabbit reports whether the broker lacks what RabbitMQ lacks: dynamic nodes and filters.
func (d Dialect) rabbit() bool { return d == RabbitMQ3 || d == RabbitMQ4 }

// supports says which wish of a receiver a broker cannot fulfil, or nil.
func (d Dialect) supports(o bus.ReceiverOptions) error {
	lacks := func(what string) error {
		return &bus.Condition{Name: bus.NotImplemented, Description: "this broker has no " + what}
	}
	switch {
	case o.Dynamic && d.rabbit():
		return lacks("dynamic nodes")
	case len(o.Filters) > 0 && d.rabbit():
		return lacks("filters, although it may say so")
	}
	return nil
}
