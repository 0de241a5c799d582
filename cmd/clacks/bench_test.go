package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/jackc/pgx/v5/pgxpool"

	"clacks/access"
	"clacks/internal/testservers"
	"clacks/objects"
)

// These benchmarks hold Clacks against the same servers used without it, in one run: each alternates short rounds of the
// bare loop and of the object layer, and reports both rates and their ratio (of the medians). `make bench` runs them once
// each; the number of iterations that go test chooses has no meaning here.

const (
	benchUsers  = 10_000
	benchRounds = 5
	benchRound  = time.Second
)

var benchAdmin = access.User{ID: "admin", Admin: true}

// benchmark is a service in this process on real servers with 10,000 users, and bare connections to the same servers.
type benchmark struct {
	slapd    *testservers.SlapdServer
	database string
	config   string
	data     string
	app      *app
	pool     *pgxpool.Pool
	people   string
	dns      []string
	logins   []string
}

// newBenchmark starts the servers, loads the users past Clacks, and lets it index them.
func newBenchmark(b *testing.B) *benchmark {
	b.Helper()
	m := &benchmark{slapd: testservers.Slapd(b), data: b.TempDir()}
	m.database = testservers.Postgres(b).NewDatabase(b)
	m.config = filepath.Join(m.data, "clacks.yaml")
	writeFile(b, m.config, serverConfig(m.slapd, m.database))
	m.people = "ou=people," + m.slapd.Base
	pool, err := pgxpool.New(b.Context(), m.database)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	m.pool = pool
	m.load(b)
	m.app = m.open(b)
	return m
}

// open builds the service and waits until it is ready.
func (m *benchmark) open(b *testing.B) *app {
	b.Helper()
	command := serveCommand{Config: m.config, Data: m.data, Definitions: []string{exampleDefinitions}, SQLSchema: exampleSchema}
	config, err := command.configuration()
	if err != nil {
		b.Fatal(err)
	}
	a, err := build(b.Context(), config, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(a.close)
	if err := a.start(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := a.objects.Ready(); err != nil {
		b.Fatal(err)
	}
	return a
}

// load writes the users into the directory and the database directly.
func (m *benchmark) load(b *testing.B) {
	b.Helper()
	conn := m.dial(b)
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	add := goldap.NewAddRequest(m.people, nil)
	add.Attribute("objectClass", []string{"organizationalUnit"})
	add.Attribute("ou", []string{"people"})
	must(conn.Add(add))
	schema, err := os.ReadFile(exampleSchema)
	must(err)
	_, err = m.pool.Exec(b.Context(), string(schema))
	must(err)
	for i := range benchUsers {
		login := fmt.Sprintf("user%05d", i)
		dn := fmt.Sprintf("cn=Given Surname%05d,%s", i, m.people)
		m.dns, m.logins = append(m.dns, dn), append(m.logins, login)
		add := goldap.NewAddRequest(dn, nil)
		add.Attribute("objectClass", []string{"inetOrgPerson"})
		for name, value := range map[string]string{
			"uid": login, "cn": fmt.Sprintf("Given Surname%05d", i), "sn": fmt.Sprintf("Surname%05d", i), "givenName": "Given",
			"mail": login + "@example.net", "telephoneNumber": fmt.Sprintf("+49 2932 %05d", i),
			"displayName": fmt.Sprintf("Given Surname%05d", i), "title": "Engineer", "l": "Arnsberg", "roomNumber": "17",
		} {
			add.Attribute(name, []string{value})
		}
		must(conn.Add(add))
	}
	_, err = m.pool.Exec(b.Context(), `INSERT INTO employees (login, badge_number, cost_center)
		SELECT 'user' || lpad(i::text, 5, '0'), 'B-' || i, 4700 FROM generate_series(0, $1) AS i`, benchUsers-1)
	must(err)
}

// dial is a bare, bound connection to the directory.
func (m *benchmark) dial(b *testing.B) *goldap.Conn {
	b.Helper()
	conn, err := goldap.DialURL(m.slapd.URI)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	if err := conn.Bind(m.slapd.BindDN, m.slapd.Password); err != nil {
		b.Fatal(err)
	}
	return conn
}

// work is one iteration by one of the clients; it answers how many units it did.
type work func(client int, random *rand.Rand) (int, error)

// rate runs work by clients for a round and answers units a second.
func rate(b *testing.B, clients int, f work) float64 {
	b.Helper()
	var units atomic.Int64
	var wait sync.WaitGroup
	start := time.Now()
	deadline := start.Add(benchRound)
	for client := range clients {
		wait.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), uint64(start.UnixNano())))
			for time.Now().Before(deadline) {
				n, err := f(client, random)
				if err != nil {
					b.Error(err)
					return
				}
				units.Add(int64(n))
			}
		})
	}
	wait.Wait()
	return float64(units.Load()) / time.Since(start).Seconds()
}

// compare alternates both and reports their medians.
func compare(b *testing.B, clients int, bare, ours work) {
	b.Helper()
	var x, y []float64
	for round := range benchRounds + 1 {
		rx, ry := rate(b, clients, bare), rate(b, clients, ours)
		if b.Failed() {
			return
		}
		if round > 0 { // the first one warms up
			x, y = append(x, rx), append(y, ry)
		}
	}
	slices.Sort(x)
	slices.Sort(y)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(x[len(x)/2], "bare/s")
	b.ReportMetric(y[len(y)/2], "clacks/s")
	b.ReportMetric(y[len(y)/2]/x[len(x)/2], "ratio")
}

// BenchmarkServers runs all comparisons on one set of servers: loading them costs most.
func BenchmarkServers(b *testing.B) {
	m := newBenchmark(b)
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("open/clients=%d", clients), func(b *testing.B) { m.benchOpen(b, clients) })
	}
	b.Run("list", m.benchList)
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("commit/clients=%d", clients), func(b *testing.B) { m.benchCommit(b, clients) })
	}
	b.Run("create/siblings", m.benchSiblings)
	b.Run("restart", m.benchRestart)
	b.Run("memory", m.benchMemory)
}

// benchOpen: a base read of the whole entry, and the object (its directory entry and its row).
func (m *benchmark) benchOpen(b *testing.B, clients int) {
	conns := make([]*goldap.Conn, clients)
	for i := range conns {
		conns[i] = m.dial(b)
	}
	compare(b, clients, func(client int, random *rand.Rand) (int, error) {
		dn := m.dns[random.IntN(len(m.dns))]
		found, err := conns[client].Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", nil, nil))
		if err == nil && len(found.Entries) != 1 {
			err = fmt.Errorf("%s: %d entries", dn, len(found.Entries))
		}
		return 1, err
	}, func(_ int, random *rand.Rand) (int, error) {
		_, err := m.app.objects.Get(context.Background(), benchAdmin, m.dns[random.IntN(len(m.dns))], nil)
		return 1, err
	})
}

// benchList: all users with all attributes, page by page.
func (m *benchmark) benchList(b *testing.B) {
	conn := m.dial(b)
	compare(b, 1, func(int, *rand.Rand) (int, error) {
		found, err := conn.SearchWithPaging(goldap.NewSearchRequest(m.people, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0,
			false, "(objectClass=inetOrgPerson)", nil, nil), 1000)
		if err != nil {
			return 0, err
		}
		return len(found.Entries), nil
	}, func(int, *rand.Rand) (int, error) {
		n, cursor := 0, ""
		for {
			page, err := m.app.objects.Search(context.Background(), benchAdmin, objects.SearchRequest{
				Type: "User", Base: m.people, Limit: 1000, Cursor: cursor,
			})
			if err != nil {
				return n, err
			}
			n += len(page.Objects)
			if cursor = page.Cursor; cursor == "" {
				return n, nil
			}
		}
	})
}

// benchCommit: one attribute in the directory and one column, with an event, against a loop written by hand: intent,
// directory, rows with outbox.
func (m *benchmark) benchCommit(b *testing.B, clients int) {
	ctx := context.Background()
	if _, err := m.pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS bench_intent (id bigserial PRIMARY KEY, dn text, plan text, done bool);
		CREATE TABLE IF NOT EXISTS bench_outbox (id bigserial PRIMARY KEY, document text)`); err != nil {
		b.Fatal(err)
	}
	conns := make([]*goldap.Conn, clients)
	for i := range conns {
		conns[i] = m.dial(b)
	}
	var number atomic.Int64
	compare(b, clients, func(client int, random *rand.Rand) (int, error) {
		return 1, m.handWritten(ctx, conns[client], pick(client, clients, random), number.Add(1))
	}, func(client int, random *rand.Rand) (int, error) {
		n := number.Add(1)
		_, err := m.app.objects.Update(ctx, benchAdmin, objects.UpdateRequest{
			ID:      m.dns[pick(client, clients, random)],
			Changes: map[string]any{"title": fmt.Sprintf("Engineer %d", n), "costCenter": n},
		})
		return 1, err
	})
}

// pick chooses a user of the client's own: the comparison is not about conflicts.
func pick(client, clients int, random *rand.Rand) int {
	return random.IntN(benchUsers/clients)*clients + client
}

func (m *benchmark) handWritten(ctx context.Context, conn *goldap.Conn, user int, n int64) error {
	var id int64
	plan := fmt.Sprintf(`{"title":"Engineer %d","costCenter":%d}`, n, n)
	err := m.pool.QueryRow(ctx, `INSERT INTO bench_intent (dn, plan, done) VALUES ($1, $2, false) RETURNING id`, m.dns[user], plan).Scan(&id)
	if err != nil {
		return err
	}
	modify := goldap.NewModifyRequest(m.dns[user], nil)
	modify.Replace("title", []string{fmt.Sprintf("Engineer %d", n)})
	if err := conn.Modify(modify); err != nil {
		return err
	}
	tx, err := m.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`UPDATE employees SET cost_center = $2 WHERE login = $1`, []any{m.logins[user], n}},
		{`INSERT INTO bench_outbox (document) VALUES ($1)`, []any{"<Event><ObjectChanged>" + plan + "</ObjectChanged></Event>"}},
		{`UPDATE bench_intent SET done = true WHERE id = $1`, []any{id}},
	} {
		if _, err := tx.Exec(ctx, statement.sql, statement.args...); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// benchSiblings: a create beside 10 entries and beside 10,000.
func (m *benchmark) benchSiblings(b *testing.B) {
	ctx := context.Background()
	made, err := m.app.objects.Create(ctx, benchAdmin, objects.CreateRequest{
		Type: "OrganizationalUnit", Base: m.slapd.Base, Attributes: map[string]any{"ou": "few"},
	})
	if err != nil {
		b.Fatal(err)
	}
	var number atomic.Int64
	create := func(base string) work {
		return func(int, *rand.Rand) (int, error) {
			id := fmt.Sprintf("made%d", number.Add(1))
			result, err := m.app.objects.Create(ctx, benchAdmin, objects.CreateRequest{Type: "User", Base: base, Attributes: map[string]any{
				"uid": id, "cn": id, "sn": id, "givenName": "Given",
			}})
			if err == nil && base == made.DN {
				_, err = m.app.objects.Delete(ctx, benchAdmin, objects.DeleteRequest{ID: result.UUID})
			} else if err == nil {
				_, err = m.app.objects.Delete(ctx, benchAdmin, objects.DeleteRequest{ID: result.UUID})
			}
			return 1, err
		}
	}
	for range 10 {
		id := fmt.Sprintf("few%d", number.Add(1))
		if _, err := m.app.objects.Create(ctx, benchAdmin, objects.CreateRequest{Type: "User", Base: made.DN, Attributes: map[string]any{
			"uid": id, "cn": id, "sn": id, "givenName": "Given",
		}}); err != nil {
			b.Fatal(err)
		}
	}
	compare(b, 1, create(made.DN), create(m.people))
}

// benchRestart: from nothing to ready, with 10,000 users indexed by the run before.
func (m *benchmark) benchRestart(b *testing.B) {
	var seconds []float64
	for range 3 {
		start := time.Now()
		a := m.open(b)
		seconds = append(seconds, time.Since(start).Seconds())
		found, err := a.objects.Search(b.Context(), benchAdmin, objects.SearchRequest{Type: "User", Limit: 1, Total: true})
		if err != nil {
			b.Fatal(err)
		}
		if found.Total < benchUsers {
			b.Fatalf("%d users after the restart, not %d", found.Total, benchUsers)
		}
	}
	slices.Sort(seconds)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(seconds[1], "s-to-ready")
}

// benchMemory: the resident set of a separate process that has listed all users.
func (m *benchmark) benchMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	s := mustStart(b, "--config", m.config, "--data", m.data, "--definitions", exampleDefinitions, "--sql-schema", exampleSchema)
	cursor := ""
	for {
		var page struct {
			Cursor string `json:"cursor"`
		}
		params := map[string]any{"type": "User", "limit": 1000}
		if cursor != "" {
			params["cursor"] = cursor
		}
		s.mustCall("searchObjects", params, &page)
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(resident(b, s.cmd.Process.Pid), "MiB")
	s.stop()
}

// resident is the resident set of a process in MiB.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
