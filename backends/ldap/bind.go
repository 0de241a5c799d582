package ldap

import (
	"context"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
)

// refusals are the answers to a bind that mean "not with this name and password".
var refusals = []uint16{
	goldap.LDAPResultInvalidCredentials, goldap.LDAPResultInappropriateAuthentication, goldap.LDAPResultNoSuchObject,
	goldap.LDAPResultInvalidDNSyntax, goldap.LDAPResultUnwillingToPerform, goldap.LDAPResultInsufficientAccessRights,
	goldap.LDAPResultConstraintViolation,
}

// Bind checks a password by a simple bind (RFC 4513, section 5.1.3) on a connection of its own, which is closed again: the
// pool's connections belong to the service.
func (b *Backend) Bind(ctx context.Context, dn, password string) error {
	const op = "ldap.bind"
	if dn == "" || password == "" {
		// A bind without a password succeeds as anonymous, whoever the name is.
		return clacks.E(clacks.Unauthenticated, op, "the name or the password is empty")
	}
	if err := ctx.Err(); err != nil {
		return because(clacks.Unavailable, op, "the request has ended", err)
	}
	select {
	case b.binds <- struct{}{}:
		defer func() { <-b.binds }()
	case <-b.pool.done:
		return clacks.E(clacks.Unavailable, op, "the driver is closed")
	case <-ctx.Done():
		return because(clacks.Unavailable, op, "too many logins at once", ctx.Err())
	}
	c, _, err := b.pool.dialer.connect(ctx)
	if err != nil {
		return because(clacks.Unavailable, op, "the directory cannot be reached", err)
	}
	defer c.discard()
	err = c.run(ctx, b.options.RequestTimeout, func() error { return c.Bind(dn, password) })
	switch {
	case err == nil:
		return nil
	case goldap.IsErrorAnyOf(err, refusals...):
		return because(clacks.Unauthenticated, op, "the name or the password is wrong", err)
	case isLost(err):
		return failed(ctx, op, err, false)
	}
	return because(clacks.Unavailable, op, "the directory does not check passwords now", err)
}
