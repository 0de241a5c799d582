// Package ldap is the driver for LDAPv3 directories (RFC 4511), on go-ldap. It is made for OpenLDAP 2.5 and later; Ping
// says what another server lacks.
//
//	Read, Search  --> pool --> connection --> search (paged, RFC 2696) --> entry: values typed by the server's schema
//	Apply         --> guard as an assertion (RFC 4528) --> pool --> one request --> version by post-read (RFC 4527)
//	Bind          --> a connection of its own, closed again
//
// What go-ldap leaves open is done here. The pool (pool.go) hands out connections, each to one request at a time,
// replaces dead ones and backs off while the server is away. A connection (conn.go) obeys the context, remembers
// whether a byte of the request left, so that "definitely not applied" and "perhaps applied" can be told apart, and
// keeps the answer's controls, which go-ldap drops for add and rename. A change is one LDAP operation, so the server
// applies it as a whole or not at all; its guard travels with it as a critical assertion. Two things cannot be said in
// one operation: that an attribute holds exactly these values, and the removal of one value of an attribute without an
// equality rule (jpegPhoto). They are done against the entry as it was read, guarded by its entryCSN (careful.go).
package ldap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks"
	"clacks/backends"
	"clacks/internal/dn"
)

// versionAttribute is what OpenLDAP changes with every change of an entry.
const versionAttribute = "entryCSN"

// Options say where the directory is and how to talk to it.
type Options struct {
	// URIs are ldap://, ldaps:// or ldapi:// (RFC 4516). The first that answers is used; all must hold the same data.
	URIs []string
	// BindDN and Password are who the driver is. Without BindDN it is anonymous, or, over ldapi, EXTERNAL.
	BindDN   string
	Password string
	// Base is the DN below which entries are looked up by UUID. Required.
	Base string
	// StartTLS encrypts ldap:// connections (RFC 4511, section 4.14).
	StartTLS bool
	// CAFile holds PEM certificates of the authorities to trust; empty for the system's.
	CAFile string
	// ServerName is the name that the server's certificate must carry; empty for the host of the URI.
	ServerName string
	// InsecureSkipVerify accepts any certificate.
	InsecureSkipVerify bool
	// AllowPlaintext permits passwords over an unencrypted connection to another machine. Loopback is always permitted.
	AllowPlaintext bool
	// PoolSize is how many requests may run at once; 16 by default. Searches whose caller is busy with a page hold a
	// connection, but do not count.
	PoolSize int
	// DialTimeout bounds connecting, TLS and bind (5 s by default), RequestTimeout one request (30 s by default) whose
	// context has no earlier deadline.
	DialTimeout    time.Duration
	RequestTimeout time.Duration
	// UUIDAttribute holds an object's UUID; entryUUID (RFC 4530) by default.
	UUIDAttribute string
	// PageSize is how many entries a search fetches in one go; 1,000 by default.
	PageSize int
	// Logger hears when the directory is lost and found; slog.Default by default.
	Logger *slog.Logger
}

// Backend is a directory. It connects when it is first used.
type Backend struct {
	options Options
	base    string
	pool    *pool
	binds   chan struct{} // a slot for each concurrent Bind
	log     *slog.Logger

	loading chan struct{} // a slot for the one goroutine that loads the schema
	schemas atomic.Pointer[schema]

	postReads sync.Map // the control that asks for some attributes, by their names
	kept      atomic.Int64
}

var (
	_ backends.Backend = (*Backend)(nil)
	_ backends.Binder  = (*Backend)(nil)
)

// New checks the options; clacks.Invalid says what is wrong with them. It does not connect.
func New(options Options) (*Backend, error) {
	setDefaults(&options)
	if len(options.URIs) == 0 {
		return nil, clacks.E(clacks.Invalid, "ldap.new", "no URI of a directory is given")
	}
	if err := dn.Validate(options.Base); err != nil || options.Base == "" {
		return nil, clacks.E(clacks.Invalid, "ldap.new", "the base %q is not a name", options.Base)
	}
	if options.BindDN != "" && options.Password == "" {
		return nil, clacks.E(clacks.Invalid, "ldap.new", "the password of %q is empty", options.BindDN)
	}
	if !isAttribute(options.UUIDAttribute) {
		return nil, clacks.E(clacks.Invalid, "ldap.new", "%q is not the name of an attribute", options.UUIDAttribute)
	}
	trust, err := options.tls()
	if err != nil {
		return nil, err
	}
	d := &dialer{options: options, trust: trust}
	for _, uri := range options.URIs {
		server, err := parseURI(uri)
		if err != nil {
			return nil, err
		}
		if err := options.permits(server); err != nil {
			return nil, err
		}
		d.servers = append(d.servers, server)
	}
	b := &Backend{
		options: options, base: options.Base, log: options.Logger,
		pool:    newPool(options.PoolSize, d, options.Logger),
		binds:   make(chan struct{}, options.PoolSize),
		loading: make(chan struct{}, 1),
	}
	return b, nil
}

func setDefaults(o *Options) {
	if o.PoolSize <= 0 {
		o.PoolSize = 16
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 30 * time.Second
	}
	if o.UUIDAttribute == "" {
		o.UUIDAttribute = "entryUUID"
	}
	if o.PageSize <= 0 {
		o.PageSize = 1000
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.URIs = slices.Clone(o.URIs)
}

// tls is the configuration for StartTLS and LDAPS.
func (o *Options) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, InsecureSkipVerify: o.InsecureSkipVerify}
	if o.CAFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, because(clacks.Invalid, "ldap.new", "the file of the authorities cannot be read", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, clacks.E(clacks.Invalid, "ldap.new", "%s holds no certificate in PEM", o.CAFile)
	}
	return config, nil
}

// permits refuses to send passwords in the clear to another machine unless that was asked for.
func (o *Options) permits(s server) error {
	if s.scheme != "ldap" || o.StartTLS || o.AllowPlaintext {
		return nil
	}
	if ip := net.ParseIP(s.host); s.host == "localhost" || (ip != nil && ip.IsLoopback()) {
		return nil
	}
	return clacks.E(clacks.Invalid, "ldap.new", "passwords would travel unencrypted to %s: use ldaps, StartTLS, or allow it", s.host)
}

// server is a parsed URI.
type server struct {
	scheme  string // ldap, ldaps, ldapi
	network string // tcp, unix
	address string // host:port, or the path of a socket
	host    string // for TLS
}

func parseURI(uri string) (server, error) {
	wrong := clacks.E(clacks.Invalid, "ldap.new", "%q is not an LDAP URI", uri)
	if path, ok := strings.CutPrefix(uri, "ldapi://"); ok {
		path, err := url.PathUnescape(strings.TrimSuffix(path, "/"))
		if err != nil || path == "" {
			return server{}, wrong
		}
		return server{scheme: "ldapi", network: "unix", address: path}, nil
	}
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return server{}, wrong
	}
	port, ok := map[string]string{"ldap": goldap.DefaultLdapPort, "ldaps": goldap.DefaultLdapsPort}[u.Scheme]
	if !ok {
		return server{}, wrong
	}
	if u.Port() != "" {
		port = u.Port()
	}
	return server{scheme: u.Scheme, network: "tcp", address: net.JoinHostPort(u.Hostname(), port), host: u.Hostname()}, nil
}

// Capabilities are those of OpenLDAP; Ping fails on a server that lacks what they need.
func (b *Backend) Capabilities() backends.Capabilities {
	return backends.Capabilities{Kind: backends.Tree, Versions: true, Rename: true, SubtreeRename: true}
}

// Ping reads the root DSE. The first time, and again after the directory was lost, it also checks that the server has
// what the driver builds on. Every failure is clacks.Unavailable.
func (b *Backend) Ping(ctx context.Context) error {
	const op = "ldap.ping"
	root, err := b.rootDSE(ctx, op)
	if err != nil {
		return err
	}
	s, err := b.schema(ctx)
	if err != nil || s.checked.Load() {
		return err
	}
	if err := b.check(ctx, op, root, s); err != nil {
		return err
	}
	s.checked.Store(true)
	return nil
}

// rootDSE reads what the server says about itself (RFC 4512, section 5.1).
func (b *Backend) rootDSE(ctx context.Context, op string) (*result, error) {
	request := goldap.NewSearchRequest("", goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false, anything,
		[]string{"supportedControl", "subschemaSubentry"}, nil)
	root, err := b.search(ctx, op, request)
	if err != nil {
		return nil, err
	}
	if len(root) != 1 {
		return nil, clacks.E(clacks.Unavailable, op, "the directory does not describe itself")
	}
	return root[0], nil
}

// check says what the server lacks.
func (b *Backend) check(ctx context.Context, op string, root *result, s *schema) error {
	for oid, name := range map[string]string{assertionOID: "assertion (RFC 4528)", postReadOID: "post-read (RFC 4527)"} {
		if !slices.Contains(root.attribute("supportedControl"), oid) {
			return clacks.E(clacks.Unavailable, op, "the directory lacks the control %s", name)
		}
	}
	if s.attribute(versionAttribute) == nil {
		return clacks.E(clacks.Unavailable, op, "the directory has no versions of entries (%s)", versionAttribute)
	}
	if s.attribute(b.options.UUIDAttribute) == nil {
		return clacks.E(clacks.Unavailable, op, "the directory's schema has no attribute %s for UUIDs", b.options.UUIDAttribute)
	}
	return b.checkRelax(ctx, op, s)
}

// checkRelax finds out whether an entry can be created with a UUID of our choice. The server does not list the control,
// so it is tried, in an addition whose assertion is false: it never succeeds, and how it fails is the answer.
func (b *Backend) checkRelax(ctx context.Context, op string, s *schema) error {
	if !s.operational(b.options.UUIDAttribute) {
		return nil
	}
	never, err := goldap.CompileFilter(nothing)
	if err != nil {
		return clacks.E(clacks.Internal, op, "%w", err)
	}
	request := goldap.NewAddRequest(dn.Join("cn=clacks-probe", b.base), []goldap.Control{relax, newAssertion(never)})
	request.Attribute("objectClass", []string{"organizationalRole"})
	request.Attribute("cn", []string{"clacks-probe"})
	request.Attribute(b.options.UUIDAttribute, []string{"00000000-0000-4000-8000-000000000000"})
	_, err = b.write(ctx, op, func(c *conn) error { return c.Add(request) })
	switch {
	case goldap.IsErrorWithCode(err, goldap.LDAPResultAssertionFailed):
		return nil
	case clacks.KindOf(err) == clacks.Unavailable || clacks.KindOf(err) == clacks.InDoubt:
		return because(clacks.Unavailable, op, "the directory does not answer", err)
	}
	reason := fmt.Sprintf("the directory does not let %q choose the %s of a new entry: grant the right to manage it, or configure "+
		"another attribute for UUIDs", b.options.BindDN, b.options.UUIDAttribute)
	return because(clacks.Unavailable, op, reason, err)
}

// Close closes all idle connections now and busy ones when their request ends.
func (b *Backend) Close() error {
	b.pool.close()
	return nil
}
