package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	descBusReceived    = describe("clacks_bus_commands_received_total", "Messages with commands that came over the bus.")
	descBusRefused     = describe("clacks_bus_commands_refused_total", "Of those, not run: unknown users, bodies that cannot be read.")
	descBusExpired     = describe("clacks_bus_commands_expired_total", "Of those, not run: too old.")
	descBusReleased    = describe("clacks_bus_commands_released_total", "Of those, given back for others.")
	descBusReplied     = describe("clacks_bus_replies_total", "Answers that were sent over the bus.")
	descBusDropped     = describe("clacks_bus_replies_dropped_total", "Answers that nobody could have.")
	descBusHeld        = describe("clacks_bus_commands_held", "Commands of the bus that run or wait at this moment.")
	descBusNodes       = describe("clacks_bus_nodes", "Agents and other nodes of the domain.")
	descBusConnected   = describe("clacks_bus_connected", "1 while the external broker is connected.")
	descBusLosses      = describe("clacks_bus_connection_losses_total", "Lost connections to the external broker.")
	descBusConnections = describe("clacks_amqp_connections", "Connections to the listener.")
	descBusSessions    = describe("clacks_amqp_sessions", "Sessions of the listener.")
	descBusLinks       = describe("clacks_amqp_links", "Links of the listener.")
	descBusLogins      = describe("clacks_amqp_logins_total", "Successful logins at the listener.")
	descBusIn          = describe("clacks_amqp_messages_in_total", "Messages that came to the listener.")
	descBusOut         = describe("clacks_amqp_messages_out_total", "Messages that the listener sent.")
	descBusBytesIn     = describe("clacks_amqp_bytes_in_total", "Bytes that came to the listener.")
	descBusBytesOut    = describe("clacks_amqp_bytes_out_total", "Bytes that the listener sent.")
	descBusCutOff      = prometheus.NewDesc("clacks_amqp_refused_total", "What the listener has refused or cut off, by reason.", []string{"reason"}, nil)
	descBusQueues      = describe("clacks_amqp_queues", "Queues.")
	descBusDepth       = describe("clacks_amqp_queued_messages", "Messages in all queues.")
	descBusMemory      = describe("clacks_amqp_queued_bytes", "Memory for the messages in all queues.")
	descBusDead        = describe("clacks_amqp_dead_letters_total", "Messages that went to a dead-letter queue.")
	descBusFull        = describe("clacks_amqp_queue_refused_total", "Messages that queues have refused: full, over a limit, without user-id.")
)

// collect shows the numbers of the bus.
func (b *busService) collect(metrics chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	door := b.door.Statistics()
	counter(descBusReceived, float64(door.Received))
	counter(descBusRefused, float64(door.Refused))
	counter(descBusExpired, float64(door.Expired))
	counter(descBusReleased, float64(door.Released))
	counter(descBusReplied, float64(door.Replied))
	counter(descBusDropped, float64(door.Dropped))
	gauge(descBusHeld, float64(door.Held))
	gauge(descBusNodes, float64(len(b.door.Agents().Nodes())))
	if b.client != nil {
		remote := b.client.Statistics()
		connected := 0.0
		if remote.State.Connected {
			connected = 1
		}
		gauge(descBusConnected, connected)
		counter(descBusLosses, float64(remote.Losses))
	}
	if b.server == nil {
		return
	}
	server := b.server.Stats()
	gauge(descBusConnections, float64(server.Connections))
	gauge(descBusSessions, float64(server.Sessions))
	gauge(descBusLinks, float64(server.Links))
	counter(descBusLogins, float64(server.Logins))
	counter(descBusIn, float64(server.MessagesIn))
	counter(descBusOut, float64(server.MessagesOut))
	counter(descBusBytesIn, float64(server.BytesIn))
	counter(descBusBytesOut, float64(server.BytesOut))
	for reason, n := range server.Refused {
		counter(descBusCutOff, float64(n), reason)
	}
	nodes := b.nodes.Statistics()
	gauge(descBusQueues, float64(len(nodes.Queues)))
	gauge(descBusDepth, float64(nodes.Messages))
	gauge(descBusMemory, float64(nodes.Bytes))
	counter(descBusDead, float64(nodes.Totals.DeadLettered))
	counter(descBusFull, float64(nodes.Totals.Refused))
}
