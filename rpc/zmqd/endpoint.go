package zmqd

import (
	"bytes"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"clacks"
)

// ParseEndpoint is the address in a ZeroMQ endpoint "tcp://HOST:PORT", where HOST is an IP address or localhost. Without
// remote it has to be one of this machine's loopback addresses: whoever can connect is let in.
func ParseEndpoint(endpoint string, remote bool) (address string, err error) {
	const op = "zmqd.endpoint"
	address, found := strings.CutPrefix(endpoint, "tcp://")
	if !found {
		return "", clacks.E(clacks.Invalid, op, "%q is no ZeroMQ endpoint of the form tcp://127.0.0.1:9000", endpoint)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return "", clacks.E(clacks.Invalid, op, "%q is no ZeroMQ endpoint of the form tcp://127.0.0.1:9000", endpoint)
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	if host == "*" {
		host = "::"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", clacks.E(clacks.Invalid, op, "%q: the host has to be an IP address, localhost or *", endpoint)
	}
	if !remote && !ip.IsLoopback() {
		return "", clacks.E(clacks.Invalid, op, "%s can be reached from other machines, and ZeroMQ lets everybody in; set zmq.remote to allow that", endpoint)
	}
	return net.JoinHostPort(host, port), nil
}

// maxName is the length of a name in bytes.
const maxName = 255

// names matches those of messages: what can be the name of an event type, and no more.
var names = regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_.-]*$`)

// message is a message as it is sent.
func message(name string, payload []byte) []byte {
	m := make([]byte, 0, len(name)+1+len(payload))
	m = append(m, name...)
	m = append(m, 0)
	return append(m, payload...)
}

// parse takes a pushed message apart; the reason says why it cannot.
func parse(m []byte) (name string, payload []byte, reason string) {
	head, payload, found := bytes.Cut(m, []byte{0})
	switch {
	case !found:
		return "", nil, "no NUL byte behind the name"
	case len(head) > maxName || !names.Match(head):
		return "", nil, "the name is none"
	}
	return string(head), payload, ""
}
