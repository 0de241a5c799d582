package ldap_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"clacks/backends"
	"clacks/internal/testservers"
)

// The benchmarks measure the driver beside bare go-ldap on the same server, in one run, since the machine's own speed
// changes from run to run.

var personAttributes = []string{"objectClass", "cn", "sn", "givenName", "mail", "telephoneNumber", "uid", "description"}

// people adds n persons below a fresh base.
func people(b *testing.B, server *testservers.SlapdServer, n int) (base string) {
	base = newBase(b, server)
	conn := server.Conn(b)
	for i := range n {
		request := goldap.NewAddRequest(fmt.Sprintf("uid=u%d,%s", i, base), nil)
		for name, value := range map[string]string{
			"objectClass": "inetOrgPerson", "cn": fmt.Sprintf("Person %d", i), "sn": "Person", "givenName": "Any", "uid": fmt.Sprintf("u%d", i),
			"mail": fmt.Sprintf("u%d@example.net", i), "telephoneNumber": "+49 30 1234", "description": "one of many",
		} {
			request.Attribute(name, []string{value})
		}
		if err := conn.Add(request); err != nil {
			b.Fatal(err)
		}
	}
	return base
}

// parallel runs op by a number of clients.
func parallel(b *testing.B, clients int, op func(client, i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	done := make(chan error, clients)
	for client := range clients {
		go func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					done <- nil
					return
				}
				if err := op(client, i); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

// rawConns are bare connections, one a client.
func rawConns(b *testing.B, server *testservers.SlapdServer, n int) []*goldap.Conn {
	conns := make([]*goldap.Conn, n)
	for i := range conns {
		conns[i] = server.Conn(b)
	}
	return conns
}

func BenchmarkRead(b *testing.B) {
	server := testservers.Slapd(b, testservers.WithoutSync())
	base := people(b, server, 1000)
	for _, clients := range []int{1, 16} {
		conns := rawConns(b, server, clients)
		b.Run(fmt.Sprintf("raw/%d", clients), func(b *testing.B) {
			parallel(b, clients, func(client, i int) error {
				_, err := conns[client].Search(goldap.NewSearchRequest(fmt.Sprintf("uid=u%d,%s", i%1000, base), goldap.ScopeBaseObject,
					goldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", personAttributes, nil))
				return err
			})
		})
		backend := open(b, server)
		b.Run(fmt.Sprintf("driver/%d", clients), func(b *testing.B) {
			parallel(b, clients, func(_, i int) error {
				_, err := backend.Read(b.Context(), backends.Ref{DN: fmt.Sprintf("uid=u%d,%s", i%1000, base)}, personAttributes)
				return err
			})
		})
	}
}

// serial makes names and values unique: a benchmark's function runs several times.
var serial atomic.Int64

func unique() string { return fmt.Sprintf("no %d", serial.Add(1)) }

// BenchmarkModify replaces one value; each client has an entry of its own.
func BenchmarkModify(b *testing.B) {
	server := testservers.Slapd(b, testservers.WithoutSync())
	base := people(b, server, 16)
	current := make([]string, 16)
	for i := range current {
		current[i] = "one of many"
	}
	for _, clients := range []int{1, 16} {
		conns := rawConns(b, server, clients)
		b.Run(fmt.Sprintf("raw/%d", clients), func(b *testing.B) {
			parallel(b, clients, func(client, _ int) error {
				request := goldap.NewModifyRequest(fmt.Sprintf("uid=u%d,%s", client, base), nil)
				next := unique()
				request.Delete("description", []string{current[client]})
				request.Add("description", []string{next})
				current[client] = next
				return conns[client].Modify(request)
			})
		})
		backend := open(b, server)
		b.Run(fmt.Sprintf("driver/%d", clients), func(b *testing.B) {
			parallel(b, clients, func(client, _ int) error {
				next := unique()
				mod := backends.Mod{Attribute: "description", Delete: []backends.Value{current[client]}, Add: []backends.Value{next}}
				current[client] = next
				_, err := backend.Apply(b.Context(), backends.Change{
					Op: backends.OpModify, Ref: backends.Ref{DN: fmt.Sprintf("uid=u%d,%s", client, base)}, Mods: []backends.Mod{mod}})
				return err
			})
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	server := testservers.Slapd(b, testservers.WithoutSync())
	conn := server.Conn(b)
	base := newBase(b, server)
	b.Run("raw", func(b *testing.B) {
		parallel(b, 1, func(_, _ int) error {
			cn := unique()
			request := goldap.NewAddRequest("cn="+cn+","+base, nil)
			request.Attribute("objectClass", []string{"inetOrgPerson"})
			request.Attribute("cn", []string{cn})
			request.Attribute("sn", []string{"Person"})
			return conn.Add(request)
		})
	})
	backend := open(b, server)
	b.Run("driver", func(b *testing.B) {
		parallel(b, 1, func(_, _ int) error {
			cn := unique()
			_, err := backend.Apply(b.Context(), backends.Change{Op: backends.OpCreate, Ref: backends.Ref{DN: "cn=" + cn + "," + base},
				Add: backends.Values{"objectClass": {"inetOrgPerson"}, "cn": {cn}, "sn": {"Person"}}})
			return err
		})
	})
}

func BenchmarkSearch(b *testing.B) {
	server := testservers.Slapd(b, testservers.WithoutSync())
	const n = 5000
	base := people(b, server, n)
	conn := server.Conn(b)
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			result, err := conn.SearchWithPaging(goldap.NewSearchRequest(base, goldap.ScopeSingleLevel, goldap.NeverDerefAliases, 0, 0, false,
				"(objectClass=*)", personAttributes, nil), 1000)
			if err != nil || len(result.Entries) != n {
				b.Fatal(len(result.Entries), err)
			}
		}
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
	})
	backend := open(b, server)
	b.Run("driver", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			found := 0
			for _, err := range backend.Search(b.Context(), backends.Query{Base: base, Scope: backends.ScopeOne, Attributes: personAttributes}) {
				if err != nil {
					b.Fatal(err)
				}
				found++
			}
			if found != n {
				b.Fatal(found)
			}
		}
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
	})
}
