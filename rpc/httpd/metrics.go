package httpd

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"clacks"
)

// Metrics are what /metrics shows, in the format of Prometheus. Labels are names of commands and kinds of errors: never
// anything that clients choose. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	commands *prometheus.CounterVec
	duration *prometheus.HistogramVec
	errors   *prometheus.CounterVec
}

// NewMetrics makes the metrics of a service of this version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "clacks_commands_total",
			Help: "Finished commands by name and outcome: ok, or the kind of the error."}, []string{"command", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "clacks_command_duration_seconds",
			Help: "Time of finished commands by name.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"command"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "clacks_errors_total",
			Help: "Errors answered to clients by kind."}, []string{"kind"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "clacks_build_info",
		Help: "1, with the versions of the service and of Go as labels."}, []string{"version", "goversion"})
	build.WithLabelValues(version, runtime.Version()).Set(1)
	for _, kind := range clacks.Kinds() {
		m.errors.WithLabelValues(kind.String())
	}
	m.registry.MustRegister(build, m.commands, m.duration, m.errors, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registerer takes metrics of other packages.
func (m *Metrics) Registerer() prometheus.Registerer { return m.registry }

// Observe counts a finished command; it fits rpc.Options.Observe.
func (m *Metrics) Observe(command string, took time.Duration, kind string) {
	outcome := kind
	if outcome == "" {
		outcome = "ok"
	} else {
		m.errors.WithLabelValues(kind).Inc()
	}
	m.commands.WithLabelValues(command, outcome).Inc()
	m.duration.WithLabelValues(command).Observe(took.Seconds())
}

// refused counts a request that no command saw.
func (m *Metrics) refused(kind clacks.Kind) { m.errors.WithLabelValues(kind.String()).Inc() }

// countTime bounds the count of sessions when somebody asks for the metrics.
const countTime = time.Second

// watch adds what a server knows by itself. Metrics belong to one server.
func (m *Metrics) watch(s *Server) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "clacks_sessions", Help: "Sessions that have not expired."},
			func() float64 {
				ctx, cancel := context.WithTimeout(context.Background(), countTime)
				defer cancel()
				n, err := s.options.Sessions.Count(ctx, time.Now())
				if err != nil {
					return -1 // a number that nobody takes for a count
				}
				return float64(n)
			}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "clacks_event_streams", Help: "Open event streams over HTTP."},
			func() float64 { return float64(s.streams.count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "clacks_requests_running", Help: "Requests with running commands."},
			func() float64 { return float64(len(s.running)) }),
	)
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.options.Limits.Write)) // not every writer has deadlines: tests
	promhttp.HandlerFor(s.options.Metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}
