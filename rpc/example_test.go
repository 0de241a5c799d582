package rpc_test

import (
	"context"
	"fmt"

	"clacks/access"
	"clacks/rpc"
)

type greetParams struct {
	Name  string `json:"name" required:"true" doc:"whom to greet"`
	Times int    `json:"times" doc:"how often; once when left out"`
}

// A command is a function. What it takes is a struct, whose tags are checked against every call and shown to whoever asks.
func ExampleNew() {
	greet := func(_ context.Context, call *rpc.Call, p greetParams) ([]string, error) {
		greetings := []string{}
		for range max(p.Times, 1) {
			greetings = append(greetings, fmt.Sprintf("%s greets %s", call.User.ID, p.Name))
		}
		return greetings, nil
	}
	registry := rpc.NewRegistry(rpc.Options{Policy: access.Static{}})
	if err := registry.Add(rpc.New(rpc.Spec{Name: "greet", Help: "Greets somebody."}, greet)); err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{
		`{"jsonrpc":"2.0","method":"greet","params":{"name":"Jane"},"id":1}`,
		`{"jsonrpc":"2.0","method":"greet","params":["Jane",2],"id":2}`,
		`{"jsonrpc":"2.0","method":"greet","params":{"nmae":"Jane","name":"Jane"},"id":3}`,
	} {
		request, err := rpc.Parse([]byte(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		reply := registry.Serve(context.Background(), rpc.Caller{User: access.User{ID: "joe"}}, request)
		fmt.Println(string(reply.Body))
	}
	// Output:
	// {"jsonrpc":"2.0","result":["joe greets Jane"],"id":1}
	// {"jsonrpc":"2.0","result":["joe greets Jane","joe greets Jane"],"id":2}
	// {"jsonrpc":"2.0","error":{"code":-32602,"message":"wrong parameters (nmae: no such parameter, did you mean \"name\"?)","data":{"kind":"invalid","attribute":"nmae","reason":"wrong parameters","fields":[{"attribute":"nmae","code":"ATTRIBUTE_UNKNOWN","reason":"no such parameter, did you mean \"name\"?"}]}},"id":3}
}
