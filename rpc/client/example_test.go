package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"clacks"
	"clacks/rpc/client"
)

// A client calls commands by name, over HTTP or over AMQP: the scheme of the URL decides.
func ExampleClient_Call() {
	service := startExample()
	defer service.stop()

	c := &client.Client{URL: service.url, User: "jane", Password: "secret"} // amqp://127.0.0.1:5672, for example
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer func() { _ = c.Close(ctx) }()

	result, err := c.Call(ctx, "greet", map[string]any{"name": "Ada"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Printf("%s\n", result)
	// Output: "jane greets Ada"
}

// Do gives the result a type. The error of a command tells its kind, and which parameters or attributes are wrong.
func ExampleDo() {
	service := startExample()
	defer service.stop()

	c := &client.Client{URL: service.url, User: "jane", Password: "secret"}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer func() { _ = c.Close(ctx) }()

	greeting, err := client.Do[string](ctx, c, "greet", []string{"Ada"})
	fmt.Println(greeting, err)

	_, err = client.Do[string](ctx, c, "greet", map[string]any{"nmae": "Ada"})
	var wrong *client.Error
	if errors.As(err, &wrong) && clacks.IsKind(err, clacks.Invalid) {
		for _, f := range wrong.Data.Fields {
			fmt.Printf("%s: %s\n", f.Attribute, f.Reason)
		}
	}
	// Output:
	// jane greets Ada <nil>
	// nmae: no such parameter, did you mean "name"?
	// name: the parameter is missing
}
