package password

import (
	"crypto/subtle"
	"strconv"
	"strings"

	"github.com/GehirnInc/crypt"
	"github.com/GehirnInc/crypt/md5_crypt"
	"github.com/GehirnInc/crypt/sha256_crypt"
	"github.com/GehirnInc/crypt/sha512_crypt"
	"golang.org/x/crypto/bcrypt"

	"clacks"
)

// The cost that we accept in a stored crypt(3) string.
const (
	maxRounds     = 1_000_000
	maxBcryptCost = 14
)

func hashCrypt(password string) (string, error) {
	encoded, err := sha512_crypt.New().Generate([]byte(password), nil)
	if err != nil {
		return "", clacks.E(clacks.Internal, "password.hash", "crypt failed: %w", err)
	}
	return "{" + string(Crypt) + "}" + encoded, nil
}

// verifyCrypt checks a crypt(3) string of SHA-512, SHA-256, MD5 or bcrypt. The old DES scheme is refused: eight
// characters and 56 bits are no protection.
func verifyCrypt(encoded, password string) bool {
	var crypter crypt.Crypter
	switch {
	case strings.HasPrefix(encoded, sha512_crypt.MagicPrefix):
		crypter = sha512_crypt.New()
	case strings.HasPrefix(encoded, sha256_crypt.MagicPrefix):
		crypter = sha256_crypt.New()
	case strings.HasPrefix(encoded, md5_crypt.MagicPrefix):
		crypter = md5_crypt.New()
	case strings.HasPrefix(encoded, "$2"):
		cost, err := bcrypt.Cost([]byte(encoded))
		return err == nil && cost <= maxBcryptCost && bcrypt.CompareHashAndPassword([]byte(encoded), []byte(password)) == nil
	default:
		return false
	}
	settings, ok := cryptSettings(encoded)
	if !ok {
		return false
	}
	again, err := crypter.Generate([]byte(password), []byte(settings))
	return err == nil && subtle.ConstantTimeCompare([]byte(again), []byte(encoded)) == 1
}

// cryptSettings is the part of "$6$rounds=N$salt$hash" before the hash; ok is false when it is malformed or too costly.
func cryptSettings(encoded string) (settings string, ok bool) {
	parts := strings.Split(encoded, "$") // "", "6", ["rounds=N",] salt, hash
	if len(parts) == 5 {
		digits, ok := strings.CutPrefix(parts[2], "rounds=")
		rounds, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || rounds > maxRounds || parts[1] == "1" {
			return "", false
		}
	} else if len(parts) != 4 || strings.HasPrefix(parts[2], "rounds=") {
		return "", false
	}
	hash := parts[len(parts)-1]
	if hash == "" || parts[len(parts)-2] == "" {
		return "", false
	}
	return strings.TrimSuffix(encoded, "$"+hash), true
}
