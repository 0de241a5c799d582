package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector shows the numbers of the object service and the event log; they are asked for when somebody looks.
type collector struct {
	app *app
}

var (
	descFaults        = describe("clacks_objects_faults_total", "Backend values that did not fit their attribute and were left out.")
	descDoubts        = describe("clacks_commits_doubts_total", "Changes of which a backend did not say at once what became of them.")
	descUndone        = describe("clacks_commits_undone_total", "Commits that were taken back after a part of them was done.")
	descRecovered     = describe("clacks_commits_recovered_total", "Operations that recovery brought to an end.")
	descParked        = describe("clacks_commits_parked_total", "Operations left for a person: others had written what they touch.")
	descOpen          = describe("clacks_commits_in_doubt", "Operations whose outcome is not known at this moment.")
	descOpened        = describe("clacks_objects_open", "Open objects of all sessions.")
	descSubscriptions = describe("clacks_event_subscriptions", "Live subscriptions to events.")
	descDelivered     = describe("clacks_event_subscriptions_delivered", "Events delivered to the subscriptions that are live now.")
	descQueryErrors   = describe("clacks_event_subscriptions_query_errors", "Failed evaluations of the queries of the subscriptions that are live now.")
	descDurable       = describe("clacks_subscriptions_durable", "Subscriptions that are kept until they are removed.")
	descTransient     = describe("clacks_subscriptions_transient", "Subscriptions that are kept as long as somebody asks for them.")
	descAttached      = describe("clacks_subscriptions_attached", "Subscriptions, of both kinds, that somebody receives from or that are relayed.")
	descDurableLag    = describe("clacks_subscriptions_durable_lag", "Events between the newest one and the position of the slowest durable subscription.")
	descLast          = describe("clacks_event_sequence", "Sequence number of the newest event.")
	descLag           = describe("clacks_event_lag", "Events between the newest one and the position of the slowest live subscription.")
)

func describe(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// Describe implements prometheus.Collector.
func (c collector) Describe(descs chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, descs) }

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, value int64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value))
	}
	gauge := func(d *prometheus.Desc, value int64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value))
	}
	numbers := c.app.objects.Statistics()
	counter(descFaults, numbers.Faults)
	counter(descDoubts, numbers.Doubts)
	counter(descUndone, numbers.Undone)
	counter(descRecovered, numbers.Recovered)
	counter(descParked, numbers.Parked)
	gauge(descOpen, int64(numbers.Open))
	gauge(descOpened, int64(numbers.Sessions))

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	last, err := c.app.events.Last(ctx)
	if err != nil {
		last = 0 // the state database does not answer: the lag is not known, and /readyz says why
	}
	var delivered, failed, lag int64
	live := c.app.events.Subscriptions()
	for _, s := range live {
		delivered += s.Delivered
		failed += s.Errors
		lag = max(lag, last-s.Position)
	}
	gauge(descSubscriptions, int64(len(live)))
	gauge(descDelivered, delivered)
	gauge(descQueryErrors, failed)
	gauge(descLag, lag)
	if err == nil {
		gauge(descLast, last)
		c.collectSubscriptions(ctx, last, gauge)
	}
	if c.app.bus != nil {
		c.app.bus.collect(metrics)
	}
	if c.app.zmq != nil {
		collectZMQ(c.app.zmq, metrics)
	}
}

// collectSubscriptions counts those that are kept.
func (c collector) collectSubscriptions(ctx context.Context, last int64, gauge func(*prometheus.Desc, int64)) {
	kept, err := c.app.subscriptions.Summary(ctx)
	if err != nil {
		return // the state database does not answer, and /readyz says why
	}
	gauge(descDurable, kept.Durable)
	gauge(descTransient, kept.Transient)
	gauge(descAttached, kept.Attached)
	if kept.Slowest < 0 {
		kept.Slowest = last
	}
	gauge(descDurableLag, max(0, last-kept.Slowest))
}
