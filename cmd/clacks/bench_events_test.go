package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clacks/objects"
)

const (
	benchSubscribers = 100
	benchBurst       = 20 // events of one transaction
)

// benchEvents: from the transaction that records some events until the last of 100 HTTP clients has them, against a bare
// broadcaster that writes the same bytes to as many clients and keeps nothing.
func (m *benchmark) benchEvents(b *testing.B, query string) {
	ctx, cancel := context.WithCancel(b.Context())
	server, err := m.app.door(ctx)
	must(b, err)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	must(b, err)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	serving.Go(func() { _ = server.Serve(ctx, listener) })

	ours := newAudience(b, ctx, "http://"+listener.Addr().String()+"/events/xml?xquery="+url.QueryEscape(query), m.app.admin)
	m.record(b, 1)
	ours.wait(1)
	caster := &broadcaster{message: ours.first(), joined: make(chan struct{}, benchSubscribers), clients: map[chan []byte]bool{}}
	bare := httptest.NewServer(caster)
	defer bare.Close()
	defer cancel()
	theirs := newAudience(b, ctx, bare.URL, "")
	for range benchSubscribers {
		<-caster.joined
	}
	compare(b, 1, func(int, *rand.Rand) (int, error) {
		m.record(b, benchBurst)
		return ours.wait(benchBurst), nil
	}, side{"bare", func(int, *rand.Rand) (int, error) {
		for range benchBurst {
			caster.send()
		}
		return theirs.wait(benchBurst), nil
	}})
}

// record writes events as the last statements of a commit do.
func (m *benchmark) record(b *testing.B, n int) {
	changes := make([]objects.Changed, n)
	for i := range changes {
		id := benchEvent.Add(1)
		changes[i] = objects.Changed{
			EventID: fmt.Sprintf("bench-%d", id), UUID: "0b9e2f0c-6f0f-4f0e-9d5f-0d6f0f2b8a51", DN: m.dns[0], ObjectType: "User",
			ChangeType: "update", Time: time.Now(), Actor: "admin", TransactionID: fmt.Sprintf("bench-%d", id), Origin: "service",
			Attributes: []objects.AttributeChange{
				{Name: "badgeNumber", Old: []string{"B-1"}, New: []string{"B-2"}},
				{Name: "title", Old: []string{"Engineer"}, New: []string{"Chief engineer"}},
			},
		}
	}
	statements, err := m.app.events.Record(changes)
	must(b, err)
	_, err = m.app.state.Exec(b.Context(), statements...)
	must(b, err)
	m.app.events.Recorded()
}

var benchEvent atomic.Int64

// audience are the HTTP clients of one side.
type audience struct {
	events  chan struct{} // one each time that a client has read an event
	mu      sync.Mutex
	message []byte // the first one that came
}

// newAudience returns when every client has its response.
func newAudience(b *testing.B, ctx context.Context, address, password string) *audience {
	b.Helper()
	a := &audience{events: make(chan struct{}, benchSubscribers*benchBurst)}
	client := &http.Client{Transport: &http.Transport{}}
	for range benchSubscribers {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		must(b, err)
		if password != "" {
			request.SetBasicAuth("admin", password)
		}
		response, err := client.Do(request)
		must(b, err)
		if response.StatusCode != http.StatusOK {
			b.Fatalf("%s: %s", address, response.Status)
		}
		go a.read(response)
	}
	return a
}

// read counts messages until the connection ends.
func (a *audience) read(response *http.Response) {
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReaderSize(response.Body, 16<<10)
	var message []byte
	n := 0
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		if n == 0 {
			message = append(message, line...)
		}
		if len(line) > 1 {
			continue
		}
		if n == 0 && !bytes.Contains(message, []byte("data: ")) {
			message = nil // the position at which the stream begins
			continue
		}
		if n++; n == 1 {
			a.mu.Lock()
			a.message = message
			a.mu.Unlock()
		}
		a.events <- struct{}{}
	}
}

// wait waits until every client has n more events, and returns how many deliveries that makes.
func (a *audience) wait(n int) int {
	for range n * benchSubscribers {
		<-a.events
	}
	return n * benchSubscribers
}

// first is a message as it came.
func (a *audience) first() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.message
}

// broadcaster is what one writes with net/http when events may be lost.
type broadcaster struct {
	message []byte
	joined  chan struct{}
	mu      sync.Mutex
	clients map[chan []byte]bool
}

func (c *broadcaster) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for client := range c.clients {
		client <- c.message
	}
}

// ServeHTTP streams until the client goes.
func (c *broadcaster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	messages := make(chan []byte, 4*benchBurst)
	c.mu.Lock()
	c.clients[messages] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.clients, messages)
		c.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	_ = control.Flush()
	c.joined <- struct{}{}
	for {
		select {
		case <-r.Context().Done():
			return
		case message := <-messages:
			if _, err := w.Write(message); err != nil {
				return
			}
			if control.Flush() != nil {
				return
			}
		}
	}
}
