package busd

import (
	"context"
	"errors"
	"sync"
	"time"

	"clacks"
	"clacks/access"
	"clacks/bus"
	"clacks/rpc"
)

// Users finds a user by the name that a bus has authenticated; clacks.Unauthenticated or clacks.NotFound when there is no
// such user, and another error when it cannot be told.
type Users func(ctx context.Context, name string) (access.User, error)

// userCache remembers users for a short while: every message names one.
type userCache struct {
	find Users
	keep time.Duration
	now  func() time.Time

	mu    sync.Mutex
	known map[string]cachedUser
}

type cachedUser struct {
	user  access.User
	until time.Time
}

// cachedUsers bounds the cache.
const cachedUsers = 10_000

func (c *userCache) get(ctx context.Context, name string) (access.User, error) {
	c.mu.Lock()
	known, ok := c.known[name]
	c.mu.Unlock()
	if ok && c.now().Before(known.until) {
		return known.user, nil
	}
	user, err := c.find(ctx, name)
	if err != nil {
		return access.User{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= cachedUsers {
		for other := range c.known { // any one: he is looked up once more
			delete(c.known, other)
			break
		}
	}
	c.known[name] = cachedUser{user, c.now().Add(c.keep)}
	return user, nil
}

// maxUser bounds a user's name in bytes.
const maxUser = 1024

// identify says for whom a message is: the bearer of its pass, or its user-id, which the container or the broker has checked
// against who sent it.
func (d *Door) identify(ctx context.Context, m *bus.Message) (access.User, *pass, error) {
	var forwarded *pass
	name := string(m.Properties.UserID)
	if token, ok := m.Application[PropertyPass]; ok {
		text, _ := token.(string)
		p, err := d.signer.check(text, d.options.Node, d.run, m)
		if errors.Is(err, errStale) {
			return access.User{}, nil, d.stale(m)
		}
		if err != nil {
			return access.User{}, nil, err
		}
		forwarded, name = &p, p.User
	}
	if name == "" || len(name) > maxUser {
		return access.User{}, nil, clacks.E(clacks.Unauthenticated, "busd.identify", "the property user-id is missing")
	}
	user, err := d.users.get(ctx, name)
	if clacks.IsKind(err, clacks.NotFound) || clacks.IsKind(err, clacks.Unauthenticated) || err == nil && user.Anonymous() {
		return access.User{}, nil, clacks.E(clacks.Unauthenticated, "busd.identify", "there is no user of the name in user-id")
	}
	return user, forwarded, err
}

// staleNode marks the error of a node that was started anew since another agent has looked.
const staleNode = "Node"

// stale is the answer to an agent that means an earlier process of this node: that one may have had the message already.
func (d *Door) stale(m *bus.Message) error {
	if d.options.Redelivered(m) {
		return clacks.E(clacks.InDoubt, "busd.identify", "the node was started anew, and whether it had run the command before is not known")
	}
	return &clacks.Error{Op: "busd.identify", Kind: clacks.Unavailable, Type: staleNode, Reason: "the node was started anew"}
}

// session is rpc.Session for the messages of a user: it is proved by each message, so there is no logging in or out.
type session struct{ id string }

// ID implements rpc.Session.
func (s session) ID() string { return s.id }

// Logout implements rpc.Session.
func (session) Logout(context.Context) error { return nil }

// maxSession bounds a client's name for a session in bytes.
const maxSession = 64

func sessionOf(user access.User, m *bus.Message) (session, error) {
	name, given := m.Application[PropertySession]
	text, ok := name.(string)
	if given && (!ok || len(text) > maxSession) {
		return session{}, clacks.E(clacks.Invalid, "busd.session", "the property %s is text of at most %d bytes", PropertySession, maxSession)
	}
	return session{id: "bus:" + user.ID + "\x00" + text}, nil
}

// Login implements rpc.Session.
func (session) Login(context.Context, string, string) (rpc.Login, error) {
	return rpc.Login{}, clacks.E(clacks.Invalid, "busd.login", "a client of the bus logs in when it connects")
}
