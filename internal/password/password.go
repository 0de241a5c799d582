// Package password makes and checks password hashes: argon2id, and the schemes of the directory world ({SSHA}, {CRYPT}
// and their relatives, RFC 2307 section 5.3), which existing entries carry.
//
//	Hash(scheme, password) -> "{SCHEME}..." -> stored in userPassword
//	Verify(stored, password) -> is it right?
//
// A stored hash may come from anywhere, so its cost parameters are bounded before any work is done, and only as many
// expensive hashes are computed at once as there are processors. Nothing here logs, and no error holds a password or a hash.
package password

import (
	"crypto/md5" //nolint:gosec // checked on reading only: entries carry it
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // checked on reading only: entries carry it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"runtime"
	"strings"

	"clacks"
)

// Scheme is the name of a hash in the braces before it, in capitals.
type Scheme string

// The schemes in which Hash can store a password. Argon2 is the default and the only one to choose freely; the others are
// there for directories whose server has to check them.
const (
	Argon2  Scheme = "ARGON2"
	SSHA    Scheme = "SSHA"
	SSHA256 Scheme = "SSHA256"
	SSHA512 Scheme = "SSHA512"
	Crypt   Scheme = "CRYPT" // SHA-512 crypt, "$6$"
)

// MaxLength is the longest password, in bytes: some schemes take time that grows with its square.
const MaxLength = 1024

const (
	maxStored = 4096 // longest stored hash that is looked at
	saltSize  = 16
)

// digest describes one of the schemes that are base64 of a digest and perhaps a salt behind it.
type digest struct {
	make   func() hash.Hash
	salted bool
}

var digests = map[Scheme]digest{
	SSHA:      {sha1.New, true},
	SSHA256:   {sha256.New, true},
	"SSHA384": {sha512.New384, true},
	SSHA512:   {sha512.New, true},
	"SHA":     {sha1.New, false},
	"SHA256":  {sha256.New, false},
	"SHA384":  {sha512.New384, false},
	"SHA512":  {sha512.New, false},
	"SMD5":    {md5.New, true},
	"MD5":     {md5.New, false},
}

// slots bounds the expensive computations in progress: each holds memory and a processor, and anybody may ask for one.
var slots = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))

// Hash makes the stored form of a password: "{SCHEME}" and the hash with a random salt. The scheme "" is Argon2.
// clacks.Invalid: the scheme is unknown, or the password is empty or longer than MaxLength.
func Hash(scheme Scheme, password string) (string, error) {
	if password == "" || len(password) > MaxLength {
		return "", clacks.E(clacks.Invalid, "password.hash", "a password has between 1 and %d bytes", MaxLength)
	}
	if scheme == "" {
		scheme = Argon2
	}
	switch scheme {
	case Argon2, Crypt:
		slots <- struct{}{}
		defer func() { <-slots }()
		if scheme == Argon2 {
			return hashArgon2(password), nil
		}
		return hashCrypt(password)
	case SSHA, SSHA256, SSHA512:
		salt := randomSalt()
		sum := digestOf(digests[scheme].make(), password, salt)
		return "{" + string(scheme) + "}" + base64.StdEncoding.EncodeToString(append(sum, salt...)), nil
	}
	return "", clacks.E(clacks.Invalid, "password.hash", "there is no password scheme %.20q", string(scheme))
}

// Verify reports whether password is the one that stored was made from. A stored value without a known scheme, with a
// malformed hash or with parameters beyond the bounds matches nothing; so does an empty password.
func Verify(stored, password string) bool {
	scheme, encoded, ok := split(stored)
	if !ok || password == "" || len(password) > MaxLength {
		return false
	}
	if d, ok := digests[scheme]; ok {
		return verifyDigest(d, encoded, password)
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	if scheme == Argon2 {
		return verifyArgon2(encoded, password)
	}
	return verifyCrypt(encoded, password)
}

// IsHashed reports whether s is the stored form of a password, and not a password itself: a scheme that Verify knows and
// behind it what that scheme makes. "{SSHA}secret" is a password like any other; stored as it is, it could be read.
func IsHashed(s string) bool {
	scheme, encoded, ok := split(s)
	if !ok {
		return false
	}
	switch scheme {
	case Argon2:
		return strings.HasPrefix(encoded, "$argon2")
	case Crypt: // "$id$salt$hash"; a directory's server may know more ids than we do
		return strings.HasPrefix(encoded, "$") && strings.Count(encoded, "$") >= 3
	}
	_, _, ok = digests[scheme].decode(encoded)
	return ok
}

// split takes "{SCHEME}hash" apart; ok is false when the scheme is unknown.
func split(stored string) (scheme Scheme, encoded string, ok bool) {
	if len(stored) > maxStored || !strings.HasPrefix(stored, "{") {
		return "", "", false
	}
	name, encoded, ok := strings.Cut(stored[1:], "}")
	if !ok || encoded == "" {
		return "", "", false
	}
	scheme = Scheme(strings.ToUpper(name))
	if scheme == Argon2 || scheme == Crypt {
		return scheme, encoded, true
	}
	_, ok = digests[scheme]
	return scheme, encoded, ok
}

func verifyDigest(d digest, encoded, password string) bool {
	sum, salt, ok := d.decode(encoded)
	return ok && subtle.ConstantTimeCompare(digestOf(d.make(), password, salt), sum) == 1
}

// decode takes the base64 of a digest and its salt apart; ok is false when it cannot be one of this scheme.
func (d digest) decode(encoded string) (sum, salt []byte, ok bool) {
	// Some tools write the base64 without its padding.
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	size := d.make().Size()
	if err != nil || len(raw) < size || d.salted != (len(raw) > size) {
		return nil, nil, false
	}
	return raw[:size], raw[size:], true
}

func digestOf(h hash.Hash, password string, salt []byte) []byte {
	h.Write([]byte(password))
	h.Write(salt)
	return h.Sum(nil)
}

func randomSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	return salt
}
