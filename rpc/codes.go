package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"clacks"
	"clacks/xquery"
)

// The codes of JSON-RPC 2.0, section 5.1.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
)

// Wire is how one kind of error looks outside.
type Wire struct {
	JSONRPC int    // code of a JSON-RPC 2.0 error, in the range that the specification leaves to servers
	HTTP    int    // status of an HTTP answer that is not JSON-RPC
	Legacy  string // code in the legacy envelope's error object, when no field says it better
	AMQP    string // condition of an AMQP 1.0 error: the specification's where it has a fitting one, else our own
}

var wires = map[clacks.Kind]Wire{
	clacks.Internal:        {-32000, http.StatusInternalServerError, "INTERNAL_ERROR", "amqp:internal-error"},
	clacks.Unauthenticated: {-32001, http.StatusUnauthorized, "NOT_LOGGED_IN", "amqp:unauthorized-access"},
	clacks.Denied:          {-32002, http.StatusForbidden, "PERMISSION_DENIED", "amqp:unauthorized-access"},
	clacks.NotFound:        {-32003, http.StatusNotFound, "NOT_FOUND", "amqp:not-found"},
	clacks.Conflict:        {-32004, http.StatusConflict, "OBJECT_CHANGED", "amqp:precondition-failed"},
	clacks.Invalid:         {-32005, http.StatusBadRequest, "INVALID", "amqp:invalid-field"},
	clacks.NotUnique:       {-32006, http.StatusConflict, "NOT_UNIQUE", "clacks:not-unique"},
	clacks.InUse:           {-32007, http.StatusConflict, "IN_USE", "clacks:in-use"},
	clacks.Unavailable:     {-32008, http.StatusServiceUnavailable, "BACKEND_UNAVAILABLE", "clacks:unavailable"},
	clacks.InDoubt:         {-32009, http.StatusGatewayTimeout, "IN_DOUBT", "clacks:in-doubt"},
	clacks.Limit:           {-32010, http.StatusRequestEntityTooLarge, "LIMIT_EXCEEDED", "amqp:resource-limit-exceeded"},
}

// WireOf is the row of a kind. A kind without a row is shown as Internal.
func WireOf(kind clacks.Kind) Wire {
	if w, ok := wires[kind]; ok {
		return w
	}
	return wires[clacks.Internal]
}

// KindOfCode is the kind that a JSON-RPC code stands for, so that a client's error is the server's again.
func KindOfCode(code int) clacks.Kind {
	switch code {
	case CodeMethodNotFound:
		return clacks.NotFound
	case CodeParse, CodeInvalidRequest, CodeInvalidParams:
		return clacks.Invalid
	}
	for kind, w := range wires {
		if w.JSONRPC == code {
			return kind
		}
	}
	return clacks.Internal
}

// ErrorData is the member data of a JSON-RPC error. Attribute repeats the first of Fields, for clients that show one.
type ErrorData struct {
	Kind      string         `json:"kind"`
	Type      string         `json:"type,omitempty"`
	Attribute string         `json:"attribute,omitempty"`
	Reason    string         `json:"reason"`
	Fields    []clacks.Field `json:"fields,omitempty"`
}

// dataOf is what a client may know of an error.
func dataOf(e *clacks.Error) *ErrorData {
	d := &ErrorData{Kind: e.Kind.String(), Type: e.Type, Reason: e.Reason, Fields: e.Fields}
	if d.Reason == "" {
		d.Reason = d.Kind
	}
	if len(e.Fields) > 0 {
		d.Attribute = e.Fields[0].Attribute
	}
	return d
}

// codedError is an error for which JSON-RPC 2.0 itself has a code, or that came with one from another process.
type codedError struct {
	code   int
	remote bool // its text was written for clients already, whatever its kind
	cause  *clacks.Error
}

func (e *codedError) Error() string { return e.cause.Error() }

// Unwrap is the error that says the rest.
func (e *codedError) Unwrap() error { return e.cause }

// codeOf is the JSON-RPC code of an error.
func codeOf(err error) int {
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return WireOf(clacks.KindOf(err)).JSONRPC
}

// classify finds the clacks.Error in err, and turns errors of the standard library and of queries, which carry no kind of
// their own, into one. The second result is false for a fault of ours, whose text must stay in the log.
func classify(err error) (*clacks.Error, bool) {
	var e *clacks.Error
	var q *xquery.Error
	known, wrongQuery := errors.As(err, &e), errors.As(err, &q)
	var coded *codedError
	if errors.As(err, &coded) && coded.remote {
		return coded.cause, true
	}
	if wrongQuery && (!known || e.Kind == clacks.Invalid && len(e.Fields) == 0) {
		reason := fmt.Sprintf("line %d, column %d: %s", q.Line, q.Column, q.Message)
		return &clacks.Error{Op: "rpc.query", Kind: clacks.Invalid, Reason: "the query is wrong", Err: err,
			Fields: []clacks.Field{{Attribute: "query", Code: q.Code, Reason: reason}}}, true
	}
	if known {
		return e, e.Kind != clacks.Internal
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &clacks.Error{Op: "rpc.invoke", Kind: clacks.Limit, Reason: "the command took too long", Err: err}, true
	}
	if errors.Is(err, context.Canceled) {
		return &clacks.Error{Op: "rpc.invoke", Kind: clacks.Unavailable, Reason: "the command was cancelled", Err: err}, true
	}
	return &clacks.Error{Op: "rpc.invoke", Kind: clacks.Internal, Err: err}, false
}

// Present makes an error fit for a client: a fault of ours goes to the log under the request's id, with further attributes,
// and the client gets a neutral sentence with that id. The result is a *clacks.Error or wraps one.
func Present(ctx context.Context, log *slog.Logger, requestID string, err error, attributes ...any) error {
	e, known := classify(err)
	var shown error = e
	level, message := slog.LevelDebug, "request refused"
	if !known {
		level, message = slog.LevelError, "request failed"
		e = &clacks.Error{Op: "rpc.present", Kind: clacks.Internal, Err: err,
			Reason: "internal error, see the log of the service for request " + requestID}
		shown = e
	}
	log.Log(ctx, level, message, append(attributes, "request", requestID, "kind", e.Kind.String(), "error", err)...)
	var coded *codedError
	if errors.As(err, &coded) {
		shown = &codedError{code: coded.code, cause: e}
	}
	return shown
}
