// Package client calls the commands of a Clacks service, over HTTP or over AMQP, and reads its event stream.
//
//	Call    params -> JSON-RPC 2.0 -> POST /rpc      -> result, or *Error
//	                               -> {domain}.command.core
//	Events  query  -> GET /events/xml (server-sent)  -> Event, Event, ...; resumed where a connection breaks
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"clacks"
	"clacks/rpc"
)

// Client is a connection to one service. It is safe for concurrent use; its fields are not changed after the first use.
type Client struct {
	// URL is the service's: "http://127.0.0.1:8050", or "amqp://127.0.0.1:5672" (amqps:// for TLS) of its listener or of the broker
	// that its agents share. A user in an AMQP URL goes before User.
	URL string
	// User and Password are sent as HTTP Basic, or log in at the bus; Token, when set, in their place as a bearer token, over
	// HTTP only.
	User, Password string
	Token          string
	// Domain is that of an AMQP service; "" for DefaultDomain.
	Domain string
	// TLS is for amqps://; nil trusts the system's authorities. With a certificate in it, and no password, the client logs in by that
	// (SASL EXTERNAL); User is then the certificate's common name.
	TLS *tls.Config
	// HTTP makes the connections; nil for http.DefaultClient. Its Timeout must be zero for Events.
	HTTP *http.Client

	wire wire
}

// Error is what the service answered in place of a result. errors.As finds a *clacks.Error of the same kind in it.
type Error struct {
	Code    int            // of JSON-RPC; 0 when the answer was none
	Message string         // for people
	Data    *rpc.ErrorData // nil when the service told no more
}

func (e *Error) Error() string { return e.Message }

// Unwrap is the error as the service had it.
func (e *Error) Unwrap() error {
	inner := &clacks.Error{Op: "client.call", Kind: rpc.KindOfCode(e.Code), Reason: e.Message}
	if e.Data == nil {
		return inner
	}
	for _, kind := range clacks.Kinds() {
		if kind.String() == e.Data.Kind {
			inner.Kind = kind
		}
	}
	inner.Type, inner.Reason, inner.Fields = e.Data.Type, e.Data.Reason, e.Data.Fields
	return inner
}

// maxAnswer bounds an answer in bytes.
const maxAnswer = 256 << 20

// Call runs a command. params is anything that becomes a JSON object or list, or nil. The error is an *Error, or of the
// kind clacks.Unavailable or clacks.InDoubt when the service could not be asked or did not answer; whether a change was made is
// not known then.
func (c *Client) Call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	request := struct {
		Version string `json:"jsonrpc"`
		Method  string `json:"method"`
		Params  any    `json:"params,omitempty"`
		ID      int    `json:"id"`
	}{"2.0", method, params, 1}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "client.call", "the parameters cannot be written: %w", err)
	}
	if c.onBus() {
		return c.callBus(ctx, body)
	}
	r, err := c.request(ctx, http.MethodPost, "/rpc", nil, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := c.http().Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, c.unreachable(err)
	}
	return readAnswer(response, answer)
}

// Do is Call with the result in a Go type.
func Do[T any](ctx context.Context, c *Client, method string, params any) (T, error) {
	var result T
	raw, err := c.Call(ctx, method, params)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, clacks.E(clacks.Internal, "client.call", "the result of %s is not as expected: %w", method, err)
	}
	return result, nil
}

// answer is a response object of JSON-RPC 2.0.
type answer struct {
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
		Data    *rpc.ErrorData
	}
}

func readAnswer(response *http.Response, body []byte) (json.RawMessage, error) {
	var answer answer
	err := json.Unmarshal(body, &answer)
	switch {
	case err == nil && answer.Error != nil:
		return nil, &Error{Code: answer.Error.Code, Message: answer.Error.Message, Data: answer.Error.Data}
	case err == nil && response.StatusCode == http.StatusOK && answer.Result != nil:
		return answer.Result, nil
	}
	return nil, refusal(response, body)
}

// refusal is the error for an answer that is no JSON-RPC.
func refusal(response *http.Response, body []byte) *Error {
	const most = 500
	text := strings.TrimSpace(string(body[:min(len(body), most)]))
	kind := clacks.Internal
	for _, k := range clacks.Kinds() {
		if rpc.WireOf(k).HTTP == response.StatusCode {
			kind = k
			break
		}
	}
	return &Error{Message: fmt.Sprintf("the service answered %s: %s", response.Status, text),
		Data: &rpc.ErrorData{Kind: kind.String(), Reason: "the service answered " + response.Status}}
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, clacks.E(clacks.Invalid, "client.request", "%q is no URL of a service", c.URL)
	}
	target := base.JoinPath(path)
	target.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, clacks.E(clacks.Invalid, "client.request", "%q is no URL of a service: %w", c.URL, err)
	}
	switch {
	case c.Token != "":
		r.Header.Set("Authorization", "Bearer "+c.Token)
	case c.User != "":
		r.SetBasicAuth(c.User, c.Password)
	}
	return r, nil
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return http.DefaultClient
}

// unreachable is the error for a service that did not answer.
func (c *Client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL may hold a query of many lines
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &clacks.Error{Op: "client.request", Kind: clacks.Unavailable, Reason: "no answer from " + c.URL, Err: err}
}

// The pauses between two attempts to resume an event stream: they double from the first to the last.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
)
