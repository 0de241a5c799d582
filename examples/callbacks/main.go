// Command callbacks prints what happens to users, and reports a change of its own.
package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"os/signal"
	"time"

	"clacks/rpc/client"
	"clacks/rpc/eventclient"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	service := &client.Client{URL: os.Getenv("CLACKS_URL"), User: "admin", Password: os.Getenv("CLACKS_PASSWORD")}
	events := eventclient.New(eventclient.HTTP(service))
	defer events.Close()

	_, err := events.Register(ctx, `Event/ObjectChanged[ObjectType = "User"]`, printChange)
	if err == nil {
		_, err = events.Register(ctx, "BackendChange", printChange, eventclient.ID("reports"))
	}
	if err == nil {
		_, err = events.Emit(ctx, "BackendChange", eventclient.Element("DN", "cn=printer,dc=example,dc=net"),
			eventclient.Element("ChangeType", "modify"), eventclient.Element("ModificationTime", time.Now()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ctx.Done()
}

func printChange(_ context.Context, e eventclient.Event) error {
	var change struct {
		Content struct{ DN, ChangeType string } `xml:",any"`
	}
	if err := xml.Unmarshal(e.Document, &change); err != nil {
		return err
	}
	fmt.Println(e.Sequence, e.Type, change.Content.ChangeType, change.Content.DN)
	return nil
}
