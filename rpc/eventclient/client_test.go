package eventclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clacks"
)

// service is an event log in memory behind the interface of a transport.
type service struct {
	catalogue json.RawMessage

	mu       sync.Mutex
	log      []Event
	changed  chan struct{} // closed and made anew with each change
	refusal  error         // of streams, that are open and that come
	breaks   int           // each stream breaks after so many events, if any
	opened   int           // streams so far
	open     int           // streams now
	keys     map[string]int64
	unsure   int // how often Send takes an event and does not say so
	attempts int
}

func newService(t testing.TB) *service {
	c, schemas := known(t)
	described, err := schemas.Catalogue(true)
	if err != nil || c == nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	return &service{catalogue: answer, changed: make(chan struct{}), keys: map[string]int64{}}
}

func (s *service) Call(_ context.Context, method string, _ any) (json.RawMessage, error) {
	if method != "getEventTypes" {
		return nil, clacks.E(clacks.NotFound, "test", "no command %s", method)
	}
	return s.catalogue, nil
}

func (s *service) Send(_ context.Context, document []byte, key string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	if s.keys[key] == 0 {
		s.append("BackendChange", document)
		s.keys[key] = int64(len(s.log))
	}
	if s.unsure > 0 {
		s.unsure--
		return 0, clacks.E(clacks.InDoubt, "test", "no answer")
	}
	return s.keys[key], nil
}

// commit appends events of a type.
func (s *service) commit(eventType string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.append(eventType, []byte(eventType))
	}
}

func (s *service) append(eventType string, document []byte) {
	s.log = append(s.log, Event{Sequence: int64(len(s.log) + 1), Type: eventType, Document: document})
	s.change()
}

func (s *service) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *service) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
	s.change()
}

func (s *service) streams() (open, opened int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.opened
}

func (s *service) Stream(ctx context.Context, query string, after int64, opened func(int64), deliver func(Event) error) error {
	s.mu.Lock()
	if after == Now {
		after = int64(len(s.log))
	}
	if s.refusal != nil {
		defer s.mu.Unlock()
		return s.refusal
	}
	s.opened++
	s.open++
	left := s.breaks
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	opened(after)
	for {
		s.mu.Lock()
		batch, changed, refusal := slices.Clone(s.log[after:]), s.changed, s.refusal
		s.mu.Unlock()
		if refusal != nil {
			return refusal
		}
		for _, e := range batch {
			after = e.Sequence
			if query != "Event/"+e.Type && query != "/Event" {
				continue
			}
			if err := deliver(e); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// heard collects what a callback was called with.
type heard struct {
	mu  sync.Mutex
	got []int64
}

func (h *heard) callback(_ context.Context, e Event) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, e.Sequence)
	return nil
}

func (h *heard) numbers() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func upTo(from, to int64) []int64 {
	var numbers []int64
	for n := from; n <= to; n++ {
		numbers = append(numbers, n)
	}
	return numbers
}

// inBubble runs a test with a client in which time passes when everybody waits.
func inBubble(t *testing.T, f func(t *testing.T, s *service, c *Client, problems *problems)) {
	s := newService(t)
	synctest.Test(t, func(t *testing.T) {
		s.changed = make(chan struct{})
		told := &problems{}
		c := New(s, OnError(told.tell))
		defer c.Close()
		f(t, s, c, told)
	})
}

type problems struct {
	mu   sync.Mutex
	list []string
}

func (p *problems) tell(id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, id+": "+err.Error())
}

func (p *problems) has(t *testing.T, id, text string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.list, func(s string) bool { return strings.HasPrefix(s, id+": ") && strings.Contains(s, text) }) {
		t.Errorf("nothing of %q for %s in %q", text, id, p.list)
	}
}

func register(t *testing.T, c *Client, selector string, callback Callback, options ...RegisterOption) string {
	t.Helper()
	id, err := c.Register(t.Context(), selector, callback, options...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func same(t *testing.T, what string, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v instead of %v", what, got, want)
	}
}

func TestRegister(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		s.commit("BackendChange", 3)
		var one, two, other, all heard
		first := register(t, c, "BackendChange", one.callback)
		register(t, c, "BackendChange", two.callback, ID("mine"))
		register(t, c, "ObjectChanged", other.callback)
		register(t, c, "/Event", all.callback, Behind(0), ID("all"))
		synctest.Wait()
		if open, _ := s.streams(); open != 3 { // one a query
			t.Errorf("%d streams", open)
		}
		s.commit("BackendChange", 2)
		s.commit("ObjectChanged", 1)
		synctest.Wait()
		same(t, "first", one.numbers(), upTo(4, 5))
		same(t, "second", two.numbers(), upTo(4, 5))
		same(t, "other", other.numbers(), upTo(6, 6))
		same(t, "all", all.numbers(), upTo(1, 6))

		if err := c.Unregister(first); err != nil {
			t.Error(err)
		}
		if err := c.Unregister(first); !clacks.IsKind(err, clacks.NotFound) {
			t.Error(err)
		}
		s.commit("BackendChange", 1)
		synctest.Wait()
		same(t, "first, unregistered", one.numbers(), upTo(4, 5))
		same(t, "second", two.numbers(), append(upTo(4, 5), 7))
		for _, id := range c.Registrations() {
			if err := c.Unregister(id); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if open, _ := s.streams(); open != 0 {
			t.Errorf("%d streams are left", open)
		}
	})
}

func TestRegisterErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		var h heard
		fails := func(kind clacks.Kind, text, selector string, callback Callback, options ...RegisterOption) {
			t.Helper()
			id, err := c.Register(t.Context(), selector, callback, options...)
			if id != "" || !clacks.IsKind(err, kind) || !strings.Contains(err.Error(), text) {
				t.Errorf("%q, %v", id, err)
			}
		}
		fails(clacks.NotFound, `did you mean "BackendChange"?`, "BackendChanges", h.callback)
		fails(clacks.Invalid, "XQuery", " ", h.callback)
		fails(clacks.Invalid, "callback", "BackendChange", nil)
		register(t, c, "BackendChange", h.callback, ID("a"))
		fails(clacks.NotUnique, `"a" is registered already`, "BackendChange", h.callback, ID("a"))
		fails(clacks.NotUnique, `"a" is registered already`, "ObjectChanged", h.callback, ID("a"))

		s.refuse(clacks.E(clacks.Invalid, "test", "line 1, column 7"))
		fails(clacks.Invalid, "column 7", "Event/(", h.callback)
		s.refuse(clacks.E(clacks.Unavailable, "test", "down"))
		fails(clacks.Unavailable, "down", "ObjectChanged", h.callback, ID("b"))
		s.refuse(nil)
		register(t, c, "ObjectChanged", h.callback, ID("b"))
		c.Close()
		fails(clacks.Unavailable, "closed", "ObjectChanged", h.callback)
	})
}

func TestReplace(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		var one, two, three heard
		register(t, c, "BackendChange", one.callback, ID("a"), Replace()) // there is nothing to replace
		s.commit("BackendChange", 1)
		synctest.Wait()
		register(t, c, "BackendChange", two.callback, ID("a"), Replace())
		s.commit("BackendChange", 1)
		synctest.Wait()
		register(t, c, "ObjectChanged", three.callback, ID("a"), Replace())
		s.commit("BackendChange", 1)
		s.commit("ObjectChanged", 1)
		synctest.Wait()
		same(t, "first", one.numbers(), upTo(1, 1))
		same(t, "second", two.numbers(), upTo(2, 2))
		same(t, "third", three.numbers(), upTo(4, 4))

		// One that cannot stand leaves the other where it is.
		s.refuse(clacks.E(clacks.Unavailable, "test", "down"))
		if _, err := c.Register(t.Context(), "/Event", one.callback, ID("a"), Replace()); !clacks.IsKind(err, clacks.Unavailable) {
			t.Error(err)
		}
		s.refuse(nil)
		s.commit("ObjectChanged", 1)
		time.Sleep(time.Minute) // of the bubble: until the stream is back
		same(t, "third", three.numbers(), upTo(4, 5))
	})
}

// A callback that takes its time holds up nobody, and misses nothing, however much comes meanwhile.
func TestSlowCallback(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		var quick, slow heard
		gate := make(chan struct{})
		register(t, c, "BackendChange", quick.callback)
		register(t, c, "BackendChange", func(ctx context.Context, e Event) error {
			<-gate
			return slow.callback(ctx, e)
		}, ID("slow"))
		const n = 5*QueueEvents + 3
		for range n {
			s.commit("BackendChange", 1)
			synctest.Wait()
		}
		same(t, "quick", quick.numbers(), upTo(1, n))
		c.mu.Lock()
		if held := len(c.registrations["slow"].queue); held != QueueEvents {
			t.Errorf("the queue holds %d events", held)
		}
		c.mu.Unlock()
		close(gate)
		synctest.Wait()
		same(t, "slow", slow.numbers(), upTo(1, n))
		if open, _ := s.streams(); open != 1 {
			t.Errorf("%d streams are open: who has caught up shares the one that there is", open)
		}
		s.commit("BackendChange", 1)
		synctest.Wait()
		same(t, "slow", slow.numbers(), upTo(1, n+1))
	})
}

// Connections that break lose nothing and double nothing, whether a registration keeps up or not.
func TestBrokenStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		s.breaks = 7
		var quick, slow heard
		register(t, c, "BackendChange", quick.callback)
		register(t, c, "BackendChange", func(ctx context.Context, e Event) error {
			time.Sleep(time.Second)
			return slow.callback(ctx, e)
		})
		for range 50 {
			s.commit("BackendChange", 20)
			time.Sleep(100 * time.Millisecond)
			if _, opened := s.streams(); opened%5 == 0 {
				s.refuse(clacks.E(clacks.Unavailable, "test", "down"))
				time.Sleep(time.Second)
				s.refuse(nil)
			}
		}
		time.Sleep(time.Hour)
		same(t, "quick", quick.numbers(), upTo(1, 1000))
		same(t, "slow", slow.numbers(), upTo(1, 1000))
	})
}

func TestTroublesAreReported(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, told *problems) {
		var calls atomic.Int32
		register(t, c, "BackendChange", func(_ context.Context, e Event) error {
			calls.Add(1)
			if e.Sequence == 1 {
				panic("oops")
			}
			return fmt.Errorf("no time")
		}, ID("a"))
		s.commit("BackendChange", 2)
		synctest.Wait()
		told.has(t, "a", "panicked on the event 1: oops")
		told.has(t, "a", "failed on the event 2: no time")
		if calls.Load() != 2 {
			t.Errorf("%d calls", calls.Load())
		}
		s.refuse(clacks.E(clacks.Denied, "test", "no longer yours"))
		synctest.Wait()
		told.has(t, "a", "the registration has ended: test: no longer yours")
		if ids := c.Registrations(); len(ids) != 0 {
			t.Errorf("%v", ids)
		}
	})
}

// An outage is told once, and nothing is lost by it.
func TestOutageIsToldOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, told *problems) {
		var h heard
		register(t, c, "BackendChange", h.callback)
		s.refuse(clacks.E(clacks.Unavailable, "test", "down"))
		s.commit("BackendChange", 2)
		time.Sleep(time.Hour)
		s.refuse(nil)
		time.Sleep(time.Minute)
		same(t, "after the outage", h.numbers(), upTo(1, 2))
		told.has(t, "", "interrupted: test: down")
		if len(told.list) != 1 {
			t.Errorf("%q", told.list)
		}
	})
}

// What is kept no more cannot be read again: who has fallen behind is told that his registration has ended.
func TestFallenTooFarBehind(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, told *problems) {
		gate := make(chan struct{})
		register(t, c, "BackendChange", func(context.Context, Event) error { <-gate; return nil }, ID("a"))
		for range 2 * QueueEvents {
			s.commit("BackendChange", 1)
			synctest.Wait()
		}
		s.mu.Lock()
		s.refusal = clacks.E(clacks.NotFound, "test", "the events after 256 are no longer kept") // of streams that come
		s.mu.Unlock()
		close(gate)
		synctest.Wait()
		told.has(t, "a", "no longer kept")
	})
}

func TestEmit(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		s.unsure = 2
		sequence, err := c.Emit(t.Context(), "BackendChange", Element("ModificationTime", noon), Element("ChangeType", "add"))
		if err != nil || sequence != 1 || s.attempts != 3 || len(s.log) != 1 {
			t.Errorf("%d, %v, %d attempts, %d events", sequence, err, s.attempts, len(s.log))
		}
		const want = `<Event xmlns="http://www.gonicus.de/Events"><BackendChange><ChangeType>add</ChangeType>` +
			`<ModificationTime>2026-01-31T12:00:00Z</ModificationTime></BackendChange></Event>`
		if string(s.log[0].Document) != want {
			t.Errorf("%s", s.log[0].Document)
		}
		if _, err := c.Emit(t.Context(), "BackendChang"); !clacks.IsKind(err, clacks.NotFound) {
			t.Error(err)
		}
		s.unsure = emitAttempts
		if _, err := c.EmitDocument(t.Context(), []byte("x")); !clacks.IsKind(err, clacks.InDoubt) || len(s.log) != 2 {
			t.Errorf("%v, %d events", err, len(s.log))
		}
	})
}

// Close tells callbacks that are running, waits for them, and lets no other begin.
func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		var calls atomic.Int32
		register(t, c, "BackendChange", func(ctx context.Context, _ Event) error {
			calls.Add(1)
			<-ctx.Done()
			return nil
		})
		s.commit("BackendChange", 10)
		synctest.Wait()
		c.Close()
		if open, _ := s.streams(); calls.Load() != 1 || open != 0 {
			t.Errorf("%d calls, %d streams", calls.Load(), open)
		}
	})
}

// A callback may register and unregister, itself as well.
func TestRegisterInACallback(t *testing.T) {
	inBubble(t, func(t *testing.T, s *service, c *Client, _ *problems) {
		var inner heard
		register(t, c, "BackendChange", func(ctx context.Context, _ Event) error {
			_, err := c.Register(ctx, "ObjectChanged", inner.callback)
			return errors.Join(err, c.Unregister("outer"))
		}, ID("outer"))
		s.commit("BackendChange", 2)
		synctest.Wait()
		s.commit("ObjectChanged", 1)
		synctest.Wait()
		same(t, "inner", inner.numbers(), upTo(3, 3))
		if ids := c.Registrations(); len(ids) != 1 {
			t.Errorf("%v", ids)
		}
	})
}
