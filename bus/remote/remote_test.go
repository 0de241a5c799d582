package remote_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/remote"
	"clacks/internal/testservers"
)

// within is the time of one step.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// plain is a listener with nodes of its own.
func plain(t *testing.T) (*container.Container, string) {
	t.Helper()
	nodes := container.New(everybody{}, container.Options{})
	t.Cleanup(nodes.Close)
	address, _ := serve(t, nodes, "127.0.0.1:0", nil)
	return nodes, address
}

// closeAtEnd closes a client when the test ends.
func closeAtEnd(t *testing.T, b bus.Bus) {
	t.Cleanup(func() { _ = b.Close(context.Background()) })
}

// depth is how many messages a queue has taken.
func taken(c *container.Container, address string) uint64 {
	for _, q := range c.Statistics().Queues {
		if q.Address == address {
			return q.Counters.In
		}
	}
	return 0
}

// A message that was written when the line was cut, and whose outcome did not come back, is in doubt; it was taken here.
func TestAMessageWithoutOutcomeIsInDoubt(t *testing.T) {
	nodes, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann"})
	closeAtEnd(t, c)
	s, err := c.Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	marker := []byte("the one that is cut")
	c.proxy.CutReply(func(request []byte) bool { return bytes.Contains(request, marker) })
	if err := s.Send(within(t), &bus.Message{Body: marker}); !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("%v, want in doubt", err)
	}
	if err := s.Send(within(t), &bus.Message{Body: []byte("after")}); err != nil {
		t.Errorf("after it: %v", err)
	}
	if n := taken(nodes, "q"); n != 2 {
		t.Errorf("%d messages were taken", n)
	}
	stats := c.Statistics()
	if stats.InDoubt != 1 || stats.Losses != 1 || stats.Connects != 2 || stats.Links != 1 || !stats.State.Connected {
		t.Errorf("%+v", stats)
	}
}

// Many send on one link when it is cut: each is told that it was taken or that this is in doubt, no message is taken that
// nobody sent, and none of those that were taken in certainty is missing.
func TestConcurrentSendsOverALoss(t *testing.T) {
	nodes, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann"})
	closeAtEnd(t, c)
	s, err := c.Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const senders, each = 8, 60
	var mu sync.Mutex
	sure, doubt := map[string]bool{}, map[string]bool{}
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for j := range each {
				body := fmt.Sprint(i, "-", j)
				err := s.Send(within(t), &bus.Message{Body: []byte(body)})
				mu.Lock()
				switch {
				case err == nil:
					sure[body] = true
				case clacks.IsKind(err, clacks.InDoubt):
					doubt[body] = true
				default:
					t.Errorf("%s: %v", body, err)
				}
				mu.Unlock()
				if i == 0 && j%20 == 10 {
					c.proxy.CutAll()
				}
			}
		})
	}
	group.Wait()
	in, err := nodes.Connect(bus.Peer{}).Receiver(within(t), "q", bus.ReceiverOptions{Settled: true})
	if err != nil {
		t.Fatal(err)
	}
	for range taken(nodes, "q") {
		d, err := in.Receive(within(t))
		if err != nil {
			t.Fatal(err)
		}
		body := string(d.Message.Body)
		if !sure[body] && !doubt[body] {
			t.Errorf("%s came twice, or was never sent", body)
		}
		delete(sure, body)
		delete(doubt, body)
	}
	if len(sure) > 0 {
		t.Errorf("%d messages that were taken are lost", len(sure))
	}
}

// A call waits for the connection as long as its context allows, and says then why there is none.
func TestCallsWaitForTheConnection(t *testing.T) {
	nodes, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann"})
	closeAtEnd(t, c)
	s, err := c.Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.proxy.Refuse(true)
	lose(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err = s.Send(ctx, &bus.Message{})
	if !clacks.IsKind(err, clacks.Unavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), c.proxy.Addr) {
		t.Errorf("%v", err)
	}
	if state := c.State(); state.Connected || state.Err == nil {
		t.Errorf("%+v", state)
	}
	sent := make(chan error, 1)
	go func() { sent <- s.Send(within(t), &bus.Message{}) }()
	c.proxy.Refuse(false)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if n := taken(nodes, "q"); n != 1 {
		t.Errorf("%d messages were taken", n)
	}
}

// A refusal is told, and does not make the client ask without a pause.
func TestARefusalIsToldAndTriedAgainAfterAPause(t *testing.T) {
	nodes, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann"})
	closeAtEnd(t, c)
	if err := nodes.Declare("q", container.Settings{}); err != nil {
		t.Fatal(err)
	}
	r, err := c.Receiver(within(t), "q", bus.ReceiverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	nodes.Delete("q")
	_, err = r.Receive(within(t))
	var gone *bus.Condition
	if !errors.As(err, &gone) || gone.Name != bus.ResourceDeleted {
		t.Errorf("a receiver whose queue is deleted: %v", err)
	}
	// It may come back: the next call attaches anew, here to a queue that it makes.
	s, err := nodes.Connect(bus.Peer{}).Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(within(t), &bus.Message{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if d, err := r.Receive(within(t)); err != nil || string(d.Message.Body) != "x" {
		t.Errorf("%v %v", d, err)
	}
}

func TestDialSaysWhyThereIsNoConnection(t *testing.T) {
	_, address := plain(t)
	quiet := slog.New(slog.DiscardHandler)
	_, err := remote.Dial(within(t), remote.Options{URL: "amqp://ann:wrong@" + address, Log: quiet})
	if !clacks.IsKind(err, clacks.Unauthenticated) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = remote.Dial(within(t), remote.Options{URL: "amqp://" + nobody, Log: quiet}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("nobody listens: %v", err)
	}
	// A server that says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // a test's socket
	options := remote.Options{URL: "amqp://" + silent.Addr().String(), Log: quiet, ConnectTimeout: 30 * time.Millisecond}
	if _, err = remote.Dial(within(t), options); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	options.ConnectTimeout = time.Minute
	if _, err = remote.Dial(ctx, options); !errors.Is(err, context.Canceled) {
		t.Errorf("an impatient caller: %v", err)
	}
	c, err := remote.Dial(within(t), remote.Options{URL: "amqp://ann:ann@" + address, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if state := c.State(); !state.Connected || state.Dialect != remote.PlainName || state.Err != nil {
		t.Errorf("%+v", state)
	}
	if err := c.Close(within(t)); err != nil {
		t.Error(err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Errorf("the second close: %v", err)
	}
}

func TestWrongOptions(t *testing.T) {
	for _, options := range []remote.Options{
		{}, {URL: "http://x"}, {URL: "amqp://"}, {URL: "amqp://x:y:z"}, {URL: "%"}, {URL: "amqp://secret\x00@x"},
		{URL: "amqp://x", Dialect: "french"}, {URL: "amqp://x", SASL: "TRUST-ME"},
	} {
		_, err := remote.New(options)
		if !clacks.IsKind(err, clacks.Invalid) {
			t.Errorf("%+v: %v", options, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// A server that never answers a close must not keep a client from ending.
func TestCloseHasADeadline(t *testing.T) {
	_, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann", CloseTimeout: 50 * time.Millisecond})
	for i := range 3 {
		if _, err := c.Receiver(within(t), fmt.Sprint("q", i), bus.ReceiverOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c.proxy.OnReply(func([]byte) testservers.Verdict { return testservers.Drop })
	began := time.Now()
	_ = c.Close(t.Context()) // it may say that it was not in order
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// RabbitMQ does not always answer the end of a session. Who closes a link there does not wait for long, and is told of no failure.
func TestAnEndThatIsNotAnswered(t *testing.T) {
	_, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann", Dialect: remote.RabbitMQ3, CloseTimeout: 100 * time.Millisecond})
	r, err := c.Receiver(within(t), "q", bus.ReceiverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.proxy.OnReply(func([]byte) testservers.Verdict { return testservers.Drop })
	if err := r.Close(within(t)); err != nil {
		t.Errorf("close: %v", err)
	}
	_ = c.Close(t.Context()) // it may say that it was not in order
}

// A line on which nothing comes any more is a lost one, although nobody has closed it.
func TestASilentLineIsNoticed(t *testing.T) {
	nodes, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann", IdleTimeout: 300 * time.Millisecond})
	closeAtEnd(t, c)
	s, err := c.Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.proxy.OnReply(func([]byte) testservers.Verdict { return testservers.Drop })
		err = s.Send(within(t), &bus.Message{}) // it is taken, and nobody tells
		if !clacks.IsKind(err, clacks.InDoubt) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		c.proxy.OnReply(nil)
		if err := s.Send(within(t), &bus.Message{}); err != nil {
			t.Error(err)
		}
	}
	if n := taken(nodes, "q"); n != 4 {
		t.Errorf("%d messages were taken", n)
	}
}

// A message that is larger than a receiver takes must not be in the way of those behind it.
func tooLarge(t *testing.T, server *testservers.RabbitServer) {
	c := connect(t, server.Addr, remote.Options{User: server.User, Password: server.Password, MaxMessageSize: 1000})
	closeAtEnd(t, c)
	address := "too.large"
	r, err := c.Receiver(within(t), address, bus.ReceiverOptions{Credit: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Sender(within(t), address, bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{make([]byte, 1001), []byte("fits")} {
		for _, text := range []bool{true, false} {
			if err := s.Send(within(t), &bus.Message{Body: body, Text: text}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		d, err := r.Receive(within(t))
		if err != nil || string(d.Message.Body) != "fits" {
			t.Fatalf("%v %v", d, err)
		}
		if err := d.Accept(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// Losses leave nothing behind: no goroutine, no link at the server.
func TestLossesLeaveNothingBehind(t *testing.T) {
	nodes, address := plain(t)
	before := runtime.NumGoroutine()
	c := connect(t, address, remote.Options{User: "ann", Password: "ann"})
	in, err := c.Receiver(within(t), "", bus.ReceiverOptions{Dynamic: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	for range rounds {
		lose(t, c)
		if err := out.Send(within(t), &bus.Message{}); err != nil && !clacks.IsKind(err, clacks.InDoubt) {
			t.Fatal(err)
		}
		if _, err := in.Receive(within(t)); !errors.Is(err, bus.ErrRenewed) {
			t.Fatalf("%v, want the news of another node", err)
		}
	}
	if stats := c.Statistics(); stats.Losses != rounds || stats.Connects != rounds+1 {
		t.Errorf("%+v", stats)
	}
	if err := c.Close(within(t)); err != nil {
		t.Error(err)
	}
	c.proxy.Close()
	ctx := within(t)
	for len(nodes.Statistics().Links) > 0 || runtime.NumGoroutine() > before {
		if ctx.Err() != nil {
			t.Fatalf("%d links and %d goroutines are left", len(nodes.Statistics().Links), runtime.NumGoroutine()-before)
		}
		time.Sleep(time.Millisecond)
	}
	queues := nodes.Statistics().Queues
	if len(queues) != 1 || queues[0].Address != "q" {
		t.Errorf("queues are left: %+v", queues)
	}
}

// The anonymous node of RabbitMQ 3 is a sender for each address, and not for ever more.
func TestThePoolOfSendersIsBounded(t *testing.T) {
	nodes, address := plain(t)
	c := connect(t, address, remote.Options{User: "ann", Password: "ann", Dialect: remote.RabbitMQ3})
	closeAtEnd(t, c)
	s, err := c.Sender(within(t), "", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const addresses = 80
	for range 2 {
		for i := range addresses {
			m := &bus.Message{Properties: bus.Properties{To: fmt.Sprint("q", i)}}
			if err := s.Send(within(t), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range addresses {
		if n := taken(nodes, fmt.Sprint("/amq/queue/q", i)); n != 2 {
			t.Errorf("%d: %d messages", i, n)
		}
	}
	for links := 1000; links > 64; links = len(nodes.Statistics().Links) {
		if within(t).Err() != nil {
			t.Fatalf("%d links", links)
		}
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(within(t)); err != nil {
		t.Error(err)
	}
	if err := s.Send(within(t), &bus.Message{Properties: bus.Properties{To: "q"}}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("after the end: %v", err)
	}
}

// identity is what a client with certificates of its own needs: the authority, and its own certificate.
func identity(t *testing.T, files *testservers.Certificates) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair(t, files.ClientCert, files.ClientKey)}}
}

func pair(t *testing.T, cert, key string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// logIn connects, and sends a message in a user's name to a queue that it makes: so the server has to believe who he is.
func logIn(t *testing.T, user string, options remote.Options) error {
	t.Helper()
	options.Log = slog.New(slog.DiscardHandler)
	c, err := remote.Dial(within(t), options)
	if err != nil {
		return err
	}
	defer c.Close(context.Background()) //nolint:errcheck // what counts was sent
	r, err := c.Receiver(within(t), "q", bus.ReceiverOptions{Credit: 1})
	if err != nil {
		return err
	}
	s, err := c.Sender(within(t), "q", bus.SenderOptions{})
	if err != nil {
		return err
	}
	if err := s.Send(within(t), &bus.Message{Properties: bus.Properties{UserID: []byte(user)}}); err != nil {
		return err
	}
	d, err := r.Receive(within(t))
	if err != nil {
		return err
	}
	return d.Accept(within(t))
}

func TestLoginsOverTLS(t *testing.T) {
	files, err := testservers.MakeCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := identity(t, files)
	nodes := container.New(everybody{}, container.Options{})
	t.Cleanup(nodes.Close)
	address, _ := serve(t, nodes, "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair(t, files.Cert, files.Key)}, MinVersion: tls.VersionTLS12,
		ClientCAs: config.RootCAs, ClientAuth: tls.VerifyClientCertIfGiven,
	})
	logins(t, "amqps://"+address, config, "ann", "ann")
	if err := logIn(t, "ann", remote.Options{URL: "amqps://" + address, User: "ann", Password: "ann"}); !clacks.IsKind(err, clacks.Unavailable) {
		t.Errorf("a server whose authority nobody knows: %v", err)
	}
}

// What the conformance suite does not try at RabbitMQ; one server is enough for it.
func TestRabbitMQ(t *testing.T) {
	server := testservers.RabbitMQ(t, testservers.WithRabbitTLS())
	t.Run("logins over TLS", func(t *testing.T) {
		logins(t, server.AMQPS, identity(t, server.TLS), server.User, server.Password)
	})
	t.Run("messages that are too large", func(t *testing.T) { tooLarge(t, server) })
	t.Run("a client with few rights", func(t *testing.T) { fewRights(t, server) })
}

// fewRights: a client with the permissions that the manual names calls a command, and reads nobody's messages.
func fewRights(t *testing.T, server *testservers.RabbitServer) {
	const own = `^org\.clacks\.reply\.`
	if err := server.AddUser("ann", "secret", own, `^amq\.default$|`+own, own); err != nil {
		t.Fatal(err)
	}
	agent := connect(t, server.Addr, remote.Options{User: server.User, Password: server.Password})
	closeAtEnd(t, agent)
	address := bus.Names("org.clacks").Command(bus.Core)
	in, err := agent.Receiver(within(t), address, bus.ReceiverOptions{Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := agent.Sender(within(t), "", bus.SenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		d, err := in.Receive(within(t))
		if err != nil {
			answered <- err
			return
		}
		p := d.Message.Properties
		reply := &bus.Message{Body: p.UserID, Properties: bus.Properties{To: p.ReplyTo, CorrelationID: p.CorrelationID}}
		answered <- errors.Join(out.Send(within(t), reply), d.Accept(within(t)))
	}()
	client := connect(t, server.Addr, remote.Options{User: "ann", Password: "secret"})
	closeAtEnd(t, client)
	r, err := bus.NewRequester(within(t), client, address, "org.clacks")
	if err != nil {
		t.Fatal(err)
	}
	reply, err := r.Request(within(t), &bus.Message{Properties: bus.Properties{UserID: []byte("ann")}})
	if err != nil || string(reply.Body) != "ann" {
		t.Errorf("%v %v", reply, err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	var refused *bus.Condition
	if _, err := client.Receiver(within(t), address, bus.ReceiverOptions{}); !errors.As(err, &refused) || refused.Name != bus.Unauthorized {
		t.Errorf("a client reads commands: %v", err)
	}
	_, err = r.Request(within(t), &bus.Message{Properties: bus.Properties{UserID: []byte("bob")}})
	if !errors.As(err, &refused) || !clacks.IsKind(err, clacks.InDoubt) {
		t.Errorf("a message in another's name: %v", err)
	}
}

// logins tries the mechanisms.
func logins(t *testing.T, url string, config *tls.Config, user, password string) {
	t.Helper()
	if err := logIn(t, user, remote.Options{URL: url, TLS: config, User: user, Password: password}); err != nil {
		t.Errorf("PLAIN: %v", err)
	}
	if err := logIn(t, "clacks", remote.Options{URL: url, TLS: config}); err != nil {
		t.Errorf("EXTERNAL: %v", err)
	}
	without := config.Clone()
	without.Certificates = nil
	for name, mechanism := range map[string]remote.Mechanism{"EXTERNAL without a certificate": remote.External, "ANONYMOUS": remote.Anonymous} {
		if err := logIn(t, "", remote.Options{URL: url, TLS: without, SASL: mechanism}); err == nil {
			t.Errorf("%s: somebody was let in", name)
		}
	}
}
