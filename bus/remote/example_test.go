package remote_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"time"

	"clacks/bus"
	"clacks/bus/container"
	"clacks/bus/listener"
	"clacks/bus/remote"
)

// A client asks an agent over a listener. With an external broker only the URL is another.
func Example() {
	nodes := container.New(container.AllowAll{}, container.Options{})
	defer nodes.Close()
	url, stop := open(nodes)
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	address := bus.Names("org.clacks").Command(bus.Core)
	go shout(ctx, nodes.Connect(bus.Peer{}), address)

	client, err := remote.Dial(ctx, remote.Options{URL: url, User: "ann", Password: "ann", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx) //nolint:errcheck // the example ends here
	requester, err := bus.NewRequester(ctx, client, address, "org.clacks")
	if err != nil {
		log.Fatal(err)
	}
	reply, err := requester.Request(ctx, &bus.Message{Body: []byte("hello")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", reply.Body)
	// Output: hello!
}

// shout is an agent: it answers first, and accepts then, so that a crash between them makes it answer again.
func shout(ctx context.Context, b bus.Bus, address string) {
	in, err := b.Receiver(ctx, address, bus.ReceiverOptions{})
	if err != nil {
		return
	}
	out, err := b.Sender(ctx, "", bus.SenderOptions{}) // the anonymous node: each message says where it goes
	if err != nil {
		return
	}
	for {
		request, err := in.Receive(ctx)
		if err != nil {
			return
		}
		p := request.Message.Properties
		reply := &bus.Message{
			Body: append(request.Message.Body, '!'), Properties: bus.Properties{To: p.ReplyTo, CorrelationID: p.CorrelationID},
		}
		if err := out.Send(ctx, reply); err != nil {
			log.Print(err)
		}
		if err := request.Accept(ctx); err != nil {
			log.Print(err)
		}
	}
}

// open opens a listener on a free port.
func open(nodes *container.Container) (url string, stop func()) {
	l, err := listener.New(listener.Options{Nodes: nodes, Auth: everybody{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go l.Serve(socket) //nolint:errcheck // ends with Shutdown
	return "amqp://" + socket.Addr().String(), func() { _ = l.Shutdown(context.Background()) }
}
