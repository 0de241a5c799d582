package httpd

import (
	"sync"
	"time"

	"clacks/access"
)

// basicCache remembers verified HTTP Basic credentials for a short while: a password hash is made to be slow, and a
// program sends its password with every request. It holds no password, only a keyed hash of name and password.
type basicCache struct {
	secret []byte
	keep   time.Duration
	now    func() time.Time

	mu      sync.Mutex
	entries map[string]basicEntry
}

type basicEntry struct {
	user  access.User
	until time.Time
}

// basicEntries bounds the cache.
const basicEntries = 1000

func newBasicCache(secret []byte, keep time.Duration) *basicCache {
	return &basicCache{secret: secret, keep: keep, now: time.Now, entries: map[string]basicEntry{}}
}

// key cannot be turned back into a password without the secret. The zero byte keeps name and password apart: a name with
// one is refused before.
func (c *basicCache) key(uid, password string) string {
	return string(sign(c.secret, "basic", []byte(uid+"\x00"+password)))
}

func (c *basicCache) get(key string) (access.User, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok || !c.now().Before(e.until) {
		delete(c.entries, key)
		return access.User{}, false
	}
	return e.user, true
}

func (c *basicCache) put(key string, user access.User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= basicEntries {
		for k := range c.entries { // any one: he will be checked once more
			delete(c.entries, k)
			break
		}
	}
	c.entries[key] = basicEntry{user: user, until: c.now().Add(c.keep)}
}
