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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/jackc/pgx/v5"
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
	benchRounds = 15
	benchRound  = time.Second / 2
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
func newBenchmark(b *testing.B, options ...testservers.PostgresOption) *benchmark {
	b.Helper()
	m := &benchmark{slapd: testservers.Slapd(b), data: b.TempDir()}
	m.database = testservers.Postgres(b, options...).NewDatabase(b)
	m.config = filepath.Join(m.data, "clacks.yaml")
	writeFile(b, m.config, serverConfig(m.slapd, m.database))
	m.people = "ou=people," + m.slapd.Base
	config, err := pgxpool.ParseConfig(m.database)
	must(b, err)
	config.MaxConns = 16 // as many as Clacks has
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	must(b, err)
	b.Cleanup(pool.Close)
	m.pool = pool
	start := time.Now()
	m.load(b)
	loaded := time.Now()
	m.app = m.open(b)
	b.Cleanup(m.shut)
	m.warm(b)
	b.Logf("%d users loaded in %v, indexed in %v", benchUsers, loaded.Sub(start), time.Since(loaded))
	return m
}

// open builds the service and waits until it is ready; the caller closes it.
func (m *benchmark) open(b *testing.B) *app {
	b.Helper()
	command := serveCommand{Config: m.config, Data: m.data, AMQP: off, Definitions: []string{exampleDefinitions}, SQLSchema: exampleSchema}
	config, err := command.configuration()
	if err != nil {
		b.Fatal(err)
	}
	a, err := build(b.Context(), config, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		b.Fatal(err)
	}
	must(b, a.start(b.Context()))
	must(b, a.objects.Ready())
	return a
}

// warm opens every user once, as in a service that has run for a while.
func (m *benchmark) warm(b *testing.B) {
	b.Helper()
	for _, dn := range m.dns {
		_, err := m.app.objects.Get(b.Context(), benchAdmin, dn, nil)
		must(b, err)
	}
}

// load writes the users into the directory and the database directly. The directory syncs its disk only afterwards: the
// loading is not measured.
func (m *benchmark) load(b *testing.B) {
	b.Helper()
	m.syncDirectory(b, false)
	conn := m.dial(b)
	add := goldap.NewAddRequest(m.people, nil)
	add.Attribute("objectClass", []string{"organizationalUnit"})
	add.Attribute("ou", []string{"people"})
	must(b, conn.Add(add))
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
		must(b, conn.Add(add))
	}
	m.syncDirectory(b, true)
	schema, err := os.ReadFile(exampleSchema)
	must(b, err)
	_, err = m.pool.Exec(b.Context(), string(schema))
	must(b, err)
	_, err = m.pool.Exec(b.Context(), `INSERT INTO employees (login, badge_number, cost_center)
		SELECT 'user' || lpad(i::text, 5, '0'), 'B-' || i, 4700 FROM generate_series(0, $1) AS i`, benchUsers-1)
	must(b, err)
}

// syncDirectory lets the directory wait for its disk, or not, from the next change on.
func (m *benchmark) syncDirectory(b *testing.B, on bool) {
	b.Helper()
	conn, err := goldap.DialURL(m.slapd.LDAPI)
	must(b, err)
	defer func() { _ = conn.Close() }()
	must(b, conn.ExternalBind())
	found, err := conn.Search(goldap.NewSearchRequest("cn=config", goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false,
		"(olcDbDirectory=*)", []string{"dn"}, nil))
	must(b, err)
	for _, database := range found.Entries {
		modify := goldap.NewModifyRequest(database.DN, nil)
		modify.Replace("olcDbNoSync", []string{strings.ToUpper(strconv.FormatBool(!on))})
		must(b, conn.Modify(modify))
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
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

// side is something that Clacks is compared with.
type side struct {
	name string
	work work
}

// compare alternates Clacks with the others and reports the medians of the rates, and of the ratios to each.
func compare(b *testing.B, clients int, clacks work, others ...side) {
	b.Helper()
	all := append(others, side{"clacks", clacks})
	rates := make([][]float64, len(all))
	for round := range benchRounds + 1 {
		for i, s := range all {
			r := rate(b, clients, s.work)
			if b.Failed() {
				return
			}
			if round > 0 { // the first one warms up
				rates[i] = append(rates[i], r)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, s := range all {
		if i < len(others) {
			b.ReportMetric(median(ratios(rates[len(others)], rates[i])), "ratio-to-"+s.name)
		}
		b.ReportMetric(median(rates[i]), s.name+"/s")
	}
}

// ratios holds each round of ours against the same round of another side: what slows the machine for a while slows both.
func ratios(ours, others []float64) []float64 {
	list := make([]float64, len(ours))
	for i := range list {
		list[i] = ours[i] / others[i]
	}
	return list
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
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
	for name, query := range map[string]string{"all": "", "xquery": `/Event/ObjectChanged/Attributes/Attribute[@name = 'badgeNumber']`} {
		b.Run("events/"+name, func(b *testing.B) { m.benchEvents(b, query) })
	}
	b.Run("siblings", m.benchSiblings)
	b.Run("restart", m.benchRestart)
	b.Run("memory", m.benchMemory)
}

// benchOpen: a base read of the whole entry, and the object (its directory entry and its row).
func (m *benchmark) benchOpen(b *testing.B, clients int) {
	conns := make([]*goldap.Conn, clients)
	for i := range conns {
		conns[i] = m.dial(b)
	}
	compare(b, clients, func(_ int, random *rand.Rand) (int, error) {
		_, err := m.app.objects.Get(context.Background(), benchAdmin, m.dns[random.IntN(len(m.dns))], nil)
		return 1, err
	}, side{"bare", func(client int, random *rand.Rand) (int, error) {
		dn := m.dns[random.IntN(len(m.dns))]
		found, err := conns[client].Search(goldap.NewSearchRequest(dn, goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", nil, nil))
		if err == nil && len(found.Entries) != 1 {
			err = fmt.Errorf("%s: %d entries", dn, len(found.Entries))
		}
		return 1, err
	}})
}

// benchList: all users with all attributes, page by page.
func (m *benchmark) benchList(b *testing.B) {
	conn := m.dial(b)
	compare(b, 1, func(int, *rand.Rand) (int, error) {
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
	}, side{"bare", func(int, *rand.Rand) (int, error) {
		found, err := conn.SearchWithPaging(goldap.NewSearchRequest(m.people, goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0,
			false, "(objectClass=inetOrgPerson)", nil, nil), 1000)
		if err != nil {
			return 0, err
		}
		return len(found.Entries), nil
	}})
}

// benchCommit: one attribute in the directory and one column, with an event, against a loop written by hand: a durable
// intent, the directory, then the row, an outbox and the end of the intent in one transaction. "bare" sends the statements
// of that transaction one by one, as most programs do; "batch" sends them in one round trip. "careful" does as "bare", but
// looks at the entry and the row before, and writes only if the entry is still that one: without it, what others have
// changed meanwhile is overwritten.
func (m *benchmark) benchCommit(b *testing.B, clients int) {
	ctx := context.Background()
	_, err := m.pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS bench_intent (id bigserial PRIMARY KEY, dn text, plan text, done bool);
		CREATE TABLE IF NOT EXISTS bench_outbox (id bigserial PRIMARY KEY, document text)`)
	must(b, err)
	conns := make([]*goldap.Conn, clients)
	for i := range conns {
		conns[i] = m.dial(b)
	}
	var number atomic.Int64
	byHand := func(side int, careful bool, finish func(context.Context, int64, int, int64) error) work {
		return func(client int, random *rand.Rand) (int, error) {
			user := pick(side, client, clients, random)
			var guard []goldap.Control
			if careful {
				var err error
				if guard, err = m.look(ctx, conns[client], user); err != nil {
					return 0, err
				}
			}
			return 1, m.byHand(ctx, conns[client], user, number.Add(1), guard, finish)
		}
	}
	compare(b, clients, func(client int, random *rand.Rand) (int, error) {
		n := number.Add(1)
		_, err := m.app.objects.Update(ctx, benchAdmin, objects.UpdateRequest{
			ID:      m.dns[pick(0, client, clients, random)],
			Changes: map[string]any{"title": fmt.Sprintf("Engineer %d", n), "costCenter": n},
		})
		return 1, err
	}, side{"bare", byHand(1, false, m.finishOneByOne)}, side{"batch", byHand(2, false, m.finishBatch)},
		side{"careful", byHand(3, true, m.finishOneByOne)})
}

// pick chooses a user of the side's and the client's own: the comparison is not about conflicts, nor about what Clacks
// does when others write into its backends.
func pick(side, client, clients int, random *rand.Rand) int {
	const sides = 4
	return (random.IntN(benchUsers/clients/sides)*clients+client)*sides + side
}

const assertionOID = "1.3.6.1.1.12"

// look reads a user's entry and row, and returns the assertion that the entry is still that one (RFC 4528).
func (m *benchmark) look(ctx context.Context, conn *goldap.Conn, user int) ([]goldap.Control, error) {
	found, err := conn.Search(goldap.NewSearchRequest(m.dns[user], goldap.ScopeBaseObject, goldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"*", "entryCSN"}, nil))
	if err != nil {
		return nil, err
	}
	var badge string
	var center int64
	err = m.pool.QueryRow(ctx, `SELECT badge_number, cost_center FROM employees WHERE login = $1`, m.logins[user]).Scan(&badge, &center)
	if err != nil {
		return nil, err
	}
	filter, err := goldap.CompileFilter("(entryCSN=" + found.Entries[0].GetAttributeValue("entryCSN") + ")")
	if err != nil {
		return nil, err
	}
	return []goldap.Control{goldap.NewControlString(assertionOID, true, string(filter.Bytes()))}, nil
}

// byHand is one commit without Clacks.
func (m *benchmark) byHand(ctx context.Context, conn *goldap.Conn, user int, n int64, guard []goldap.Control,
	finish func(ctx context.Context, intent int64, user int, n int64) error) error {
	var intent int64
	err := m.pool.QueryRow(ctx, `INSERT INTO bench_intent (dn, plan, done) VALUES ($1, $2, false) RETURNING id`,
		m.dns[user], benchPlan(n)).Scan(&intent)
	if err != nil {
		return err
	}
	modify := goldap.NewModifyRequest(m.dns[user], guard)
	modify.Replace("title", []string{fmt.Sprintf("Engineer %d", n)})
	if err := conn.Modify(modify); err != nil {
		return err
	}
	return finish(ctx, intent, user, n)
}

func benchPlan(n int64) string { return fmt.Sprintf(`{"title":"Engineer %d","costCenter":%d}`, n, n) }

// finishBatch ends a commit in one round trip, which PostgreSQL makes one transaction.
func (m *benchmark) finishBatch(ctx context.Context, intent int64, user int, n int64) error {
	var batch pgx.Batch
	batch.Queue(`UPDATE employees SET cost_center = $2 WHERE login = $1`, m.logins[user], n)
	batch.Queue(`INSERT INTO bench_outbox (document) VALUES ($1)`, "<Event><ObjectChanged>"+benchPlan(n)+"</ObjectChanged></Event>")
	batch.Queue(`UPDATE bench_intent SET done = true WHERE id = $1`, intent)
	return m.pool.SendBatch(ctx, &batch).Close()
}

// finishOneByOne ends a commit statement by statement.
func (m *benchmark) finishOneByOne(ctx context.Context, intent int64, user int, n int64) error {
	tx, err := m.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err = tx.Exec(ctx, `UPDATE employees SET cost_center = $2 WHERE login = $1`, m.logins[user], n); err != nil {
		return err
	}
	document := "<Event><ObjectChanged>" + benchPlan(n) + "</ObjectChanged></Event>"
	if _, err = tx.Exec(ctx, `INSERT INTO bench_outbox (document) VALUES ($1)`, document); err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, `UPDATE bench_intent SET done = true WHERE id = $1`, intent); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// benchSiblings: a create and a delete beside 10,000 entries, against the same beside 10.
func (m *benchmark) benchSiblings(b *testing.B) {
	ctx := context.Background()
	few, err := m.app.objects.Create(ctx, benchAdmin, objects.CreateRequest{
		Type: "OrganizationalUnit", Base: m.slapd.Base, Attributes: map[string]any{"ou": "few"},
	})
	must(b, err)
	var number atomic.Int64
	create := func(base string) (*objects.Result, error) {
		id := fmt.Sprintf("made%d", number.Add(1))
		return m.app.objects.Create(ctx, benchAdmin, objects.CreateRequest{Type: "User", Base: base, Attributes: map[string]any{
			"uid": id, "cn": id, "sn": id, "givenName": "Given",
		}})
	}
	for range 10 {
		_, err := create(few.DN)
		must(b, err)
	}
	both := func(base string) work {
		return func(int, *rand.Rand) (int, error) {
			made, err := create(base)
			if err == nil {
				_, err = m.app.objects.Delete(ctx, benchAdmin, objects.DeleteRequest{ID: made.UUID})
			}
			return 2, err
		}
	}
	compare(b, 1, both(m.people), side{"few", both(few.DN)})
}

// benchRestart: from nothing to ready, with 10,000 users indexed by the run before. The service stays closed after it.
func (m *benchmark) benchRestart(b *testing.B) {
	m.shut()
	var seconds []float64
	for range 3 {
		start := time.Now()
		m.app = m.open(b)
		seconds = append(seconds, time.Since(start).Seconds())
		found, err := m.app.objects.Search(b.Context(), benchAdmin, objects.SearchRequest{Type: "User", Limit: 1, Total: true})
		must(b, err)
		if found.Total < benchUsers {
			b.Fatalf("%d users after the restart, not %d", found.Total, benchUsers)
		}
		m.shut()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(seconds), "s-to-ready")
}

// shut closes the service, if it is open.
func (m *benchmark) shut() {
	if m.app != nil {
		m.app.close()
		m.app = nil
	}
}

// benchMemory: the resident set of a separate process that has listed all users.
func (m *benchmark) benchMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	m.shut()
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
