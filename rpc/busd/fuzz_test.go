package busd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"clacks/access"
	"clacks/bus"
	"clacks/rpc"
)

// nowhere is a bus that nobody can use, and a store without nodes.
type nowhere struct{}

var errNowhere = errors.New("nowhere")

func (nowhere) Sender(context.Context, string, bus.SenderOptions) (bus.Sender, error) {
	return nil, errNowhere
}

func (nowhere) Receiver(context.Context, string, bus.ReceiverOptions) (bus.Receiver, error) {
	return nil, errNowhere
}
func (nowhere) Close(context.Context) error                                             { return nil }
func (nowhere) Put(context.Context, Node) error                                         { return nil }
func (nowhere) Report(context.Context, string, string, string, Status, time.Time) error { return nil }
func (nowhere) Remove(context.Context, string, string, string) error                    { return nil }
func (nowhere) List(context.Context, time.Time) ([]Node, error)                         { return nil, nil }

// FuzzMessage runs whatever somebody sends: each message has one outcome, and what would be answered is JSON.
func FuzzMessage(f *testing.F) {
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}, Log: slog.New(slog.DiscardHandler)})
	if err := registry.Add(echo("echo")); err != nil {
		f.Fatal(err)
	}
	d, err := New(Options{Registry: registry, Bus: nowhere{}, Names: names, Node: "a", Users: knownUsers, Nodes: nowhere{}, Secret: secret,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"id":1,"method":"echo","params":["x"]}`), "jane", "dynamic.x", "", "", "")
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"x"}}`), "joe", "/queue/x", "gzip", "a.b", "s")
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}]`), "root", "org.test.events", "", "", "")
	f.Fuzz(func(t *testing.T, body []byte, user, replyTo, encoding, token, session string) {
		m := &bus.Message{Body: body, Properties: bus.Properties{UserID: []byte(user), Encoding: encoding, ReplyTo: replyTo}, Application: map[string]any{}}
		if token != "" {
			m.Application[PropertyPass] = token
		}
		if session != "" {
			m.Application[PropertySession] = session
		}
		outcomes := 0
		delivery := bus.NewDelivery(m, func(context.Context, bus.Disposition) error { outcomes++; return nil })
		d.handle(t.Context(), t.Context(), delivery, time.Now())
		if outcomes != 1 || d.counters.held.Load() != 0 || len(d.workers) != 0 {
			t.Errorf("%d outcomes", outcomes)
		}
		request, err := rpc.Parse(body)
		if err != nil {
			return
		}
		reply := registry.ServeMessage(t.Context(), rpc.Caller{User: access.User{ID: "jane"}}, request)
		if reply.Body != nil && !json.Valid(reply.Body) {
			t.Errorf("answered %s", reply.Body)
		}
	})
}

// FuzzAnswer reads whatever another program answers.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"result":1,"error":null}`))
	f.Add([]byte(`{"result":null,"error":{"code":-32005,"message":"x","data":{"kind":"invalid","fields":[{}]}}}`))
	f.Add([]byte(`{"error":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		result, err := readAnswer(Node{Name: "n"}, &bus.Message{Body: body})
		if (result == nil) == (err == nil) || err == nil && !json.Valid(result) {
			t.Errorf("%s, %v", result, err)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without a word")
		}
	})
}
