package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"clacks"
	"clacks/bus"
	"clacks/bus/remote"
	"clacks/internal/testservers"
	"clacks/rpc/client"
)

// broker carries the bus of a domain.
type broker struct {
	url, user, password string
}

// brokers are what two agents may meet at: the listener of a third process, and RabbitMQ.
var brokers = map[string]func(t *testing.T) broker{
	"listener": func(t *testing.T) broker {
		config := filepath.Join(t.TempDir(), "clacks.yaml")
		writeFile(t, config, "domain: carrier\n") // it has no commands of the agents' domain
		s := mustStart(t, "--config", config, "--data", t.TempDir())
		return broker{url: s.amqp, user: "admin", password: testPassword}
	},
	"RabbitMQ": func(t *testing.T) broker {
		s := testservers.RabbitMQ(t)
		return broker{url: s.URL, user: s.User, password: s.Password}
	},
}

// TestTwoAgents lets two agents share a domain: commands spread evenly, one is killed under load and comes back; nothing that
// was acknowledged is lost, nothing runs twice, and a durable subscriber has each event once and in order.
func TestTwoAgents(t *testing.T) {
	if testing.Short() {
		t.Skip("short mode")
	}
	for name, open := range brokers {
		t.Run(name, func(t *testing.T) {
			d := &twoAgents{t: t, broker: open(t)}
			d.prepare()
			heard := d.subscribe()
			d.spread()
			d.kill()
			d.check(heard)
		})
	}
}

// twoAgents is one such domain.
type twoAgents struct {
	t      *testing.T
	broker broker
	args   [2][]string
	agents [2]*service
	people []string // the UUIDs of those whose badges change

	mu      sync.Mutex
	answers map[string]error // of each change, by its badge: nil when it was acknowledged
}

const (
	loaders = 8  // clients at once
	changes = 40 // of each, in each part
)

// prepare starts both agents on one directory and one database.
func (d *twoAgents) prepare() {
	slapd := testservers.Slapd(d.t)
	database := testservers.Postgres(d.t).NewDatabase(d.t)
	d.answers = map[string]error{}
	d.t.Setenv("CLACKS_TEST_BUS_PASSWORD", d.broker.password)
	for i := range d.agents {
		data := d.t.TempDir()
		config := filepath.Join(data, "clacks.yaml")
		writeFile(d.t, filepath.Join(data, "secret.key"), "what the agents of a domain share")
		writeFile(d.t, config, serverConfig(slapd, database)+fmt.Sprintf(`admin:
  user: %s
bus:
  url: %q
  user: %s
  passwordEnv: CLACKS_TEST_BUS_PASSWORD
  status: 500ms
`, d.broker.user, d.broker.url, d.broker.user))
		d.args[i] = []string{"--config", config, "--data", data, "--definitions", exampleDefinitions, "--sql-schema", exampleSchema}
		d.agents[i] = mustStart(d.t, d.args[i]...)
	}
	c := d.client()
	defer closeClient(c)
	type created struct{ UUID, DN string }
	people, err := client.Do[created](d.t.Context(), c, "createObject", map[string]any{"type": "PeopleContainer", "base": slapd.Base})
	if err != nil {
		d.t.Fatal(err)
	}
	for i := range loaders {
		made, err := client.Do[created](d.t.Context(), c, "createObject", map[string]any{"type": "User", "base": people.DN,
			"attributes": person("load" + strconv.Itoa(i))})
		if err != nil {
			d.t.Fatal(err)
		}
		d.people = append(d.people, made.UUID)
	}
}

func (d *twoAgents) client() *client.Client {
	return &client.Client{URL: d.broker.url, User: d.broker.user, Password: d.broker.password}
}

// load gives everybody new badges, numbered from first on, one after another, and notes which were acknowledged.
func (d *twoAgents) load(first int, done *atomic.Int32) {
	var loading sync.WaitGroup
	for i, uuid := range d.people {
		loading.Go(func() {
			c := d.client()
			defer closeClient(c)
			for n := range changes {
				badge := fmt.Sprintf("B-%04d", first+i*changes+n)
				ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
				_, err := c.Call(ctx, "updateObject", map[string]any{"id": uuid, "changes": map[string]any{"badgeNumber": badge}})
				cancel()
				d.mu.Lock()
				d.answers[badge] = err
				d.mu.Unlock()
				if err != nil {
					d.t.Logf("not acknowledged: %s: %v", badge, err) // a client of an agent that was killed may be told so
				}
				done.Add(1)
			}
		})
	}
	loading.Wait()
}

// spread wants both to do about the same.
func (d *twoAgents) spread() {
	const replies = "clacks_bus_replies_total"
	var before, after [2]float64
	for i, s := range d.agents {
		before[i] = s.metric(replies)
	}
	d.load(0, &atomic.Int32{})
	for i, s := range d.agents {
		after[i] = s.metric(replies) - before[i]
	}
	if sum := after[0] + after[1]; sum != loaders*changes || after[0] < sum/3 || after[1] < sum/3 {
		d.t.Errorf("%v of %d commands were answered by each", after, loaders*changes)
	}
	for badge, err := range d.answers {
		if err != nil {
			d.t.Errorf("%s failed, and nobody was killed: %v", badge, err)
		}
	}
	for i, s := range d.agents {
		for _, other := range []string{"commands_refused", "commands_expired", "commands_released", "replies_dropped"} {
			if n := s.metric("clacks_bus_" + other + "_total"); n != 0 {
				d.t.Errorf("%s of agent %d: %v", other, i, n)
			}
		}
	}
	nodes := 0.0
	for range 100 {
		if nodes = d.agents[0].metric("clacks_bus_nodes"); nodes == 2 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if nodes != 2 {
		d.t.Errorf("an agent knows %v nodes", nodes)
	}
}

// kill ends one agent in the middle, and starts it again a little later.
func (d *twoAgents) kill() {
	var done atomic.Int32
	var loading sync.WaitGroup
	loading.Go(func() { d.load(loaders*changes, &done) })
	until := func(n int32) {
		for done.Load() < n {
			time.Sleep(time.Millisecond)
		}
	}
	until(loaders * changes / 4)
	d.agents[0].kill()
	until(loaders * changes / 2)
	d.agents[0] = mustStart(d.t, d.args[0]...)
	loading.Wait()
}

// badgeQuery selects changes of badges.
const badgeQuery = `Event/ObjectChanged[ChangeType = "update"]/Attributes/Attribute[@name = "badgeNumber"]`

// lastBadge marks the end of the events.
const lastBadge = "B-9999"

// heard is an event as the durable subscriber has it.
type heard struct {
	sequence int64
	badge    string
}

// subscribe listens to a durable subscription at the broker, and leaves out what it has had already.
func (d *twoAgents) subscribe() <-chan []heard {
	c := d.client()
	defer closeClient(c)
	made, err := client.Do[struct{ Address string }](d.t.Context(), c, "subscribe", map[string]any{
		"xquery": badgeQuery, "name": "badges", "durable": true})
	if err != nil {
		d.t.Fatal(err)
	}
	connection, err := remote.New(remote.Options{URL: d.broker.url, User: d.broker.user, Password: d.broker.password})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = connection.Close(context.Background()) })
	receiver, err := connection.Receiver(d.t.Context(), made.Address, bus.ReceiverOptions{Durable: true})
	if err != nil {
		d.t.Fatal(err)
	}
	all := make(chan []heard, 1)
	go func() {
		var list []heard
		defer func() { all <- list }()
		last := int64(0)
		for last == 0 || list[len(list)-1].badge != lastBadge {
			delivery, err := receiver.Receive(d.t.Context())
			if err != nil {
				d.t.Errorf("the subscriber: %v", err)
				return
			}
			sequence, _ := delivery.Message.Application["sequence"].(int64)
			if sequence > last {
				last = sequence
				list = append(list, heard{sequence, badgeOf(d.t, delivery.Message.Body)})
			}
			if err := delivery.Accept(d.t.Context()); err != nil {
				d.t.Logf("comes again: %v", err)
			}
		}
	}()
	return all
}

// check reads all events by the second agent, and compares them with what the subscriber has heard.
func (d *twoAgents) check(subscriber <-chan []heard) {
	acknowledged := 0
	for _, err := range d.answers {
		if err == nil {
			acknowledged++
		}
	}
	if acknowledged < 2*loaders*changes*9/10 {
		d.t.Errorf("only %d of %d commands were acknowledged", acknowledged, 2*loaders*changes)
	}
	seen, last := map[string]int{}, int64(0)
	var all []heard
	for e := range d.events() {
		if e.Sequence <= last {
			d.t.Errorf("event %d behind %d", e.Sequence, last)
		}
		last = e.Sequence
		badge := badgeOf(d.t, e.Document)
		seen[badge]++
		all = append(all, heard{last, badge})
	}
	select {
	case list := <-subscriber:
		if !slices.Equal(list, all) {
			d.t.Errorf("the subscriber has %d events, the log %d; the subscriber:\n%v\nthe log:\n%v", len(list), len(all), list, all)
		}
	case <-time.After(time.Minute):
		d.t.Error("the subscriber has not heard of the end")
	}
	for badge, err := range d.answers {
		if n := seen[badge]; n > 1 || err == nil && n != 1 {
			d.t.Errorf("%s has %d events; its answer: %v", badge, n, err)
		}
	}
}

// events are all changes of badges. A last change marks their end.
func (d *twoAgents) events() <-chan client.Event {
	last := d.client()
	defer closeClient(last)
	_, err := last.Call(d.t.Context(), "updateObject", map[string]any{"id": d.people[0], "changes": map[string]any{"badgeNumber": lastBadge}})
	if err != nil {
		d.t.Fatal(err)
	}
	list := make(chan client.Event)
	go func() {
		defer close(list)
		c := &client.Client{URL: d.agents[1].url, User: d.broker.user, Password: testPassword}
		for e, err := range c.Events(d.t.Context(), badgeQuery, "0") {
			if err != nil {
				d.t.Error(err)
				return
			}
			list <- e
			if bytes.Contains(e.Document, []byte("<New>"+lastBadge+"</New>")) {
				return
			}
		}
	}()
	return list
}

func badgeOf(t *testing.T, document []byte) string {
	var event struct {
		ObjectChanged struct {
			Attributes struct {
				Attribute []struct {
					Name string `xml:"name,attr"`
					New  string
				}
			}
		}
	}
	if err := xml.Unmarshal(document, &event); err != nil {
		t.Fatal(err)
	}
	for _, a := range event.ObjectChanged.Attributes.Attribute {
		if a.Name == "badgeNumber" {
			return a.New
		}
	}
	return ""
}

// TestProgramWithCommands starts the example of a program with commands of its own, and calls them over HTTP and over AMQP.
func TestProgramWithCommands(t *testing.T) {
	python := testservers.ProtonPython(t)
	s := mustStart(t, "--data", t.TempDir())
	program := exec.Command(python, "../../examples/node/node.py", "--url", s.amqp)
	program.Env = append(os.Environ(), "CLACKS_PASSWORD="+testPassword)
	log := &lockedBuffer{}
	program.Stdout, program.Stderr = log, log
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	t.Cleanup(func() { _ = program.Process.Kill() })
	waitFor(t, "the program is ready", func() bool { return strings.Contains(log.String(), "ready: org.clacks.command.example.python-example") })

	var turned string
	s.mustCall("reverseText", map[string]any{"text": "hello"}, &turned)
	if turned != "olleh" {
		t.Errorf("over HTTP: %q", turned)
	}
	overBus := &client.Client{URL: s.amqp, User: "admin", Password: testPassword}
	defer closeClient(overBus)
	greeting, err := client.Do[string](t.Context(), overBus, "greet", []string{"Ada"})
	if err != nil || greeting != "Hello Ada, says admin" {
		t.Errorf("over AMQP: %q, %v", greeting, err)
	}
	_, err = overBus.Call(t.Context(), "reverseText", map[string]any{"txt": 1})
	var failed *client.Error
	if !errors.As(err, &failed) || failed.Code != -32602 || failed.Data.Kind != "invalid" {
		t.Errorf("wrong parameters: %v", err)
	}
	if err := program.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the program ended with %v\n%s", err, log)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the program does not end:\n%s", log)
	}
	if _, err := overBus.Call(t.Context(), "reverseText", []string{"hello"}); !clacks.IsKind(err, clacks.NotFound) {
		t.Errorf("after it has left: %v", err)
	}
}
