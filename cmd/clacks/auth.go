package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"clacks"
	"clacks/access"
	"clacks/backends"
	"clacks/objects"
)

// userType is the object type whose members may log in, by their attribute uid.
const (
	userType  = "User"
	loginName = "uid"
)

// userDirectory is what logging in needs of the object service.
type userDirectory interface {
	Search(ctx context.Context, user access.User, r objects.SearchRequest) (*objects.SearchResult, error)
}

// authenticator checks passwords: the administrator's against the configuration, everybody else's against the
// directory in which he lives.
type authenticator struct {
	admin     string
	adminHash [sha256.Size]byte
	users     userDirectory
	binder    backends.Binder
	nobody    string // the DN of an entry that does not exist
	prepared  func() bool
}

// Authenticate returns the user whose password this is, or clacks.Unauthenticated. It takes the same way for an unknown
// user as for a wrong password.
func (a *authenticator) Authenticate(ctx context.Context, name, password string) (access.User, error) {
	if name == "" || password == "" {
		return access.User{}, wrongCredentials()
	}
	// Until the service has its tables nobody can do anything: a client is told to come again, and not of a fault.
	if !a.prepared() {
		return access.User{}, clacks.E(clacks.Unavailable, "login", "the service is not ready yet")
	}
	if name == a.admin {
		given := sha256.Sum256([]byte(password))
		if subtle.ConstantTimeCompare(given[:], a.adminHash[:]) != 1 {
			return access.User{}, wrongCredentials()
		}
		return access.User{ID: name, Admin: true}, nil
	}
	if a.binder == nil {
		return access.User{}, wrongCredentials()
	}
	user, err := a.find(ctx, name)
	if clacks.IsKind(err, clacks.Unauthenticated) {
		// The time of the answer must not tell whether the user exists.
		_ = a.binder.Bind(ctx, a.nobody, password)
	}
	if err != nil {
		return access.User{}, err
	}
	if err := a.binder.Bind(ctx, user.DN, password); err != nil {
		return access.User{}, err
	}
	return user, nil
}

// find returns the one user of this name.
func (a *authenticator) find(ctx context.Context, name string) (access.User, error) {
	system := access.User{ID: "system", Admin: true}
	found, err := a.users.Search(ctx, system, objects.SearchRequest{
		Type: userType, Filter: map[string]any{loginName: name}, Attributes: []string{loginName}, Limit: 2,
	})
	if clacks.IsKind(err, clacks.Invalid) {
		return access.User{}, wrongCredentials() // no user can have this name
	}
	if err != nil {
		return access.User{}, err
	}
	// A wildcard in the name could match one other user: the value itself has to be the name.
	if len(found.Objects) != 1 || len(found.Objects[0].Values[loginName]) != 1 || found.Objects[0].Values[loginName][0] != name {
		return access.User{}, wrongCredentials()
	}
	o := found.Objects[0]
	return access.User{ID: name, UUID: o.UUID, DN: o.DN}, nil
}

func wrongCredentials() error {
	return clacks.E(clacks.Unauthenticated, "login", "user or password is wrong")
}

// adminPassword is the administrator's password: from the configured file, the environment, or a file in the data folder
// that is made once. The path is that of the file, if there is one.
func adminPassword(config *Config) (password, path string, err error) {
	if config.Admin.PasswordFile != "" {
		password, err = readSecret(config.Admin.PasswordFile)
		return password, config.Admin.PasswordFile, err
	}
	if password = os.Getenv("CLACKS_ADMIN_PASSWORD"); password != "" {
		return password, "", nil
	}
	path = filepath.Join(config.Data, "admin-password")
	password, err = readSecret(path)
	if !errors.Is(err, os.ErrNotExist) {
		return password, path, err
	}
	password = randomText(18)
	return password, path, writeOnce(path, password+"\n")
}

// stateKey is the key under which secrets in the journal and sessions are protected; made once.
func stateKey(config *Config) ([]byte, error) {
	path := filepath.Join(config.Data, "secret.key")
	text, err := readSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		text = randomText(32)
		err = writeOnce(path, text+"\n")
	}
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(text))
	return key[:], nil
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// writeOnce makes a file that only its owner may read, durably: a key that is lost after its first use cannot be made
// again.
func writeOnce(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Sync(), f.Close())
}
