package password

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of the hashes that we make: OWASP's second choice for argon2id, 19 MiB and two passes.
const (
	argonMemory  = 19 * 1024 // KiB
	argonPasses  = 2
	argonThreads = 1
	argonSize    = 32
)

// The cost that we accept in a stored hash.
const (
	maxArgonMemory = 256 * 1024 // KiB
	maxArgonPasses = 16
	maxArgonSize   = 64
)

func hashArgon2(password string) string {
	salt := randomSalt()
	sum := argon2.IDKey([]byte(password), salt, argonPasses, argonMemory, argonThreads, argonSize)
	return fmt.Sprintf("{%s}$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", Argon2, argon2.Version, argonMemory, argonPasses,
		argonThreads, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// argonHash is a parsed PHC string of argon2i or argon2id.
type argonHash struct {
	id                      bool
	memory, passes, threads uint32
	salt, sum               []byte
}

func verifyArgon2(encoded, password string) bool {
	h, ok := parseArgon2(encoded)
	if !ok {
		return false
	}
	key := argon2.Key
	if h.id {
		key = argon2.IDKey
	}
	sum := key([]byte(password), h.salt, h.passes, h.memory, uint8(h.threads), uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// parseArgon2 reads "$argon2id$v=19$m=19456,t=2,p=1$salt$hash" and refuses costs beyond the bounds.
func parseArgon2(encoded string) (h argonHash, ok bool) {
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[0] != "" || parts[2] != "v=19" {
		return h, false
	}
	h.id = parts[1] == "argon2id"
	if !h.id && parts[1] != "argon2i" {
		return h, false
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return h, false
	}
	var okM, okT, okP bool
	h.memory, okM = cost(costs[0], "m=", maxArgonMemory)
	h.passes, okT = cost(costs[1], "t=", maxArgonPasses)
	h.threads, okP = cost(costs[2], "p=", 64)
	// Memory times passes bounds the time: 256 MiB sixteen times would already be seconds.
	if !okM || !okT || !okP || uint64(h.memory)*uint64(h.passes) > 4*maxArgonMemory {
		return h, false
	}
	var errSalt, errSum error
	h.salt, errSalt = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, errSum = base64.RawStdEncoding.DecodeString(parts[5])
	ok = errSalt == nil && errSum == nil && len(h.salt) >= 8 && len(h.salt) <= maxArgonSize && len(h.sum) >= 16 &&
		len(h.sum) <= maxArgonSize
	return h, ok
}

func cost(s, prefix string, limit uint64) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0 && n <= limit
}
