package busd

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"clacks"
	"clacks/bus"
)

// The application-properties that Clacks knows.
const (
	PropertyUser    = "clacks-user"    // for whom an agent asks, for programs that are no agents
	PropertyPass    = "clacks-pass"    // the same for agents: signed
	PropertySession = "clacks-session" // a client's name for one of several sessions of its user
	PropertyNode    = "clacks-node"    // of a reply: the agent that answers
)

// pass lets an agent run a command for somebody else. It is good for one message.
type pass struct {
	User  string `json:"user"`
	From  string `json:"from"`
	To    string `json:"to"`            // the node that it is for,
	Run   string `json:"run"`           // and that process of it: what an earlier one has seen, it has forgotten
	ID    string `json:"id"`            // no other pass has it
	Hops  int    `json:"hops"`          // how often the message may be forwarded after this time
	Until int64  `json:"until"`         // Unix milliseconds
	Key   string `json:"key,omitempty"` // the idempotency key of the first message
	Bound []byte `json:"bound"`         // hash of the body and of reply-to
}

// signer makes and checks passes.
type signer struct {
	key []byte
	now func() time.Time

	mu   sync.Mutex
	seen map[string]int64 // ids of passes that were used, until they expire
}

// The limits of passes.
const (
	maxHops   = 3
	maxSeen   = 100_000
	clockSkew = 30 * time.Second // by which the clocks of two agents may differ
	maxPass   = 4096             // bytes of an encoded pass
)

func newSigner(secret []byte, now func() time.Time) *signer {
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte("clacks bus pass 1"))
	return &signer{key: mac.Sum(nil), now: now, seen: map[string]int64{}}
}

// bound ties a pass to its message: another body, or another address for the answer, is another message.
func bound(m *bus.Message) []byte {
	hash := sha256.New()
	_, _ = hash.Write([]byte(m.Properties.ReplyTo))
	_, _ = hash.Write([]byte{0})
	_, _ = hash.Write(m.Body)
	return hash.Sum(nil)
}

func (s *signer) sign(p pass) (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(text) + "." + base64.RawURLEncoding.EncodeToString(s.mac(text)), nil
}

func (s *signer) mac(text []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write(text)
	return mac.Sum(nil)
}

// errStale says that a pass is real, and for an earlier process of the node.
var errStale = errors.New("busd: the pass is for an earlier process of this node")

// check reads the pass of a message that came to a node. Everything that is wrong with it is one and the same refusal: who
// forges passes learns nothing. Only of one that is real, and for an earlier process of the node, the error is errStale.
func (s *signer) check(token, node, run string, m *bus.Message) (pass, error) {
	refused := clacks.E(clacks.Denied, "busd.pass", "the pass of the message is not valid (any more)")
	var p pass
	if len(token) > maxPass {
		return p, refused
	}
	body, signature, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return p, refused
	}
	mac, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(mac, s.mac(text)) {
		return p, refused
	}
	if json.Unmarshal(text, &p) != nil || p.User == "" || p.ID == "" || p.To != node || !hmac.Equal(p.Bound, bound(m)) {
		return pass{}, refused
	}
	if p.Run != run {
		return pass{}, errStale
	}
	if !s.use(p) {
		return pass{}, refused
	}
	return p, nil
}

// use marks a pass as used; false when it has expired or was used before.
func (s *signer) use(p pass) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UnixMilli()
	if p.Until < now || s.seen[p.ID] != 0 {
		return false
	}
	if len(s.seen) >= maxSeen {
		for id, until := range s.seen {
			if until < now {
				delete(s.seen, id)
			}
		}
		if len(s.seen) >= maxSeen {
			return false
		}
	}
	s.seen[p.ID] = p.Until
	return true
}

// again lets a pass be used once more: its message was given back, and will come again.
func (s *signer) again(p pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, p.ID)
}
