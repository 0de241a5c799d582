package remote_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks/access"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/remote"
	"clacks/internal/testservers"
)

// These benchmarks hold the embedded listener against RabbitMQ in one run: rounds of both alternate, and the medians are
// reported with their ratio. Clients are the same program, a connection each. `make bench` runs them once each; the number of
// iterations that go test chooses has no meaning here.

const (
	benchRounds = 5
	benchRound  = time.Second
	benchBody   = 512 // bytes of a request, a reply, an event
)

// side is one of the two that are compared. Its server and its agent are processes of their own, and the clients of both are
// this one.
type side struct {
	name  string
	url   string
	user  string
	pass  string
	group string // the address that every subscriber of the fan-out attaches to, and its publisher sends to
}

func (s side) connect(b *testing.B) bus.Bus {
	b.Helper()
	c, err := s.dial(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (s side) dial(ctx context.Context) (bus.Bus, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return remote.Dial(ctx, remote.Options{URL: s.url, User: s.user, Password: s.pass, Log: slog.New(slog.DiscardHandler)})
}

// sides starts both servers with an agent each: that of the listener is in its process and needs no wire, that of RabbitMQ is a
// client.
func sides(b *testing.B) []side {
	b.Helper()
	rabbit := testservers.SharedRabbitMQ(b)
	other := side{name: "rabbitmq", url: rabbit.URL, user: rabbit.User, pass: rabbit.Password, group: "/exchange/amq.fanout"}
	child(b, benchAgent+"="+other.url, "USER="+other.user, "PASS="+other.pass)
	own := side{name: "clacks", user: "ann", pass: "ann", group: "bench.fanout"}
	own.url = child(b, benchServer+"=yes")
	return []side{other, own}
}

// The variables of the environment that make this program a child of its own.
const (
	benchServer = "CLACKS_BENCH_SERVER"
	benchAgent  = "CLACKS_BENCH_AGENT"
	benchRPC    = "bench.rpc"
)

func TestMain(m *testing.M) {
	switch url := os.Getenv(benchAgent); {
	case os.Getenv(benchServer) != "":
		serveBench()
	case url != "":
		s := side{url: url, user: os.Getenv("USER"), pass: os.Getenv("PASS")}
		b, err := s.dial(context.Background())
		if err == nil {
			err = answer(b)
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
	default:
		os.Exit(m.Run())
	}
}

// child starts this program as a server or an agent, which ends with its standard input, and returns its first line.
func child(b *testing.B, environment ...string) string {
	b.Helper()
	command := exec.Command(os.Args[0])
	command.Env, command.Stderr = append(os.Environ(), environment...), os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = errors.Join(in.Close(), command.Wait()) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// serveBench is the embedded server with its agent.
func serveBench() {
	nodes := container.New(container.AllowAll{}, container.Options{})
	nodes.Handle("bench.fanout", newFanout())
	if err := answer(nodes.Connect(bus.Peer{User: access.User{ID: "agent"}})); err != nil {
		log.Fatal(err)
	}
	url, stop := open(nodes)
	fmt.Println(url)
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
}

// answer runs an agent, which sends the reply first and accepts then.
func answer(conn bus.Bus) error {
	const workers = 8
	ctx := context.Background()
	in, err := conn.Receiver(ctx, benchRPC, bus.ReceiverOptions{Credit: 2 * workers})
	if err != nil {
		return err
	}
	out, err := conn.Sender(ctx, "", bus.SenderOptions{})
	if err != nil {
		return err
	}
	for range workers {
		go func() {
			for {
				d, err := in.Receive(ctx)
				if err != nil {
					log.Fatal(err)
				}
				p := d.Message.Properties
				reply := &bus.Message{Body: d.Message.Body, Properties: bus.Properties{To: p.ReplyTo, CorrelationID: p.CorrelationID}}
				if err := errors.Join(out.Send(ctx, reply), d.Accept(ctx)); err != nil {
					log.Print(err) // a client that is gone
				}
			}
		}()
	}
	return nil
}

// fanout is a node whose messages go to all its receivers; a slow one makes the sender wait.
type fanout struct {
	mu   sync.Mutex
	subs map[*subscription]struct{}
}

type subscription struct {
	node *fanout
	in   chan *bus.Message
}

func newFanout() *fanout { return &fanout{subs: map[*subscription]struct{}{}} }

func (f *fanout) Source(context.Context, bus.SourceRequest) (bus.Source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &subscription{f, make(chan *bus.Message, 256)}
	f.subs[s] = struct{}{}
	return s, nil
}

func (f *fanout) Target(context.Context, bus.TargetRequest) (bus.Target, error) { return f, nil }

func (f *fanout) Put(_ context.Context, m *bus.Message) bus.Disposition {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		s.in <- m
	}
	return bus.Disposition{}
}

func (f *fanout) Close() {}

func (s *subscription) Next(ctx context.Context) (*bus.Delivery, error) {
	select {
	case m := <-s.in:
		return bus.NewDelivery(m, nil), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *subscription) Ready() (*bus.Delivery, error) {
	select {
	case m := <-s.in:
		return bus.NewDelivery(m, nil), nil
	default:
		return nil, nil
	}
}

func (s *subscription) Applied() []bus.Filter { return nil }

func (s *subscription) Close(bool) {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	delete(s.node.subs, s)
}

// figures are those of one round.
type figures struct {
	rate     float64
	p50, p99 time.Duration
}

// compare runs rounds of both sides and reports the medians.
func compare(b *testing.B, all []side, round func(s side) figures) {
	b.Helper()
	results := map[string][]figures{}
	for range benchRounds {
		for _, s := range all {
			results[s.name] = append(results[s.name], round(s))
		}
	}
	median := map[string]figures{}
	for name, rounds := range results {
		m := figures{
			rate: middle(rounds, func(f figures) float64 { return f.rate }),
			p50:  time.Duration(middle(rounds, func(f figures) float64 { return float64(f.p50) })),
			p99:  time.Duration(middle(rounds, func(f figures) float64 { return float64(f.p99) })),
		}
		median[name] = m
		b.ReportMetric(m.rate, name+"/s")
		if m.p50 > 0 {
			b.ReportMetric(float64(m.p50.Microseconds()), name+"-p50-us")
			b.ReportMetric(float64(m.p99.Microseconds()), name+"-p99-us")
		}
	}
	b.ReportMetric(median["clacks"].rate/median["rabbitmq"].rate, "ratio")
	b.ReportMetric(0, "ns/op")
}

func middle(rounds []figures, of func(figures) float64) float64 {
	values := make([]float64, len(rounds))
	for i, f := range rounds {
		values[i] = of(f)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func BenchmarkRPC(b *testing.B) {
	all := sides(b)
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			requesters := map[string][]*bus.Requester{}
			for _, s := range all {
				for range clients {
					r, err := bus.NewRequester(b.Context(), s.connect(b), benchRPC, "bench")
					if err != nil {
						b.Fatal(err)
					}
					requesters[s.name] = append(requesters[s.name], r)
				}
			}
			compare(b, all, func(s side) figures { return call(b, requesters[s.name]) })
		})
	}
}

// call lets every requester ask for one round, without a pause.
func call(b *testing.B, requesters []*bus.Requester) figures {
	b.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var group sync.WaitGroup
	began := time.Now()
	for _, r := range requesters {
		group.Go(func() {
			var own []time.Duration
			for time.Since(began) < benchRound {
				start := time.Now()
				if _, err := r.Request(b.Context(), &bus.Message{Body: make([]byte, benchBody)}); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	group.Wait()
	elapsed := time.Since(began)
	if len(took) == 0 {
		b.Fatal("no reply came")
	}
	slices.Sort(took)
	return figures{float64(len(took)) / elapsed.Seconds(), took[len(took)/2], took[len(took)*99/100]}
}

func BenchmarkFanOut(b *testing.B) {
	all := sides(b)
	b.Run("subscribers=counters", func(b *testing.B) { fanOut(b, all, count) })
	b.Run("subscribers=go", func(b *testing.B) { fanOut(b, all, listen(true)) })
	b.Run("subscribers=go-accepting", func(b *testing.B) { fanOut(b, all, listen(false)) })
}

const fanOutBatch = 50

// count subscribes with a counter.
func count(b *testing.B, s side, came func()) {
	c := newCounter(b, s)
	go func() {
		for {
			transfer, err := c.frame()
			if err != nil {
				return
			}
			if transfer {
				came()
			}
		}
	}()
}

// listen subscribes with our own client; deliveries are settled when they come, or are accepted each.
func listen(settled bool) func(b *testing.B, s side, came func()) {
	return func(b *testing.B, s side, came func()) {
		in, err := s.connect(b).Receiver(b.Context(), s.group, bus.ReceiverOptions{Settled: settled, Credit: 4 * fanOutBatch})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for {
				d, err := in.Receive(b.Context())
				if err != nil {
					return
				}
				if err := d.Accept(b.Context()); err != nil {
					return
				}
				came()
			}
		}()
	}
}

// fanOut sends to a hundred subscribers, a batch at once, and waits until all have the batch.
func fanOut(b *testing.B, all []side, subscribe func(b *testing.B, s side, came func())) {
	const subscribers = 100
	outs, fulls := map[string]bus.Sender{}, map[string]chan struct{}{}
	for _, s := range all {
		var deliveries atomic.Int64
		full := make(chan struct{}, 1)
		for range subscribers {
			subscribe(b, s, func() {
				if deliveries.Add(1)%(subscribers*fanOutBatch) == 0 {
					full <- struct{}{}
				}
			})
		}
		out, err := s.connect(b).Sender(b.Context(), s.group, bus.SenderOptions{})
		if err != nil {
			b.Fatal(err)
		}
		outs[s.name], fulls[s.name] = out, full
	}
	compare(b, all, func(s side) figures {
		began, count := time.Now(), 0
		for time.Since(began) < benchRound {
			var group sync.WaitGroup
			for range fanOutBatch {
				group.Go(func() {
					if err := outs[s.name].Send(b.Context(), &bus.Message{Body: make([]byte, benchBody)}); err != nil {
						b.Error(err)
					}
				})
			}
			group.Wait()
			<-fulls[s.name]
			count += fanOutBatch * subscribers
		}
		return figures{rate: float64(count) / time.Since(began).Seconds()}
	})
}
