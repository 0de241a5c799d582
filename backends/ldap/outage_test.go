package ldap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"clacks"
	"clacks/backends"
	"clacks/backends/ldap"
	"clacks/internal/testservers"
)

// create is the change that creates an organizationalUnit.
func create(base, ou string) backends.Change {
	return backends.Change{
		Op: backends.OpCreate, Ref: backends.Ref{DN: "ou=" + ou + "," + base},
		Add: backends.Values{"objectClass": {"organizationalUnit"}, "ou": {ou}},
	}
}

// eventually repeats a step until it succeeds.
func eventually(t *testing.T, step func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := step()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func wantKind(t *testing.T, what string, err error, kind clacks.Kind) {
	t.Helper()
	if !clacks.IsKind(err, kind) {
		t.Fatalf("%s: %v (%v), want %v", what, err, clacks.KindOf(err), kind)
	}
}

func TestComesBackAfterTheServerDid(t *testing.T) {
	server := testservers.Slapd(t)
	backend := open(t, server)
	read := func() error {
		_, err := backend.Read(t.Context(), backends.Ref{DN: server.Base}, []string{"dc"})
		return err
	}
	for _, end := range []func() error{server.Kill, server.Stop} {
		// Several connections, so that more than one is dead afterwards.
		var readers sync.WaitGroup
		for range 8 {
			readers.Go(func() {
				if err := read(); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "read", read(), clacks.Unavailable)
		_, err := backend.Apply(t.Context(), create(server.Base, "never"))
		wantKind(t, "create", err, clacks.Unavailable)
		wantKind(t, "ping", backend.Ping(t.Context()), clacks.Unavailable)
		wantKind(t, "bind", backend.Bind(t.Context(), server.BindDN, server.Password), clacks.Unavailable)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return backend.Ping(t.Context()) })
		_, err = backend.Read(t.Context(), backends.Ref{DN: "ou=never," + server.Base}, nil)
		wantKind(t, "read of what was not created", err, clacks.NotFound)
	}
}

// load is a crowd of clients that create entries until they are stopped, and how each creation ended.
type load struct {
	backend *ldap.Backend
	base    string
	stop    chan struct{}
	clients sync.WaitGroup

	mu       sync.Mutex
	outcomes map[string]error // by the name of the unit
}

func startLoad(t *testing.T, backend *ldap.Backend, base string) *load {
	l := &load{backend: backend, base: base, stop: make(chan struct{}), outcomes: map[string]error{}}
	for client := range 8 {
		l.clients.Go(func() { l.create(t.Context(), client) })
	}
	return l
}

func (l *load) create(ctx context.Context, client int) {
	for i := 0; ; i++ {
		ou := fmt.Sprintf("w%d-%d", client, i)
		_, err := l.backend.Apply(ctx, create(l.base, ou))
		l.mu.Lock()
		l.outcomes[ou] = err
		l.mu.Unlock()
		pause := time.Duration(0)
		if clacks.IsKind(err, clacks.Unavailable) {
			pause = time.Millisecond // the server is away: do not fill the map
		}
		select {
		case <-l.stop:
			return
		case <-time.After(pause):
		}
	}
}

// acknowledged is how many creations have succeeded.
func (l *load) acknowledged() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.outcomes {
		if err == nil {
			n++
		}
	}
	return n
}

// TestKilledServerTellsNoLies lets clients create entries while the server is killed again and again. What was
// acknowledged must be there, what was refused as not applied must not; only what is in doubt may be either.
func TestKilledServerTellsNoLies(t *testing.T) {
	server := testservers.Slapd(t)
	backend := open(t, server)
	base := newBase(t, server)
	l := startLoad(t, backend, base)
	for range 5 {
		before := l.acknowledged()
		eventually(t, func() error {
			if l.acknowledged() < before+50 {
				return errors.New("too few entries were created")
			}
			return nil
		})
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	close(l.stop)
	l.clients.Wait()
	eventually(t, func() error { return backend.Ping(t.Context()) })
	present := map[string]bool{}
	for entry, err := range backend.Search(t.Context(), backends.Query{Base: base, Scope: backends.ScopeOne, Attributes: []string{"ou"}}) {
		if err != nil {
			t.Fatal(err)
		}
		present[entry.Values["ou"][0].(string)] = true
	}
	for ou, err := range l.outcomes {
		switch {
		case err == nil && !present[ou]:
			t.Errorf("%s was acknowledged and is not there", ou)
		case clacks.IsKind(err, clacks.Unavailable) && present[ou]:
			t.Errorf("%s was definitely not created, but is there: %v", ou, err)
		case err != nil && !clacks.IsKind(err, clacks.Unavailable) && !clacks.IsKind(err, clacks.InDoubt):
			t.Errorf("%s: %v", ou, err)
		}
	}
}

// throughProxy is a driver that reaches the server through a proxy.
func throughProxy(t *testing.T, change ...func(*ldap.Options)) (*ldap.Backend, *testservers.SlapdServer, *testservers.TCPProxy) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	proxy := testservers.Proxy(t, server.Addr)
	change = append([]func(*ldap.Options){func(o *ldap.Options) { o.URIs = []string{"ldap://" + proxy.Addr} }}, change...)
	backend := open(t, server, change...)
	if err := backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return backend, server, proxy
}

// mentions matches requests that contain a text.
func mentions(text string) func([]byte) bool {
	return func(request []byte) bool { return bytes.Contains(request, []byte(text)) }
}

func TestLostWritesAreInDoubt(t *testing.T) {
	backend, server, proxy := throughProxy(t)
	exists := func(ou string) bool {
		_, err := backend.Read(t.Context(), backends.Ref{DN: "ou=" + ou + "," + server.Base}, nil)
		if err != nil && !clacks.IsKind(err, clacks.NotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	proxy.CutRequest(mentions("ou=before"))
	_, err := backend.Apply(t.Context(), create(server.Base, "before"))
	wantKind(t, "cut before the request", err, clacks.InDoubt)
	if exists("before") {
		t.Fatal("a request that was cut was applied")
	}
	proxy.CutReply(mentions("ou=after"))
	_, err = backend.Apply(t.Context(), create(server.Base, "after"))
	wantKind(t, "cut before the reply", err, clacks.InDoubt)
	if !exists("after") {
		t.Fatal("the request was applied and yet is not there")
	}
	ref := backends.Ref{DN: "ou=after," + server.Base}
	for what, change := range map[string]backends.Change{
		"modify": {Op: backends.OpModify, Ref: ref, Mods: []backends.Mod{{Attribute: "description", Add: []backends.Value{"x"}}}},
		"rename": {Op: backends.OpRename, Ref: ref, To: backends.Ref{DN: "ou=later," + server.Base}},
		"delete": {Op: backends.OpDelete, Ref: backends.Ref{DN: "ou=later," + server.Base}},
	} {
		proxy.CutRequest(mentions(change.Ref.DN))
		_, err = backend.Apply(t.Context(), change)
		wantKind(t, what, err, clacks.InDoubt)
	}
	proxy.OnRequest(nil)

	// Nothing can be sent, so nothing is in doubt.
	proxy.Refuse(true)
	proxy.CutAll()
	_, err = backend.Apply(t.Context(), create(server.Base, "refused"))
	if kind := clacks.KindOf(err); kind != clacks.Unavailable && kind != clacks.InDoubt {
		t.Fatalf("the first write after the cut: %v", err)
	}
	_, err = backend.Apply(t.Context(), create(server.Base, "refused"))
	wantKind(t, "write without a connection", err, clacks.Unavailable)
	proxy.Refuse(false)
	eventually(t, func() error { return backend.Ping(t.Context()) })
	if exists("refused") {
		t.Fatal("it was applied")
	}
}

func TestReadsSurviveACutConnection(t *testing.T) {
	backend, server, proxy := throughProxy(t)
	for range 20 {
		proxy.CutAll()
		if _, err := backend.Read(t.Context(), backends.Ref{DN: server.Base}, []string{"dc"}); err != nil {
			t.Fatal(err)
		}
		proxy.CutAll()
		for _, err := range backend.Search(t.Context(), backends.Query{Base: server.Base, Scope: backends.ScopeSub, Attributes: []string{"dc"}}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	backend, server, proxy := throughProxy(t, func(o *ldap.Options) { o.RequestTimeout = 40 * short })
	read := func(ctx context.Context) error {
		_, err := backend.Read(ctx, backends.Ref{DN: server.Base}, []string{"dc"})
		return err
	}
	write := func(ctx context.Context) error {
		_, err := backend.Apply(ctx, create(server.Base, "late"))
		return err
	}
	canceled := func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(short, cancel)
		return ctx, cancel
	}
	expiring := func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), short) }
	unlimited := func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }
	for _, test := range []struct {
		what  string
		begin func() (context.Context, context.CancelFunc)
		cause error
	}{{"canceled", canceled, context.Canceled}, {"deadline", expiring, context.DeadlineExceeded}, {"request timeout", unlimited, nil}} {
		for step, kind := range map[*func(context.Context) error]clacks.Kind{&read: clacks.Unavailable, &write: clacks.InDoubt} {
			if err := read(t.Context()); err != nil { // a connection is open
				t.Fatal(err)
			}
			proxy.OnReply(func([]byte) testservers.Verdict { return testservers.Drop })
			ctx, cancel := test.begin()
			err := (*step)(ctx)
			cancel()
			wantKind(t, test.what, err, kind)
			if test.cause != nil && !errors.Is(err, test.cause) {
				t.Fatalf("%s: %v does not wrap %v", test.what, err, test.cause)
			}
			proxy.OnReply(nil)
			// The connection whose answer may still come must not be used again.
			if err := read(t.Context()); err != nil {
				t.Fatalf("%s: the next read: %v", test.what, err)
			}
			eventually(t, func() error {
				if n := proxy.Open(); n > 1 {
					return fmt.Errorf("%d connections are open", n)
				}
				return nil
			})
			if kind == clacks.InDoubt {
				if _, err := backend.Apply(t.Context(), backends.Change{Op: backends.OpDelete, Ref: backends.Ref{DN: "ou=late," + server.Base}}); err != nil {
					t.Fatalf("%s: it was applied, but: %v", test.what, err)
				}
			}
		}
	}
}

func TestPoolIsBounded(t *testing.T) {
	const size = 4
	backend, server, proxy := throughProxy(t, func(o *ldap.Options) { o.PoolSize = size })
	most := 0
	var mu sync.Mutex
	var clients sync.WaitGroup
	for client := range 64 {
		clients.Go(func() {
			c := create(server.Base, fmt.Sprintf("c%d", client))
			if _, err := backend.Apply(t.Context(), c); err != nil {
				t.Error(err)
			}
			for range 20 {
				if _, err := backend.Read(t.Context(), c.Ref, []string{"ou"}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				most = max(most, proxy.Open())
				mu.Unlock()
			}
			if _, err := backend.Apply(t.Context(), backends.Change{Op: backends.OpDelete, Ref: c.Ref}); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
	if most > size {
		t.Errorf("%d connections were open, want at most %d", most, size)
	}
	if err := backend.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := proxy.Open(); n > 0 {
			return fmt.Errorf("%d connections are open after Close", n)
		}
		return nil
	})
}

func TestBusyPoolObeysTheContext(t *testing.T) {
	backend, server, proxy := throughProxy(t, func(o *ldap.Options) { o.PoolSize = 1 })
	proxy.OnReply(func([]byte) testservers.Verdict { return testservers.Drop })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	blocked := make(chan error)
	go func() {
		_, err := backend.Read(ctx, backends.Ref{DN: server.Base}, nil)
		blocked <- err
	}()
	short, cancelShort := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancelShort()
	_, err := backend.Apply(short, create(server.Base, "waiting"))
	// It waited for the connection, or got it first and then for the answer.
	if kind := clacks.KindOf(err); kind != clacks.Unavailable && kind != clacks.InDoubt {
		t.Fatal(err)
	}
	cancel()
	wantKind(t, "the blocked read", <-blocked, clacks.Unavailable)
}

func TestSecondServer(t *testing.T) {
	server := testservers.Slapd(t, testservers.WithoutSync())
	gone := testservers.Proxy(t, server.Addr)
	backend := open(t, server, func(o *ldap.Options) { o.URIs = []string{"ldap://" + gone.Addr, server.URI} })
	if err := backend.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for range 3 {
		if _, err := backend.Read(t.Context(), backends.Ref{DN: server.Base}, nil); err != nil {
			t.Fatal(err)
		}
	}
}
