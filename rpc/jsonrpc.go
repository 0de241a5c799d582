package rpc

import (
	"bytes"
	"context"
	"encoding/json"

	"clacks"
)

// Reply is what a door sends back for one request body.
type Reply struct {
	// Status is an HTTP status; other doors only ask whether it is 200.
	Status int
	// JSON says that Body is JSON, and not a sentence of text.
	JSON bool
	// Body is nil when there is nothing to answer: JSON-RPC 2.0 notifications.
	Body []byte
	// Method is the called command, Login its answer if it was login, both of a single call.
	Method string
	Login  *Login
}

// Dialect is one way to write a call.
type Dialect int

// The dialects.
const (
	JSONRPC2 Dialect = iota
	LegacyEnvelope
)

// Request is a body that was found to be sound JSON.
type Request struct {
	Dialect Dialect
	batch   bool
	text    []byte
	members []member // of a single call
}

// Parse reads a body in either dialect: an object with the member jsonrpc, or a list, is JSON-RPC 2.0; any other object is
// the legacy envelope. The error is clacks.Invalid or clacks.Limit; ParseError is its answer.
func Parse(body []byte) (*Request, error) {
	body = bytes.TrimSpace(body)
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	switch body[0] {
	case '[':
		return &Request{Dialect: JSONRPC2, batch: true, text: body}, nil
	case '{':
		r := &Request{Dialect: LegacyEnvelope, text: body, members: membersOf(body)}
		if _, ok := find(r.members, "jsonrpc"); ok {
			r.Dialect = JSONRPC2
		}
		return r, nil
	default:
		return nil, &codedError{code: CodeInvalidRequest, cause: clacks.E(clacks.Invalid, "rpc.parse",
			"a request is an object or a list of them, not %s", kindOfJSON(body))}
	}
}

func find(members []member, name string) (json.RawMessage, bool) {
	for _, m := range members {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// ParseError is the answer to a body that Parse refused. The dialect is not known then: the status suits the legacy one,
// the body JSON-RPC 2.0.
func ParseError(err error) Reply {
	e, _ := classify(err)
	code := codeOf(err)
	if code == WireOf(clacks.Invalid).JSONRPC {
		code = CodeParse
	}
	body, _ := encode(response{Version: "2.0", Error: &responseError{Code: code, Message: e.Message(), Data: dataOf(e)},
		ID: jsonNull})
	status := WireOf(e.Kind).HTTP
	return Reply{Status: status, JSON: true, Body: body}
}

// ErrorReply is the JSON-RPC 2.0 answer, without an id, to a request that is refused before it is read.
func ErrorReply(err error) Reply {
	e, _ := classify(err)
	body, _ := encode(response{Version: "2.0", Error: errorOf(err), ID: jsonNull})
	return Reply{Status: WireOf(e.Kind).HTTP, JSON: true, Body: body}
}

// response is a JSON-RPC 2.0 response object: exactly one of Result and Error is set.
type response struct {
	Version string          `json:"jsonrpc"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *responseError  `json:"error,omitempty"`
	ID      json.RawMessage `json:"id"`
}

type responseError struct {
	Code    int        `json:"code"`
	Message string     `json:"message"`
	Data    *ErrorData `json:"data,omitempty"`
}

func errorOf(err error) *responseError {
	e, _ := classify(err)
	return &responseError{Code: codeOf(err), Message: e.Message(), Data: dataOf(e)}
}

// Serve runs a JSON-RPC 2.0 request: a call, a notification or a batch, whose calls run one after another.
func (r *Registry) Serve(ctx context.Context, caller Caller, request *Request) Reply {
	if !request.batch {
		reply := Reply{Status: 200, JSON: true}
		answer := r.serveCall(ctx, caller, request.members, &reply)
		if answer != nil {
			reply.Body, _ = encode(answer)
		}
		return reply
	}
	return Reply{Status: 200, JSON: true, Body: r.serveBatch(ctx, caller, elementsOf(request.text))}
}

func (r *Registry) serveBatch(ctx context.Context, caller Caller, calls []json.RawMessage) []byte {
	if len(calls) == 0 {
		return refusal("an empty batch")
	}
	if len(calls) > MaxBatch {
		err := clacks.E(clacks.Limit, "rpc.batch", "a batch of %d calls, at most %d are allowed", len(calls), MaxBatch)
		body, _ := encode(response{Version: "2.0", Error: errorOf(err), ID: jsonNull})
		return body
	}
	var answers []*response
	for _, raw := range calls {
		if raw[0] != '{' {
			answers = append(answers, invalidRequest(jsonNull, "a call is an object, not "+kindOfJSON(raw)))
			continue
		}
		if answer := r.serveCall(ctx, caller, membersOf(raw), &Reply{}); answer != nil {
			answers = append(answers, answer)
		}
	}
	if len(answers) == 0 {
		return nil
	}
	body, _ := encode(answers)
	return body
}

func refusal(reason string) []byte {
	body, _ := encode(invalidRequest(jsonNull, reason))
	return body
}

func invalidRequest(id json.RawMessage, reason string) *response {
	return &response{Version: "2.0", ID: id, Error: &responseError{Code: CodeInvalidRequest, Message: "invalid request: " + reason,
		Data: &ErrorData{Kind: clacks.Invalid.String(), Reason: reason}}}
}

// envelope is a call with its members checked. id is nil for a notification.
type envelope struct {
	method string
	params json.RawMessage
	id     json.RawMessage
}

// serveCall runs one call. It answers nil to a notification.
func (r *Registry) serveCall(ctx context.Context, caller Caller, members []member, reply *Reply) *response {
	e, refused := readCall(members)
	if refused != nil {
		return refused
	}
	reply.Method = e.method
	result, err := r.Invoke(ctx, &Call{Caller: caller, Command: e.method}, e.params)
	var encoded json.RawMessage
	if err == nil {
		reply.Login = loginOf(result)
		encoded, err = r.encodeResult(ctx, caller, e.method, result)
	}
	if e.id == nil {
		return nil
	}
	if err != nil {
		return &response{Version: "2.0", Error: errorOf(err), ID: e.id}
	}
	return &response{Version: "2.0", Result: encoded, ID: e.id}
}

// loginOf is the outcome of a login that a result tells, for doors whose answer depends on it.
func loginOf(result any) *Login {
	if r, ok := result.(interface{ LoginOutcome() Login }); ok {
		l := r.LoginOutcome()
		return &l
	}
	return nil
}

// encodeResult writes a result; one that cannot be written is a fault of ours.
func (r *Registry) encodeResult(ctx context.Context, caller Caller, method string, result any) (json.RawMessage, error) {
	encoded, err := encode(result)
	if err != nil {
		call := &Call{Caller: caller, Command: method}
		return nil, r.presentable(ctx, call, &codedError{code: CodeInternal,
			cause: &clacks.Error{Op: "rpc.result", Kind: clacks.Internal, Err: err}})
	}
	return encoded, nil
}

// readCall checks the members of a request object (JSON-RPC 2.0, section 4).
func readCall(members []member) (envelope, *response) {
	var e envelope
	if id, ok := find(members, "id"); ok {
		if id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f' {
			return e, invalidRequest(jsonNull, "the member id must be a string, a number or null")
		}
		e.id = id
	}
	// An answer to a call that cannot be read carries its id as far as it could be told.
	id := e.id
	if id == nil {
		id = jsonNull
	}
	if version, _ := find(members, "jsonrpc"); string(version) != `"2.0"` {
		return e, invalidRequest(id, `the member jsonrpc must be "2.0"`)
	}
	method, ok := find(members, "method")
	if !ok || method[0] != '"' {
		return e, invalidRequest(id, "the member method must be a string")
	}
	e.method = text(method)
	if params, ok := find(members, "params"); ok {
		if params[0] != '{' && params[0] != '[' {
			return e, invalidRequest(id, "the member params must be an object or a list")
		}
		e.params = params
	}
	return e, nil
}
