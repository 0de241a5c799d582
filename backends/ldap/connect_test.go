package ldap_test

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"clacks"
	"clacks/backends"
	"clacks/backends/ldap"
	"clacks/internal/testservers"
)

func TestOptionsRefused(t *testing.T) {
	good := ldap.Options{URIs: []string{"ldap://localhost"}, Base: "dc=example,dc=net", BindDN: "cn=a", Password: "b"}
	for what, change := range map[string]func(*ldap.Options){
		"no URI":              func(o *ldap.Options) { o.URIs = nil },
		"no host":             func(o *ldap.Options) { o.URIs = []string{"ldap://"} },
		"another scheme":      func(o *ldap.Options) { o.URIs = []string{"http://localhost"} },
		"a path":              func(o *ldap.Options) { o.URIs = []string{"ldap://localhost/dc=net"} },
		"no socket":           func(o *ldap.Options) { o.URIs = []string{"ldapi://"} },
		"plaintext elsewhere": func(o *ldap.Options) { o.URIs = []string{"ldap://localhost", "ldap://ldap.example.net"} },
		"no base":             func(o *ldap.Options) { o.Base = "" },
		"not a name":          func(o *ldap.Options) { o.Base = "nonsense" },
		"empty password":      func(o *ldap.Options) { o.Password = "" },
		"bad attribute":       func(o *ldap.Options) { o.UUIDAttribute = "a)(b" },
		"missing authorities": func(o *ldap.Options) { o.CAFile = "/nonexistent" },
		"no certificate":      func(o *ldap.Options) { o.CAFile = "connect_test.go" },
	} {
		options := good
		change(&options)
		_, err := ldap.New(options)
		wantKind(t, what, err, clacks.Invalid)
	}
	for what, change := range map[string]func(*ldap.Options){
		"loopback":             func(*ldap.Options) {},
		"loopback address":     func(o *ldap.Options) { o.URIs = []string{"ldap://127.0.0.1:1389/", "ldap://[::1]"} },
		"encrypted elsewhere":  func(o *ldap.Options) { o.URIs = []string{"ldaps://ldap.example.net"} },
		"StartTLS elsewhere":   func(o *ldap.Options) { o.URIs, o.StartTLS = []string{"ldap://ldap.example.net"}, true },
		"permitted explicitly": func(o *ldap.Options) { o.URIs, o.AllowPlaintext = []string{"ldap://ldap.example.net"}, true },
		"socket":               func(o *ldap.Options) { o.URIs = []string{"ldapi://%2Frun%2Fldapi"} },
	} {
		options := good
		change(&options)
		if _, err := ldap.New(options); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTLS(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithTLS(), testservers.WithoutSync())
	other, err := testservers.MakeCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"StartTLS", "LDAPS"} {
		target, scheme := server.Addr, "ldap://"
		if way == "LDAPS" {
			target, scheme = server.LDAPS[len("ldaps://"):], "ldaps://"
		}
		for _, test := range []struct {
			what   string
			change func(*ldap.Options)
			ok     bool
		}{
			{"right authority", func(o *ldap.Options) { o.CAFile = server.TLS.CA }, true},
			{"right name", func(o *ldap.Options) { o.CAFile, o.ServerName = server.TLS.CA, "localhost" }, true},
			{"explicitly insecure", func(o *ldap.Options) { o.InsecureSkipVerify = true }, true},
			{"wrong authority", func(o *ldap.Options) { o.CAFile = other.CA }, false},
			{"the system's authorities", func(*ldap.Options) {}, false},
			{"wrong name", func(o *ldap.Options) { o.CAFile, o.ServerName = server.TLS.CA, "ldap.example.net" }, false},
		} {
			t.Run(way+" "+test.what, func(t *testing.T) {
				proxy := testservers.Proxy(t, target)
				var leaked atomic.Bool
				proxy.OnRequest(func(request []byte) testservers.Verdict {
					if bytes.Contains(request, []byte(server.Password)) {
						leaked.Store(true)
					}
					return testservers.Pass
				})
				backend := open(t, server, func(o *ldap.Options) { o.URIs, o.StartTLS = []string{scheme + proxy.Addr}, way == "StartTLS" }, test.change)
				err := backend.Ping(t.Context())
				if test.ok && err != nil {
					t.Fatal(err)
				}
				if !test.ok {
					wantKind(t, "ping", err, clacks.Unavailable)
				}
				if test.ok {
					c := create(server.Base, way+" "+test.what)
					result, err := backend.Apply(t.Context(), c)
					if err != nil || result.Version == "" {
						t.Fatalf("create: version %q, %v", result.Version, err)
					}
					if err := backend.Bind(t.Context(), server.BindDN, server.Password); err != nil {
						t.Fatal(err)
					}
				}
				if leaked.Load() {
					t.Fatal("the password went over the line in the clear")
				}
			})
		}
	}
}

func TestServerWithoutTLSIsRefused(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	backend := open(t, server, func(o *ldap.Options) { o.StartTLS, o.InsecureSkipVerify = true, true })
	wantKind(t, "ping", backend.Ping(t.Context()), clacks.Unavailable)
}

func TestSocketAndExternal(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync(),
		testservers.WithDatabase(`access to * by dn.regex="uidNumber=.*,cn=peercred,cn=external,cn=auth" manage`))
	backend := open(t, server, func(o *ldap.Options) { o.URIs, o.BindDN, o.Password = []string{server.LDAPI}, "", "" })
	if err := backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := create(server.Base, "socket")
	c.Ref.UUID = "6d0f2c3a-8f57-4d7c-9f3a-0b8f6f3a1c55"
	if _, err := backend.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func TestWrongServicePassword(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	backend := open(t, server, func(o *ldap.Options) { o.Password = "wrong" })
	wantKind(t, "ping", backend.Ping(t.Context()), clacks.Unavailable)
}

// TestPingSaysWhatIsMissing checks that a server which cannot serve is found out before the first change.
func TestPingSaysWhatIsMissing(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync(), testservers.WithDatabase(
		`access to attrs=userPassword by * auth`,
		`access to * by dn.exact="cn=writer,dc=example,dc=net" write by * read`))
	admin := open(t, server)
	writer := backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=writer," + server.Base}, Add: backends.Values{
		"objectClass": {"person"}, "cn": {"writer"}, "sn": {"writer"}, "userPassword": {"pass"}}}
	if _, err := admin.Apply(t.Context(), writer); err != nil {
		t.Fatal(err)
	}
	asWriter := func(o *ldap.Options) { o.BindDN, o.Password = "cn=writer,"+server.Base, "pass" }
	unknown := open(t, server, func(o *ldap.Options) { o.UUIDAttribute = "noSuchAttribute" })
	wantKind(t, "an attribute that does not exist", unknown.Ping(t.Context()), clacks.Unavailable)
	// A user's attribute for UUIDs needs no more than the right to write it.
	if err := open(t, server, asWriter, func(o *ldap.Options) { o.UUIDAttribute = "employeeNumber" }).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The right to manage shows only in a real addition: it must be refused then, and clearly.
	limited := open(t, server, asWriter)
	c := create(server.Base, "chosen")
	if _, err := limited.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c = create(server.Base, "chosen2")
	c.Ref.UUID = "6d0f2c3a-8f57-4d7c-9f3a-0b8f6f3a1c55"
	_, err := limited.Apply(t.Context(), c)
	wantKind(t, "a UUID of our choice without the right to manage", err, clacks.Denied)
	if !strings.Contains(err.Error(), "right to manage") {
		t.Fatal(err)
	}
}
