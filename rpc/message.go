package rpc

import (
	"context"
	"encoding/json"

	"clacks"
)

// messageAnswer is the answer to a call without the member jsonrpc at a door for messages: always all three members. Its
// error is that of JSON-RPC 2.0.
type messageAnswer struct {
	Result json.RawMessage `json:"result"`
	ID     json.RawMessage `json:"id"`
	Error  *responseError  `json:"error"`
}

// ServeMessage runs the call of one message: a JSON-RPC 2.0 request, which is answered as Serve does it, or the same without
// the member jsonrpc, whose params and id may be left out and whose answer is {"result","id","error"}. A batch is refused: a
// message is delivered, repeated and answered as a whole. The status of the Reply is that of its error's kind.
func (r *Registry) ServeMessage(ctx context.Context, caller Caller, request *Request) Reply {
	if request.batch {
		return RefuseMessage(request, &codedError{code: CodeInvalidRequest,
			cause: clacks.E(clacks.Invalid, "rpc.message", "a message holds one call, not a batch")})
	}
	if request.Dialect == JSONRPC2 {
		return r.Serve(ctx, caller, request)
	}
	e, err := readMessage(request.members)
	if err != nil {
		return RefuseMessage(request, err)
	}
	call := &Call{Caller: caller, Command: e.method}
	result, err := r.Invoke(ctx, call, e.params)
	var encoded json.RawMessage
	if err == nil {
		encoded, err = r.encodeResult(ctx, caller, e.method, result)
	}
	if err != nil {
		reply := RefuseMessage(request, err)
		reply.Method = e.method
		return reply
	}
	body, _ := encode(messageAnswer{Result: encoded, ID: e.id})
	return Reply{Status: 200, JSON: true, Body: body, Method: e.method, Login: loginOf(result)}
}

// readMessage checks the members of a call without the member jsonrpc. Unknown members are ignored, as in the legacy dialect.
func readMessage(members []member) (envelope, error) {
	e := envelope{id: idOf(members)}
	wrong := func(reason string) (envelope, error) {
		return e, &codedError{code: CodeInvalidRequest, cause: &clacks.Error{Op: "rpc.message", Kind: clacks.Invalid, Reason: reason}}
	}
	if id, ok := find(members, "id"); ok && string(id) != string(e.id) {
		return wrong("the member id must be a string, a number or null")
	}
	method, ok := find(members, "method")
	if !ok || method[0] != '"' {
		return wrong("the member method must be a string")
	}
	e.method = text(method)
	params, ok := find(members, "params")
	if !ok || params[0] == 'n' {
		return e, nil
	}
	if params[0] != '{' && params[0] != '[' {
		return wrong("the member params must be an object or a list")
	}
	e.params = params
	return e, nil
}

// idOf is the id of a call as its answer repeats it: null when there is none that could be.
func idOf(members []member) json.RawMessage {
	id, ok := find(members, "id")
	if !ok || id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f' {
		return jsonNull
	}
	return id
}

// RefuseMessage is the answer of a door for messages to a call that is not run. request may be nil, when it could not be read.
func RefuseMessage(request *Request, err error) Reply {
	e, _ := classify(err)
	reply := Reply{Status: WireOf(e.Kind).HTTP, JSON: true}
	if request != nil && request.Dialect == JSONRPC2 {
		reply.Body, _ = encode(response{Version: "2.0", Error: errorOf(err), ID: idOf(request.members)})
		return reply
	}
	id := json.RawMessage(jsonNull)
	if request != nil {
		id = idOf(request.members)
	}
	reply.Body, _ = encode(messageAnswer{ID: id, Error: errorOf(err)})
	return reply
}

// Unreadable is the error of Parse with the code that JSON-RPC 2.0 has for it.
func Unreadable(err error) error {
	e, _ := classify(err)
	if e.Kind == clacks.Invalid && codeOf(err) == WireOf(clacks.Invalid).JSONRPC {
		return &codedError{code: CodeParse, cause: e}
	}
	return err
}

// Method is the command that a request calls, "" for a batch or none.
func (q *Request) Method() string {
	if method, ok := find(q.members, "method"); ok && method[0] == '"' {
		return text(method)
	}
	return ""
}
