package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"clacks/rpc/busevents"
)

// TestSoak lets two hundred clients of the bus come and go, for some seconds or for CLACKS_SOAK (a duration), at a service that
// is a process of its own. They call commands, listen to events with filters, make subscriptions and leave some of them behind; a
// third of them end without a word. Goroutines, descriptors, queues and memory do not grow.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	long := 5 * time.Second
	if text := os.Getenv("CLACKS_SOAK"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := &soaked{service: mustStart(t, "--data", t.TempDir())}
	s.soak(long / 5) // pools and caches fill
	before := s.usage()
	s.soak(long)
	after := s.usage()
	t.Logf("%d visits; before: %+v, after: %+v", s.visits.Load(), before, after)
	// A leak is one for each of many visits. Some descriptors are the database's, which opens files as many read at once.
	if after.goroutines > before.goroutines+20 || after.descriptors > before.descriptors+30 || after.queues > before.queues ||
		after.heap > before.heap+16<<20 || after.resident > before.resident*3/2+64<<20 {
		t.Errorf("something grew: %+v became %+v", before, after)
	}
	s.stop()
}

const (
	visitors    = 200
	subscribers = 80 // of them; a user may have 100 subscriptions
	visitTime   = time.Minute
)

// soaked is a service with visitors.
type soaked struct {
	*service
	visits atomic.Int64
}

// soak lets the visitors come again and again.
func (s *soaked) soak(long time.Duration) {
	end := time.Now().Add(long)
	var wait sync.WaitGroup
	for i := range visitors {
		wait.Go(func() {
			for round := 0; round == 0 || time.Now().Before(end); round++ {
				if err := s.visit(i, round); err != nil {
					s.t.Errorf("visitor %d, round %d: %v", i, round, err)
					return
				}
				s.visits.Add(1)
			}
		})
	}
	wait.Wait()
}

// visit is one connection.
func (s *soaked) visit(i, round int) error {
	ctx, cancel := context.WithTimeout(context.Background(), visitTime)
	defer cancel()
	raw, err := net.Dial("tcp", strings.TrimPrefix(s.amqp, "amqp://"))
	if err != nil {
		return err
	}
	defer raw.Close() //nolint:errcheck // some end so
	conn, err := amqp.NewConn(ctx, raw, &amqp.ConnOptions{SASLType: amqp.SASLTypePlain("admin", testPassword)})
	if err != nil {
		return err
	}
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		return err
	}
	v := &visit{ctx: ctx, session: session, name: fmt.Sprintf("cn=soak-%d-%d.", i, round), orderly: (i+round)%3 != 0}
	switch {
	case i < subscribers:
		err = v.subscription(fmt.Sprint("soak-", i), fmt.Sprintf("cn=soak-%d-", i))
	case (i+round)%2 == 0:
		err = v.filter()
	default:
		err = v.commands()
	}
	if err != nil || !v.orderly {
		return err
	}
	return conn.Close()
}

// visit is what one connection does.
type visit struct {
	ctx      context.Context
	session  *amqp.Session
	name     string // of its own event
	orderly  bool   // it takes its answers, and says good-bye
	requests *amqp.Sender
	replies  *amqp.Receiver
}

// commands asks, is refused, and when it leaves without a word waits for no answer.
func (v *visit) commands() error {
	for range 5 {
		if err := v.ask("getBase", nil, nil); err != nil {
			return err
		}
	}
	err := v.ask("getObject", map[string]any{"id": "cn=nobody,dc=example,dc=net"}, nil)
	if err == nil || !strings.Contains(err.Error(), "-32003") {
		return fmt.Errorf("an object that does not exist: %w", err)
	}
	if v.orderly {
		return nil
	}
	return v.send("getBase", nil)
}

// filter listens to its own event among those of all.
func (v *visit) filter() error {
	query := amqp.NewLinkFilter(busevents.QueryFilter, busevents.QueryFilterCode, `Event/BackendChange[DN = "`+v.name+`"]`)
	events, err := v.session.NewReceiver(v.ctx, "org.clacks.events", &amqp.ReceiverOptions{Filters: []amqp.LinkFilter{query}})
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	if err := v.report(); err != nil {
		return err
	}
	return v.hear(events)
}

// subscription finds what it has left behind, hears of its own event, and removes itself if it leaves in order.
func (v *visit) subscription(name, prefix string) error {
	var made struct{ ID, Address string }
	err := v.ask("subscribe", map[string]any{"name": name, "durable": true, "xquery": `Event/BackendChange[starts-with(DN, "` + prefix + `")]`}, &made)
	if err != nil {
		return err
	}
	events, err := v.session.NewReceiver(v.ctx, made.Address, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", made.Address, err)
	}
	if err := v.report(); err != nil {
		return err
	}
	if err := v.hear(events); err != nil || !v.orderly {
		return err
	}
	if err := events.Close(v.ctx); err != nil {
		return err
	}
	return v.ask("unsubscribe", map[string]any{"id": made.ID}, nil)
}

// report sends the event.
func (v *visit) report() error {
	sender, err := v.session.NewSender(v.ctx, "org.clacks.events", nil)
	if err != nil {
		return fmt.Errorf("sender of events: %w", err)
	}
	err = sender.Send(v.ctx, amqp.NewMessage([]byte(`<Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>`+v.name+
		`</DN><ChangeType>modify</ChangeType><ModificationTime>20260101000000Z</ModificationTime></BackendChange></Event>`)), nil)
	if err != nil {
		return fmt.Errorf("send an event: %w", err)
	}
	return nil
}

// hear waits for the event. Who leaves without a word leaves it unsettled.
func (v *visit) hear(events *amqp.Receiver) error {
	for {
		m, err := events.Receive(v.ctx, nil)
		if err != nil {
			return fmt.Errorf("receive %s: %w", v.name, err)
		}
		own := strings.Contains(string(m.GetData()), "<DN>"+v.name+"</DN>")
		if own && !v.orderly {
			return nil
		}
		if err := events.AcceptMessage(v.ctx, m); err != nil || own {
			return err
		}
	}
}

// send sends a command.
func (v *visit) send(method string, params any) error {
	if v.requests == nil {
		var err error
		if v.replies, err = v.session.NewReceiver(v.ctx, "", &amqp.ReceiverOptions{DynamicAddress: true}); err != nil {
			return fmt.Errorf("replies: %w", err)
		}
		if v.requests, err = v.session.NewSender(v.ctx, "org.clacks.command.core", nil); err != nil {
			return fmt.Errorf("requests: %w", err)
		}
	}
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	address := v.replies.Address()
	m := amqp.NewMessage(body)
	m.Properties = &amqp.MessageProperties{UserID: []byte("admin"), ReplyTo: &address}
	if err := v.requests.Send(v.ctx, m, nil); err != nil {
		return fmt.Errorf("send %s: %w", method, err)
	}
	return nil
}

// ask sends a command and takes its answer.
func (v *visit) ask(method string, params, result any) error {
	if err := v.send(method, params); err != nil {
		return err
	}
	m, err := v.replies.Receive(v.ctx, nil)
	if err != nil {
		return fmt.Errorf("the answer to %s: %w", method, err)
	}
	if err := v.replies.AcceptMessage(v.ctx, m); err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage
		Error  *rpcError
	}
	if err := json.Unmarshal(m.GetData(), &answer); err != nil {
		return fmt.Errorf("the answer to %s: %w", method, err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// soakUsage is what the service holds while nobody is there.
type soakUsage struct {
	goroutines, descriptors, queues int
	heap, resident                  int64 // bytes; the heap is what lives after a collection
}

// usage waits until all have left, removes what they have left behind, and lets the service collect its garbage: of the process of
// another only its own asking for memory does that.
func (s *soaked) usage() soakUsage {
	s.t.Helper()
	waitFor(s.t, "all have left", func() bool { return s.metric("clacks_amqp_connections") == 0 })
	var left []struct{ ID string }
	s.mustCall("listSubscriptions", map[string]any{}, &left)
	for _, subscription := range left {
		s.mustCall("unsubscribe", map[string]any{"id": subscription.ID}, nil)
	}
	const collections = "go_gc_duration_seconds_count"
	for last := s.metric(collections) + 3; s.metric(collections) < last; {
		get(s.t, s.url+"/metrics")
	}
	return soakUsage{
		goroutines: int(s.metric("go_goroutines")), descriptors: int(s.metric("process_open_fds")), queues: int(s.metric("clacks_amqp_queues")),
		// The runtime collects next when the heap has twice the size that it had after the last time.
		heap: int64(s.metric("go_memstats_next_gc_bytes")) / 2, resident: int64(s.metric("process_resident_memory_bytes")),
	}
}
