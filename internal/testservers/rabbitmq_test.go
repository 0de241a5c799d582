package testservers

import (
	"net"
	"testing"

	"github.com/Azure/go-amqp"
)

func TestRabbitMQKeepsDurableQueuesOverAStop(t *testing.T) {
	server := RabbitMQ(t)
	options := &amqp.ConnOptions{SASLType: amqp.SASLTypePlain(server.User, server.Password)}
	session := func() *amqp.Session {
		t.Helper()
		conn, err := amqp.Dial(t.Context(), server.URL, options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		session, err := conn.NewSession(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	sender, err := session().NewSender(t.Context(), "/queue/kept", &amqp.SenderOptions{TargetDurability: amqp.DurabilityUnsettledState})
	if err != nil {
		t.Fatal(err)
	}
	message := amqp.NewMessage([]byte("kept"))
	message.Header = &amqp.MessageHeader{Durable: true}
	if err := sender.Send(t.Context(), message, nil); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", server.Addr); err == nil {
		t.Fatal("the port still answers")
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	receiver, err := session().NewReceiver(t.Context(), "/queue/kept", &amqp.ReceiverOptions{SourceDurability: amqp.DurabilityUnsettledState})
	if err != nil {
		t.Fatal(err)
	}
	found, err := receiver.Receive(t.Context(), nil)
	if err != nil || string(found.GetData()) != "kept" {
		t.Fatalf("%v %v", found, err)
	}
}
