package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"clacks"
)

// legacyAnswer is the legacy envelope's answer: always all three members.
type legacyAnswer struct {
	Result json.RawMessage `json:"result"`
	Error  *legacyError    `json:"error"`
	ID     json.RawMessage `json:"id"`
}

type legacyError struct {
	Name    string `json:"name"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	Error   any    `json:"error"` // a *StoredError, or the message where there is none
}

// The codes of a legacy error: the frontends know no others.
const (
	legacyUnknownMethod = 100
	legacyFailed        = 500
)

// NotLoggedIn is the sentence that the legacy dialect answers with status 401.
const NotLoggedIn = "Please use the login method to authorize yourself."

func refuse(status int, format string, args ...any) Reply {
	return Reply{Status: status, Body: fmt.Appendf(nil, format, args...)}
}

// ServeLegacy runs a request in the legacy envelope. older is the endpoint of older clients, where login answers true or
// status 401.
func (r *Registry) ServeLegacy(ctx context.Context, caller Caller, request *Request, older bool) Reply {
	e, reply, ok := readLegacy(request.members)
	if !ok {
		return reply
	}
	reply = r.legacyCall(ctx, caller, e)
	reply.Method = e.method
	if older && reply.Login != nil {
		if reply.Login.State != LoginDone {
			return refuse(http.StatusUnauthorized, "Login failed.")
		}
		reply.Body, _ = encode(legacyAnswer{Result: json.RawMessage("true"), ID: e.id})
	}
	return reply
}

// readLegacy checks the members of a legacy envelope. Others than the three known are ignored: clients send "service".
func readLegacy(members []member) (envelope, Reply, bool) {
	method, hasMethod := find(members, "method")
	params, hasParams := find(members, "params")
	id, hasID := find(members, "id")
	if !hasMethod || !hasParams || !hasID {
		return envelope{}, refuse(http.StatusBadRequest, "Parameter missing in JSON body"), false
	}
	if method[0] != '"' {
		return envelope{}, refuse(http.StatusBadRequest, "Method must be a string"), false
	}
	name := text(method)
	if strings.HasPrefix(name, "_") {
		return envelope{}, refuse(http.StatusForbidden, "Bad method name %s: must not start with _", clip(name)), false
	}
	if params[0] != '[' && params[0] != '{' {
		return envelope{}, refuse(http.StatusBadRequest, "Parameter must be list or dictionary"), false
	}
	return envelope{method: name, params: plainScalars(params), id: id}, Reply{}, true
}

// legacyCall invokes the command, through the client's cache when the name begins with two asterisks.
func (r *Registry) legacyCall(ctx context.Context, caller Caller, e envelope) Reply {
	name, cached := strings.CutPrefix(e.method, "**")
	known, params := "", e.params
	if cached {
		if params[0] != '[' {
			return refuse(http.StatusBadRequest, "Parameter of a cached method must be a list")
		}
		known, params = cutHash(params)
	}
	call := &Call{Caller: caller, Command: name, Legacy: true}
	result, err := r.Invoke(ctx, call, params)
	if err != nil {
		return legacyFailure(caller, e.id, name, err)
	}
	encoded, err := r.encodeResult(ctx, caller, name, result)
	if err != nil {
		return legacyFailure(caller, e.id, name, err)
	}
	if cached {
		encoded = cachedResult(encoded, known)
	}
	body, _ := encode(legacyAnswer{Result: encoded, ID: e.id})
	return Reply{Status: http.StatusOK, JSON: true, Body: body, Login: loginOf(result)}
}

// cutHash takes the first argument, the hash of the answer that the client holds.
func cutHash(params json.RawMessage) (string, json.RawMessage) {
	elements := elementsOf(params)
	if len(elements) == 0 {
		return "", params
	}
	known := ""
	if elements[0][0] == '"' {
		known = text(elements[0])
	}
	return known, joinArray(elements[1:])
}

// cachedResult leaves the response out when the client holds it already.
func cachedResult(encoded json.RawMessage, known string) json.RawMessage {
	sum := sha256.Sum256(encoded)
	hash := hex.EncodeToString(sum[:16])
	answer := struct {
		Hash     string          `json:"hash"`
		Response json.RawMessage `json:"response,omitempty"`
	}{Hash: hash}
	if hash != known {
		answer.Response = encoded
	}
	result, _ := encode(answer)
	return result
}

// legacyFailure is the answer to a failed command: 401 when nobody is logged in, else 500.
func legacyFailure(caller Caller, id json.RawMessage, method string, err error) Reply {
	e, _ := classify(err)
	if e.Kind == clacks.Unauthenticated {
		return refuse(http.StatusUnauthorized, NotLoggedIn)
	}
	var coded *codedError
	if errors.As(err, &coded) && coded.code == CodeMethodNotFound {
		if caller.User.Anonymous() {
			return refuse(http.StatusUnauthorized, NotLoggedIn)
		}
		message := fmt.Sprintf("No such method '%s'", clip(method))
		return legacyReply(id, &legacyError{Name: "JSONRPCError", Code: legacyUnknownMethod, Message: message, Error: message})
	}
	stored := store(caller.Errors, e)
	return legacyReply(id, &legacyError{Name: "JSONRPCError", Code: legacyFailed,
		Message: "<" + stored.ID + "> " + stored.Text, Error: stored})
}

// LegacyErrorReply is the legacy answer to a request that is refused before its command runs. request may be nil: then the
// id is null.
func LegacyErrorReply(request *Request, err error) Reply {
	e, _ := classify(err)
	id := json.RawMessage(jsonNull)
	if request != nil {
		if given, ok := find(request.members, "id"); ok {
			id = given
		}
	}
	reply := legacyReply(id, &legacyError{Name: "JSONRPCError", Code: legacyFailed, Message: e.Message(), Error: e.Message()})
	reply.Status = WireOf(e.Kind).HTTP
	return reply
}

func legacyReply(id json.RawMessage, failure *legacyError) Reply {
	body, _ := encode(legacyAnswer{Error: failure, ID: bytes.TrimSpace(id)})
	return Reply{Status: http.StatusInternalServerError, JSON: true, Body: body}
}
