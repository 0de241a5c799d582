package main

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"clacks/bus/container"
	"clacks/bus/remote"
)

// off stands for an address at which nobody listens.
const off = "off"

// AMQPConfig is the embedded AMQP 1.0 listener.
type AMQPConfig struct {
	Address       string        `koanf:"address" doc:"Where to listen for AMQP 1.0; port 0 picks a free one, off listens nowhere. Nobody listens when bus.url names a broker." example:"127.0.0.1:5672"`
	Certificate   string        `koanf:"certificate" doc:"PEM file with the TLS certificate chain; with key, AMQP over TLS is spoken (amqps, port 5671)." example:"/etc/clacks/tls.crt"`
	Key           string        `koanf:"key" doc:"PEM file with the TLS key." example:"/etc/clacks/tls.key"`
	ClientCA      string        `koanf:"clientCA" doc:"PEM file with authorities: who has a client certificate of theirs logs in by it (SASL EXTERNAL) as the user in its common name. Needs TLS." example:"/etc/clacks/clients.pem"`
	Anonymous     bool          `koanf:"anonymous" doc:"Let peers in who do not log in (SASL ANONYMOUS). They have no rights." example:"false"`
	Connections   int           `koanf:"connections" doc:"Connections at most." example:"4096"`
	PerAddress    int           `koanf:"perAddress" doc:"Connections of one address at most." example:"1024"`
	Sessions      int           `koanf:"sessions" doc:"Sessions of one connection at most." example:"64"`
	Links         int           `koanf:"links" doc:"Links of one session at most." example:"256"`
	MessageSize   int64         `koanf:"messageSize" doc:"Size of a message at most, in bytes." example:"4194304"`
	Memory        int64         `koanf:"memory" doc:"What the messages in all queues may take, in bytes." example:"536870912"`
	QueueMessages int           `koanf:"queueMessages" doc:"Messages in one queue at most; further ones are refused." example:"10000"`
	QueueBytes    int64         `koanf:"queueBytes" doc:"What the messages in one queue may take, in bytes." example:"67108864"`
	Idle          time.Duration `koanf:"idle" doc:"A peer that is silent for so long is cut off." example:"60s"`
	// By any name: an address has dots, which in a key are something else.
	Queues map[string]QueueConfig `koanf:"queues"`
}

// QueueConfig is how some queues differ from the others. What is not set is as it is for all.
type QueueConfig struct {
	Address    string        `koanf:"address" doc:"The queue that is meant; with * at its end, all whose addresses begin so. The most specific one counts." example:"org.clacks.command.demo.*"`
	Messages   int           `koanf:"messages" doc:"Messages in the queue at most; as queueMessages when left out." example:"100"`
	Bytes      int64         `koanf:"bytes" doc:"What they may take, in bytes; as queueBytes when left out." example:"1048576"`
	Full       string        `koanf:"full" doc:"What a full queue does: refuse (when left out), or drop-oldest." example:"drop-oldest"`
	TTL        time.Duration `koanf:"ttl" doc:"The longest life of a message; no bound when left out." example:"5m"`
	Deliveries int           `koanf:"deliveries" doc:"After so many failed deliveries a message is dead; 10 when left out, -1 for never." example:"3"`
	DeadLetter string        `koanf:"deadLetter" doc:"The queue for its dead messages; when left out, DOMAIN.dead for commands, and none for others." example:"org.clacks.dead"`
}

// policies are what a full queue may do.
var policies = map[string]container.Policy{"": 0, "refuse": container.Refuse, "drop-oldest": container.DropOldest}

// rule is the same for the container.
func (c QueueConfig) rule() container.Rule {
	return container.Rule{Address: c.Address, Settings: container.Settings{MaxMessages: c.Messages, MaxBytes: c.Bytes, Full: policies[c.Full],
		TTL: c.TTL, MaxDeliveries: c.Deliveries, DeadLetter: c.DeadLetter}}
}

func (c QueueConfig) problems(name string, add func(key, format string, args ...any)) {
	if star := strings.IndexByte(c.Address, '*'); c.Address == "" || star >= 0 && star < len(c.Address)-1 {
		add(name+".address", "is that of a queue, or its beginning with * behind it")
	}
	if _, known := policies[c.Full]; !known {
		add(name+".full", "%q is not one of refuse, drop-oldest", c.Full)
	}
	if c.Messages < 0 || c.Bytes < 0 || c.TTL < 0 || c.Deliveries < -1 {
		add(name, "messages, bytes and ttl are not negative, deliveries not below -1")
	}
}

// BusConfig is an external broker, and what this agent does on the bus whoever carries it.
type BusConfig struct {
	URL          string        `koanf:"url" doc:"AMQP 1.0 broker in place of the own listener: amqp://HOST:PORT or amqps://HOST:PORT. Agents of one domain share it." example:"amqps://broker.example.net:5671"`
	Dialect      string        `koanf:"dialect" doc:"How the broker names queues: plain, rabbitmq3 or rabbitmq4. Empty: it tells by itself what it is." example:"rabbitmq4"`
	User         string        `koanf:"user" doc:"Who this agent is at the broker." example:"clacks"`
	Password     string        `koanf:"password" doc:"The password at the broker; better in a file or the environment." example:"secret"`
	PasswordFile string        `koanf:"passwordFile" doc:"File with the password at the broker." example:"/etc/clacks/bus-password"`
	PasswordEnv  string        `koanf:"passwordEnv" doc:"Environment variable with the password at the broker." example:"CLACKS_BUS_PASSWORD"`
	CAFile       string        `koanf:"caFile" doc:"PEM file with the certificate authorities to trust for the broker; empty for the system's." example:"/etc/clacks/ca.pem"`
	Certificate  string        `koanf:"certificate" doc:"PEM file with a client certificate to log in by at the broker (SASL EXTERNAL)." example:"/etc/clacks/agent.crt"`
	Key          string        `koanf:"key" doc:"PEM file with its key." example:"/etc/clacks/agent.key"`
	Workers      int           `koanf:"workers" doc:"Commands of the bus that run at once; twice as many are fetched." example:"32"`
	UserCalls    int           `koanf:"userCalls" doc:"Of those, commands of one user; further ones wait." example:"24"`
	Status       time.Duration `koanf:"status" doc:"Time between two reports of an agent's load; who misses three is gone." example:"10s"`
}

// secret is the password from wherever it is configured; "" for that in the URL, or none.
func (c BusConfig) secret() (string, error) {
	if c.PasswordFile != "" {
		return readSecret(c.PasswordFile)
	}
	if c.PasswordEnv != "" {
		value := os.Getenv(c.PasswordEnv)
		if value == "" {
			return "", fmt.Errorf("environment variable %s is empty", c.PasswordEnv)
		}
		return value, nil
	}
	return c.Password, nil
}

// user is this agent's name at the broker.
func (c BusConfig) user() string {
	if c.User != "" {
		return c.User
	}
	if u, err := url.Parse(c.URL); err == nil && u.User != nil {
		return u.User.Username()
	}
	return ""
}

func (c AMQPConfig) problems(add func(key, format string, args ...any)) {
	if _, _, err := net.SplitHostPort(c.Address); err != nil && c.Address != off {
		add("amqp.address", "%v; write HOST:PORT, or off", err)
	}
	if (c.Certificate == "") != (c.Key == "") {
		add("amqp.certificate", "certificate and key go together")
	}
	if c.ClientCA != "" && c.Certificate == "" {
		add("amqp.clientCA", "client certificates need TLS: certificate and key")
	}
	for _, n := range []struct {
		key   string
		value int64
	}{{"connections", int64(c.Connections)}, {"perAddress", int64(c.PerAddress)}, {"sessions", int64(c.Sessions)}, {"links", int64(c.Links)},
		{"messageSize", c.MessageSize}, {"memory", c.Memory}, {"queueMessages", int64(c.QueueMessages)}, {"queueBytes", c.QueueBytes}, {"idle", int64(c.Idle)}} {
		if n.value <= 0 {
			add("amqp."+n.key, "is positive")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		c.Queues[name].problems("amqp.queues."+name, add)
	}
}

func (c BusConfig) problems(add func(key, format string, args ...any)) {
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "amqp" && u.Scheme != "amqps" {
			add("bus.url", "%q is not an amqp:// or amqps:// address", withoutPassword(c.URL))
		}
	}
	if !remote.Dialect(c.Dialect).Known() {
		add("bus.dialect", "%q is not one of plain, rabbitmq3, rabbitmq4", c.Dialect)
	}
	if (c.Certificate == "") != (c.Key == "") {
		add("bus.certificate", "certificate and key go together")
	}
	if c.Workers < 1 || c.Workers > 10_000 {
		add("bus.workers", "are between 1 and 10000")
	}
	if c.UserCalls < 1 {
		add("bus.userCalls", "are 1 at least")
	}
	if c.Status < 100*time.Millisecond || c.Status > time.Hour {
		add("bus.status", "is between 100ms and 1h")
	}
}
