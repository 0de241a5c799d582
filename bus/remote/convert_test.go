package remote

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/Azure/go-amqp"

	"clacks/bus"
)

func TestDialects(t *testing.T) {
	for _, c := range []struct {
		product, version string
		dialect          Dialect
		source, target   string
	}{
		{"RabbitMQ", "3.10.8", RabbitMQ3, "/queue/a.b%2Fc%25", "/amq/queue/a.b%2Fc%25"},
		{"RabbitMQ", "4.1.0", RabbitMQ4, "/queues/a.b%2Fc%25", "/queues/a.b%2Fc%25"},
		{"apache-activemq-artemis", "2.40", PlainName, "a.b/c%", "a.b/c%"},
		{"", "", PlainName, "a.b/c%", "a.b/c%"},
	} {
		d := detect(map[string]any{"product": c.product, "version": c.version})
		if d != c.dialect || d.source("a.b/c%") != c.source || d.target("a.b/c%") != c.target {
			t.Errorf("%s %s: %s, %s, %s", c.product, c.version, d, d.source("a.b/c%"), d.target("a.b/c%"))
		}
		if d.source("/exchange/x") != "/exchange/x" || d.target("") != "" {
			t.Errorf("%s changes an address that is the broker's own", d)
		}
	}
	if detect(nil) != PlainName {
		t.Error("a broker that says nothing of itself")
	}
}

// what goes through both directions comes out the same.
func TestMessagesConvertBothWays(t *testing.T) {
	sequence := uint32(3)
	at := time.UnixMilli(1_700_000_000_123).UTC()
	for name, m := range map[string]*bus.Message{
		"data":  {Body: []byte{0, 1}},
		"text":  {Body: []byte("ü"), Text: true},
		"value": {Value: []any{int64(1), bus.Symbol("s"), bus.UUID{1}, map[any]any{"k": bus.Symbol("v")}, map[string]any{"x": bus.UUID{2}}}},
		"all": {
			Header:      bus.Header{Durable: true, Priority: 7, TTL: time.Minute, DeliveryCount: 2},
			Annotations: map[string]any{"x-opt-a": "b"}, Delivery: map[string]any{"x-opt-d": true},
			Properties: bus.Properties{
				MessageID: bus.UUID{1}, CorrelationID: uint64(9), UserID: []byte("u"), To: "to", Subject: "s", ReplyTo: "r",
				ContentType: "c", Encoding: "e", Expiry: at, Created: at, GroupID: "g", GroupSequence: &sequence, ReplyToGroup: "rg",
			},
			Application: map[string]any{"uuid": bus.UUID{3}, "nil": nil, "time": at}, Body: []byte("x"),
		},
	} {
		encoded, err := encode(m, PlainName, false)
		if err != nil {
			t.Fatal(err)
		}
		bytes, err := encoded.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var came amqp.Message
		if err := came.UnmarshalBinary(bytes); err != nil {
			t.Fatal(err)
		}
		got, want := *decode(&came), *m
		if want.Header.Priority == 0 {
			want.Header.Priority = 4
		}
		if name == "value" { // go-amqp reads every map with keys of one type as one of them
			if fmt.Sprint(got.Value) != fmt.Sprint(want.Value) {
				t.Errorf("%s: %v, want %v", name, got.Value, want.Value)
			}
			continue
		}
		// Times that are equal may differ in how they name their zone.
		got.Properties.Expiry, got.Properties.Created = got.Properties.Expiry.UTC(), got.Properties.Created.UTC()
		if other, ok := got.Application["time"].(time.Time); ok {
			got.Application["time"] = other.UTC()
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %#v\nwant %#v", name, got, want)
		}
		// Who passes a message on that came over a wire sends its bare part as it was, with a header of his own.
		relayed := &bus.Message{Bare: bytes, Header: bus.Header{DeliveryCount: 5}, Body: []byte("not looked at")}
		again, err := encode(relayed, PlainName, false)
		if err != nil {
			t.Fatal(err)
		}
		if again.Header.DeliveryCount != 5 || !reflect.DeepEqual(again.Properties, came.Properties) || !reflect.DeepEqual(again.Data, came.Data) ||
			!reflect.DeepEqual(again.ApplicationProperties, came.ApplicationProperties) || again.Value != came.Value {
			t.Errorf("%s: passed on as %+v", name, again)
		}
	}
	if _, err := encode(&bus.Message{Bare: []byte{1, 2, 3}}, PlainName, false); err == nil {
		t.Error("a bare message that is none was encoded")
	}
	several := &amqp.Message{Data: [][]byte{{1}, {2}}}
	if got := decode(several); string(got.Body) != "\x01\x02" {
		t.Errorf("two data sections: %v", got.Body)
	}
	lists := &amqp.Message{Sequence: [][]any{{int64(1)}, {amqp.Symbol("s")}}}
	if got := decode(lists); !reflect.DeepEqual(got.Value, []any{int64(1), bus.Symbol("s")}) {
		t.Errorf("two sequence sections: %v", got.Value)
	}
	annotated := &amqp.Message{Annotations: amqp.Annotations{int64(7): "x", "k": amqp.Symbol("y")}}
	if got := decode(annotated).Annotations; !reflect.DeepEqual(got, map[string]any{"7": "x", "k": bus.Symbol("y")}) {
		t.Errorf("annotations %v", got)
	}
}

func TestTheAnonymousNodeOfRabbitMQ4WantsItsAddresses(t *testing.T) {
	m := &bus.Message{Properties: bus.Properties{To: "a/b"}}
	for anonymous, want := range map[bool]string{true: "/queues/a%2Fb", false: "a/b"} {
		out, err := encode(m, RabbitMQ4, anonymous)
		if err != nil || *out.Properties.To != want {
			t.Errorf("%v: %v %v", anonymous, *out.Properties.To, err)
		}
	}
	if m.Properties.To != "a/b" {
		t.Error("the caller's message was changed")
	}
}
