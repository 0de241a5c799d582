package eventclient_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/access"
	"clacks/events"
	"clacks/internal/store"
	"clacks/migrations"
	"clacks/objects"
	"clacks/rpc"
	"clacks/rpc/client"
	"clacks/rpc/commands"
	"clacks/rpc/eventclient"
	"clacks/rpc/httpd"
)

// door is an event log behind an HTTP door.
type door struct {
	*httptest.Server
	log      *events.Log
	registry *rpc.Registry
	state    *store.DB
}

type everybody struct{}

func (everybody) Authenticate(_ context.Context, uid, _ string) (access.User, error) {
	return access.User{ID: uid, Admin: uid == "admin"}, nil
}

func open(t testing.TB) *door {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := store.Open("sqlite:" + t.TempDir() + "/state.db")
	must(err)
	t.Cleanup(func() { _ = state.Close() })
	must(migrations.Up(context.Background(), state))
	schemas, err := events.LoadSchemas("testdata/schemas")
	must(err)
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	log, err := events.Open(state, schemas, events.WithLogger(logger))
	must(err)
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}, Log: logger})
	var none *objects.Service
	must(commands.Register(registry, commands.Options{Objects: none, Events: log, Base: "dc=example,dc=net"}))
	server, err := httpd.New(httpd.Options{Registry: registry, Events: httpd.Events(log), Authenticator: everybody{}, Log: logger,
		Sessions: httpd.NewSQLSessions(state), SessionEnded: func(string) {}})
	must(err)
	d := &door{Server: httptest.NewServer(server.Handler()), log: log, registry: registry, state: state}
	t.Cleanup(d.Close)
	return d
}

func (d *door) client(t testing.TB, user string, options ...eventclient.Option) *eventclient.Client {
	options = append([]eventclient.Option{eventclient.WithPauses(time.Millisecond, 10*time.Millisecond)}, options...)
	c := eventclient.New(eventclient.HTTP(&client.Client{URL: d.URL, User: user, Password: "x"}), options...)
	t.Cleanup(c.Close)
	return c
}

func (d *door) send(t testing.TB, n int) {
	t.Helper()
	for range n {
		if _, err := d.log.Send(context.Background(), access.User{ID: "admin", Admin: true}, []byte(backendChange)); err != nil {
			t.Fatal(err)
		}
	}
}

const backendChange = `<Event xmlns="http://www.gonicus.de/Events"><BackendChange><ChangeType>add</ChangeType>` +
	`<ModificationTime>2026-01-31T12:00:00Z</ModificationTime></BackendChange></Event>`

// counter waits for events.
type counter struct {
	mu      sync.Mutex
	numbers []int64
	changed chan struct{}
}

func newCounter() *counter { return &counter{changed: make(chan struct{}, 1)} }

func (c *counter) callback(_ context.Context, e eventclient.Event) error {
	c.mu.Lock()
	c.numbers = append(c.numbers, e.Sequence)
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return nil
}

// await waits until an event came, and gives the numbers of all that came.
func (c *counter) await(t testing.TB, sequence int64) []int64 {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		numbers := slices.Clone(c.numbers)
		c.mu.Unlock()
		if slices.Contains(numbers, sequence) {
			return numbers
		}
		select {
		case <-c.changed:
		case <-timeout:
			t.Fatalf("event %d did not come: %v", sequence, numbers)
		}
	}
}

func TestOverHTTP(t *testing.T) {
	d := open(t)
	c := d.client(t, "admin")
	d.send(t, 2)
	byType, byQuery, replayed := newCounter(), newCounter(), newCounter()
	for selector, into := range map[string]*counter{
		"BackendChange": byType, `Event/Delivery[Number > 5]`: byQuery,
	} {
		if _, err := c.Register(t.Context(), selector, into.callback); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Register(t.Context(), "BackendChange", replayed.callback, eventclient.Behind(0)); err != nil {
		t.Fatal(err)
	}
	d.send(t, 1)
	for number := range 8 {
		sequence, err := c.Emit(t.Context(), "Delivery", eventclient.Attribute("priority", 1),
			eventclient.Element("When", time.Now()), eventclient.Element("Number", number+1))
		if err != nil || sequence != int64(number+4) {
			t.Fatal(sequence, err)
		}
	}
	d.send(t, 1)
	if got := byType.await(t, 12); !slices.Equal(got, []int64{3, 12}) {
		t.Error(got)
	}
	if got := byQuery.await(t, 11); !slices.Equal(got, []int64{9, 10, 11}) {
		t.Error(got)
	}
	if got := replayed.await(t, 12); !slices.Equal(got, []int64{1, 2, 3, 12}) {
		t.Error(got)
	}

	_, err := c.Register(t.Context(), "Event/(", byType.callback)
	if !clacks.IsKind(err, clacks.Invalid) || !strings.Contains(err.Error(), "line 1, column") {
		t.Error(err)
	}
	if _, err := d.client(t, "jane").EmitDocument(t.Context(), []byte(backendChange)); !clacks.IsKind(err, clacks.Denied) {
		t.Error(err)
	}
	catalogue, err := c.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delivery, err := catalogue.Type("Delivery")
	if err != nil || delivery.Documentation != "Something was brought." || delivery.Elements[0].Type != "positiveInteger" {
		t.Errorf("%+v, %v", delivery, err)
	}
}

// noTroubles wants no registration to have any; that a stream is interrupted is none.
func noTroubles(t *testing.T) eventclient.Option {
	return eventclient.OnError(func(id string, err error) {
		if id != "" {
			t.Errorf("%s: %v", id, err)
		}
	})
}

// Connections that are cut while events are committed cost nothing and double nothing.
func TestOverHTTPThatBreaks(t *testing.T) {
	d := open(t)
	c := d.client(t, "admin", noTroubles(t))
	counters := make([]*counter, 5)
	for i := range counters {
		counters[i] = newCounter()
		if _, err := c.Register(t.Context(), "BackendChange", counters[i].callback); err != nil {
			t.Fatal(err)
		}
	}
	const n = 300
	for i := range n {
		d.send(t, 1)
		if i%20 == 0 {
			d.CloseClientConnections()
		}
	}
	var want []int64
	for i := range int64(n) {
		want = append(want, i+1)
	}
	for i, counter := range counters {
		if got := counter.await(t, n); !slices.Equal(got, want) {
			t.Errorf("%d: %v", i, got)
		}
	}
}

func catalogueOf(schemas *events.Schemas) (*eventclient.Catalogue, error) {
	described, err := schemas.Catalogue(true)
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(described)
	if err != nil {
		return nil, err
	}
	return eventclient.ReadCatalogue(answer)
}

func ExampleClient() {
	service := &client.Client{URL: "http://127.0.0.1:8050", User: "admin", Password: "secret"}
	c := eventclient.New(eventclient.HTTP(service))
	defer c.Close()
	ctx := context.Background()

	id, err := c.Register(ctx, `Event/ObjectChanged[ObjectType = "User"]`, func(_ context.Context, e eventclient.Event) error {
		fmt.Println(e.Sequence, string(e.Document))
		return nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Emit(ctx, "BackendChange", eventclient.Element("DN", "cn=x,dc=example,dc=net"),
		eventclient.Element("ChangeType", "modify"), eventclient.Element("ModificationTime", time.Now()))
	if err != nil {
		fmt.Println(err)
	}
	_ = c.Unregister(id)
}

// The builder knows the schema: order does not matter, and what is wrong is named.
func ExampleCatalogue_Build() {
	schemas, err := events.LoadSchemas()
	if err != nil {
		fmt.Println(err)
		return
	}
	catalogue, err := catalogueOf(schemas) // of a service: Client.Catalogue
	if err != nil {
		fmt.Println(err)
		return
	}
	document, err := catalogue.Build("BackendChange",
		eventclient.Element("ModificationTime", time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)),
		eventclient.Element("ChangeType", "modify"),
		eventclient.Element("DN", "cn=Smith & Sons,dc=example,dc=net"))
	fmt.Println(string(document), err)
	_, err = catalogue.Build("BackendChange", eventclient.Element("ChangeTyp", "modify"))
	fmt.Println(err)
	// Output:
	// <Event xmlns="http://www.gonicus.de/Events"><BackendChange><DN>cn=Smith &amp; Sons,dc=example,dc=net</DN><ChangeType>modify</ChangeType><ModificationTime>2026-01-31T12:00:00Z</ModificationTime></BackendChange></Event> <nil>
	// eventclient.build: the event is not valid (BackendChange/ChangeTyp: there is no such element here; did you mean "ChangeType"?; BackendChange/ChangeType: it is missing; BackendChange/ModificationTime: it is missing)
}
