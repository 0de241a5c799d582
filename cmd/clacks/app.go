package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"clacks/access"
	"clacks/backends"
	"clacks/backends/directory"
	"clacks/backends/ldap"
	"clacks/backends/null"
	"clacks/backends/sql"
	"clacks/definitions"
	"clacks/events"
	"clacks/internal/store"
	"clacks/mapping"
	"clacks/migrations"
	"clacks/objects"
	"clacks/rpc/httpd"
	"clacks/rpc/zmqd"
)

// app is the service put together. build makes it without asking any server, so that it starts while they are down;
// prepare brings it to readiness, again and again until it succeeds.
type app struct {
	config    *Config
	log       *slog.Logger
	lock      *os.File
	state     *store.DB
	backends  map[string]backends.Backend
	databases map[string]*store.DB // of the sql backends
	events    *events.Log
	// subscriptions are those that outlive connections.
	subscriptions *events.Subscriptions
	objects       *objects.Service
	bus           *busService   // nil for none
	zmq           *zmqd.Gateway // likewise
	key           []byte
	admin         string // the administrator's password
	adminAt       string // the file that holds it, if one does

	prepared atomic.Bool
	mu       sync.Mutex
	reason   httpd.Reason // why not prepared
	told     string       // what reasons has logged last
}

// build wires the packages together, top to bottom. Its error is for the person who starts the service.
func build(ctx context.Context, config *Config, log *slog.Logger) (*app, error) {
	collectLess()
	a := &app{config: config, log: log, backends: map[string]backends.Backend{}, databases: map[string]*store.DB{}}
	if err := os.MkdirAll(config.Data, 0o700); err != nil {
		return nil, err
	}
	var err error
	if a.lock, err = lockData(config); err != nil {
		return nil, err
	}
	if err := a.assemble(ctx); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// collectLess lets the heap grow to three times what is in use before it is collected. A service uses a few tens of
// megabytes, and at Go's own setting spends a fifth of its processor time on them. The environment's GOGC stands above it.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
}

// assemble is build inside the locked data folder; what it opened before an error is closed by its caller.
func (a *app) assemble(ctx context.Context) error {
	config := a.config
	var err error
	if a.key, err = stateKey(config); err != nil {
		return err
	}
	if a.admin, a.adminAt, err = adminPassword(config); err != nil {
		return fmt.Errorf("the administrator's password: %w", err)
	}
	late := &lateLookup{}
	set, err := a.compile(late)
	if err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	if err := a.extendDirectories(set); err != nil {
		return err
	}
	schemas, err := events.LoadSchemas(config.Events.Schemas...)
	if err != nil {
		return err
	}
	a.events, err = events.Open(a.state, schemas, events.WithDomain(config.Domain), events.WithPolicy(access.Static{}), events.WithLogger(a.log))
	if err != nil {
		return err
	}
	a.subscriptions = events.NewSubscriptions(a.events, events.SubscriptionLimits{})
	name, err := owner(config)
	if err != nil {
		return err
	}
	a.objects, err = objects.New(objects.Config{
		Mappings: set, Backends: a.backends, State: a.state, Recorder: a.events, Policy: access.Static{},
		Base: config.Base, Key: a.key, Owner: name, Log: a.log,
	})
	if err != nil {
		return err
	}
	late.set(a.objects)
	a.reason = httpd.Reason{Component: "start", Reason: "starting"}
	return nil
}

// owner names the agent of this data folder in the journal. It stays the same over restarts: what its former process left
// open is its own to end, at once, without waiting for that process to count as dead.
func owner(config *Config) (string, error) {
	path := filepath.Join(config.Data, "agent")
	name, err := readSecret(path)
	if !errors.Is(err, os.ErrNotExist) {
		return name, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	name = host + "-" + randomText(9)
	return name, writeOnce(path, name+"\n")
}

// lockData makes sure that no other process works on the data folder, until the lock is closed or the process ends.
func lockData(config *Config) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(config.Data, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("another process works on the data folder %s", config.Data)
	}
	return lock, nil
}

// compile compiles the definitions; warnings are logged, errors are all in the answer.
func (a *app) compile(lookup mapping.Lookup) (*mapping.Set, error) {
	set, problems, err := compileDefinitions(a.config, lookup)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, p := range problems {
		if p.Severity == definitions.Error {
			wrong = append(wrong, p.String())
			continue
		}
		a.log.Warn("definitions", "problem", p.String())
	}
	if set == nil {
		return nil, errors.New("the definitions cannot be used:\n" + strings.Join(wrong, "\n"))
	}
	return set, nil
}

// open opens the databases and directories, which does not need them to be up.
func (a *app) open(ctx context.Context) error {
	password := ""
	if file := a.config.State.PasswordFile; file != "" {
		var err error
		if password, err = readSecret(file); err != nil {
			return fmt.Errorf("state.passwordFile: %w", err)
		}
	}
	var err error
	if a.state, err = store.Open(databaseURL(a.config.State.URL, password)); err != nil {
		return err
	}
	for name, b := range a.config.Backends {
		opened, err := a.openBackend(ctx, name, b)
		if err != nil {
			return fmt.Errorf("backend %s: %w", name, err)
		}
		a.backends[name] = opened
	}
	return nil
}

func (a *app) openBackend(ctx context.Context, name string, b BackendConfig) (backends.Backend, error) {
	secret, err := b.secret()
	if err != nil {
		return nil, err
	}
	switch b.Driver {
	case "ldap":
		return ldap.New(ldap.Options{
			URIs: b.URIs, BindDN: b.BindDN, Password: secret, Base: a.config.Base, StartTLS: b.StartTLS, CAFile: b.CAFile,
			InsecureSkipVerify: b.Insecure, AllowPlaintext: b.Plaintext, PoolSize: b.PoolSize, RequestTimeout: b.Timeout, UUIDAttribute: b.UUIDAttr, Logger: a.log,
		})
	case "directory":
		return directory.Open(ctx, "sqlite:"+filepath.Join(a.config.Data, "directory.db"), directory.Options{})
	case "sql":
		db := a.state
		if b.URL != "state" {
			if db, err = store.Open(databaseURL(b.URL, secret)); err != nil {
				return nil, err
			}
		}
		a.databases[name] = db
		return sql.New(db), nil
	case "null":
		return null.New(), nil
	}
	return nil, fmt.Errorf("there is no driver %q", b.Driver)
}

// extendDirectories makes the attributes and classes that definitions use known to the embedded directory, which has the
// standard schemas only.
func (a *app) extendDirectories(set *mapping.Set) error {
	for name, b := range a.backends {
		embedded, ok := b.(*directory.Backend)
		if !ok {
			continue
		}
		options, err := schemaOf(set, name)
		if err != nil {
			return err
		}
		if err := embedded.Extend(options); err != nil {
			return fmt.Errorf("backend %s: %w", name, err)
		}
	}
	return nil
}

// schemaOf lists the attributes and object classes of a backend that a set of definitions uses.
func schemaOf(set *mapping.Set, backend string) (directory.Options, error) {
	var options directory.Options
	for _, base := range set.Bases() {
		for _, extensions := range append([][]string{nil}, singly(set.ExtensionsOf(base))...) {
			shape, err := set.Shape(base, extensions)
			if err != nil {
				return options, err
			}
			for _, source := range shape.Sources() {
				if source.Backend != backend {
					continue
				}
				for _, attribute := range slices.Concat(source.Want, source.Writes) {
					name, _, _ := strings.Cut(attribute, ";")
					options.ExtraAttributes = append(options.ExtraAttributes, name)
				}
				options.ExtraClasses = append(options.ExtraClasses, source.ObjectClasses...)
			}
		}
	}
	return options, nil
}

// singly makes a list of one of each.
func singly(names []string) [][]string {
	lists := make([][]string, len(names))
	for i, name := range names {
		lists[i] = []string{name}
	}
	return lists
}

// bootstrapper is a directory that can make its own base entry.
type bootstrapper interface {
	Bootstrap(ctx context.Context, suffix string) error
}

// prepare makes what the object service stands on: tables, schema files, the directory's base. Each step may be repeated.
func (a *app) prepare(ctx context.Context) (component string, err error) {
	if err := migrations.Up(ctx, a.state); err != nil {
		return "state", err
	}
	names := make([]string, 0, len(a.backends))
	for name := range a.backends {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := a.prepareBackend(ctx, name); err != nil {
			return "backend " + name, err
		}
	}
	return "", nil
}

func (a *app) prepareBackend(ctx context.Context, name string) error {
	b := a.backends[name]
	if err := b.Ping(ctx); err != nil {
		return err
	}
	if embedded, ok := b.(bootstrapper); ok {
		return embedded.Bootstrap(ctx, a.config.Base)
	}
	schema := a.config.Backends[name].Schema
	if schema == "" {
		return nil
	}
	script, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	return runScript(ctx, a.databases[name], string(script))
}

// runScript runs the statements of a file, which are to be repeatable (CREATE TABLE IF NOT EXISTS). A statement ends
// with a semicolon at the end of a line.
func runScript(ctx context.Context, db *store.DB, script string) error {
	var statements []store.Statement
	var current strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(strings.TrimSpace(line), "--") {
			continue
		}
		current.WriteString(line)
		if strings.HasSuffix(strings.TrimSpace(line), ";") {
			statements = append(statements, store.Statement{SQL: strings.TrimRight(strings.TrimSpace(current.String()), ";")})
			current.Reset()
		}
	}
	if rest := strings.TrimSpace(current.String()); rest != "" {
		statements = append(statements, store.Statement{SQL: rest})
	}
	_, err := db.Exec(ctx, statements...)
	return err
}

// retryDelay bounds how often a start that failed is tried again.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// start prepares until it succeeds or the context ends, and then starts the object service, which recovers what a crash
// left open.
func (a *app) start(ctx context.Context) error {
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		component, err := a.prepare(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.notReady(component, err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(delay):
		}
	}
	if err := a.objects.Start(ctx); err != nil {
		a.notReady(objectService, err)
		return err
	}
	a.prepared.Store(true)
	return nil
}

// reload compiles the definitions and loads the event schemas anew, and swaps both in; if anything is wrong, everything
// stays as it is.
func (a *app) reload() error {
	late := &lateLookup{}
	late.set(a.objects)
	set, err := a.compile(late)
	if err != nil {
		return err
	}
	schemas, err := events.LoadSchemas(a.config.Events.Schemas...)
	if err != nil {
		return err
	}
	if err := a.extendDirectories(set); err != nil {
		return err
	}
	a.objects.SetMappings(set)
	a.events.SetSchemas(schemas)
	a.log.Info("definitions reloaded")
	return nil
}

// watchFiles reloads when a definition or schema file changes, until the context ends. Files are compared by content:
// editors that replace a file and clocks that jump do not matter.
func (a *app) watchFiles(ctx context.Context, interval time.Duration) {
	last := a.fingerprint()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		now := a.fingerprint()
		if now == last {
			continue
		}
		last = now
		if err := a.reload(); err != nil {
			a.log.Error("definitions changed and are not usable; the former ones stay", "error", err)
		}
	}
}

func (a *app) fingerprint() [sha256.Size]byte {
	hash := sha256.New()
	sources, err := readDefinitions(a.config)
	if err != nil {
		_, _ = fmt.Fprintln(hash, err)
	}
	for _, s := range sources {
		_, _ = fmt.Fprintln(hash, s.Name, len(s.Data))
		_, _ = hash.Write(s.Data)
	}
	for _, folder := range a.config.Events.Schemas {
		files, _ := filepath.Glob(filepath.Join(folder, "*.xsd"))
		for _, file := range files {
			data, _ := os.ReadFile(file)
			_, _ = fmt.Fprintln(hash, file, len(data))
			_, _ = hash.Write(data)
		}
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

// prune removes the events that are older than configured, now and then, until the context ends.
func (a *app) prune(ctx context.Context, interval time.Duration) {
	if a.config.Events.MaxAge <= 0 {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		removed, err := a.events.Prune(ctx, events.Retention{
			Age: a.config.Events.MaxAge, Slowest: a.subscriptions.Slowest, Held: a.config.Events.Held,
		})
		if err != nil && ctx.Err() == nil {
			a.log.Warn("old events could not be removed", "error", err)
			continue
		}
		if removed > 0 {
			a.log.Info("old events were removed", "events", removed)
		}
	}
}

// authenticator checks the administrator and the users of the directory.
func (a *app) authenticator() *authenticator {
	binder, _ := a.backends["LDAP"].(backends.Binder)
	return &authenticator{admin: a.config.Admin.User, adminHash: sha256.Sum256([]byte(a.admin)), users: a.objects, binder: binder,
		nobody: "cn=nobody " + randomText(9) + "," + a.config.Base, prepared: a.prepared.Load}
}

// close ends everything that was opened, in the opposite order.
func (a *app) close() {
	if a.bus != nil {
		a.bus.close()
	}
	if a.objects != nil {
		a.objects.Stop()
	}
	for name, b := range a.backends {
		if err := b.Close(); err != nil {
			a.log.Warn("closing", "backend", name, "error", err)
		}
	}
	for _, db := range a.databases {
		if db != a.state {
			_ = db.Close()
		}
	}
	if a.state != nil {
		_ = a.state.Close()
	}
	_ = a.lock.Close()
}

// lateLookup lets definitions be compiled before the object service that their functions ask exists.
type lateLookup struct {
	objects atomic.Pointer[objects.Service]
}

func (l *lateLookup) set(s *objects.Service) { l.objects.Store(s) }

// Object implements mapping.Lookup.
func (l *lateLookup) Object(ctx context.Context, typeName, attribute, value string) (*mapping.Object, error) {
	return l.objects.Load().Object(ctx, typeName, attribute, value)
}

// NextNumber implements mapping.Lookup.
func (l *lateLookup) NextNumber(ctx context.Context, typeName, attribute string, from int64) (int64, error) {
	return l.objects.Load().NextNumber(ctx, typeName, attribute, from)
}
