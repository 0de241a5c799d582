package container

import (
	"sync/atomic"

	"clacks/bus"
)

// account is what one peer makes the container hold. It lives as long as it is not empty.
type account struct {
	key    string
	links  int // guarded by Container.mu, like queues
	queues int
	bytes  atomic.Int64
}

// accountOf finds or makes the account of a peer. Container.mu is held.
func (c *Container) accountOf(peer bus.Peer) *account {
	key := "user " + peer.User.ID
	if peer.User.Anonymous() {
		key = "connection " + peer.Connection
	}
	a := c.accounts[key]
	if a == nil {
		c.sweep()
		a = &account{key: key}
		c.accounts[key] = a
	}
	return a
}

// forget drops an account that holds nothing. Container.mu is held. Only a link or a queue makes bytes grow, so that an
// account without either is not used again.
func (c *Container) forget(a *account) {
	if a.links == 0 && a.queues == 0 && a.bytes.Load() == 0 && c.accounts[a.key] == a {
		delete(c.accounts, a.key)
	}
}

// reserve takes memory for a message that an account pays for, or says which limit is in the way.
func (c *Container) reserve(payer *account, size int64) *bus.Condition {
	if c.bytes.Add(size) > c.options.Limits.Bytes {
		c.bytes.Add(-size)
		return exceeded("the server holds too many messages")
	}
	if payer.bytes.Add(size) > c.options.Limits.PeerBytes && payer != &c.internal {
		payer.bytes.Add(-size)
		c.bytes.Add(-size)
		return exceeded("too many messages wait on this peer's account")
	}
	return nil
}

// refund gives the memory of messages back.
func (c *Container) refund(payer *account, size int64) {
	c.bytes.Add(-size)
	payer.bytes.Add(-size)
}

// sweep drops the accounts whose messages went after their last link. It runs when their number has doubled, which costs
// each new account little. Container.mu is held.
func (c *Container) sweep() {
	if len(c.accounts) < c.sweepAt {
		return
	}
	for _, a := range c.accounts {
		c.forget(a)
	}
	c.sweepAt = 2*len(c.accounts) + 64
}
