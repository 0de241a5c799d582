package testservers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a PostgreSQL server with the superuser "app" (no password, loopback only) and the database "clacks".
// The fields are constant after StartPostgres; the methods may be called from many goroutines.
type PostgresServer struct {
	URL  string // postgres://app@127.0.0.1:PORT/clacks?sslmode=disable
	Addr string // 127.0.0.1:PORT, for Proxy
	Dir  string // the data folder

	folder     string // where the programs are
	log        string
	settings   []string
	credential *syscall.Credential // of whom the server runs as; nil for ourselves
	mu         sync.Mutex
	process    *process // nil while stopped
	databases  atomic.Int64
}

// PostgresOption changes the server that StartPostgres makes.
type PostgresOption func(*PostgresServer)

// WithSetting sets a configuration parameter: WithSetting("fsync", "off"). The default is PostgreSQL's own, fsync on.
func WithSetting(name, value string) PostgresOption {
	return func(s *PostgresServer) { s.settings = append(s.settings, "-c", name+"="+value) }
}

// Postgres starts a PostgreSQL server for one test, which may kill it, and stops it at the test's end. A test that only
// needs a database takes one of SharedPostgres, which is much cheaper.
func Postgres(t testing.TB, options ...PostgresOption) *PostgresServer {
	t.Helper()
	// Not t.TempDir: the user as whom the server runs may not enter that folder.
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := StartPostgres(dir, options...)
	require(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	return server
}

var shared struct {
	sync.Mutex
	server *PostgresServer
	err    error
}

// SharedPostgres is the one server of this test binary, started by the first test that asks for it. A test takes its own
// database from it (NewDatabase) and never stops it; it ends, and its folder disappears, with the process.
func SharedPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = startShared()
	}
	require(t, shared.err)
	return shared.server
}

func startShared() (*PostgresServer, error) {
	dir, err := os.MkdirTemp("", "postgres")
	if err != nil {
		return nil, err
	}
	if err := removeAtExit(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return StartPostgres(dir)
}

// keepOpen holds the write ends of the pipes whose closing, by the end of this process, wakes the shells of removeAtExit.
var keepOpen []io.Closer

// removeAtExit removes a folder once this process has ended, however it ended. A test binary has no other hook for
// that which also works after a panic or a time-out.
func removeAtExit(dir string) error {
	// The servers get their death signal at the same moment and may still write; hence more than one attempt.
	const script = `cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$0" 2>/dev/null && exit; sleep 1; done`
	command := exec.Command("sh", "-c", script, dir)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the shell that removes %s: %w", dir, err)
	}
	keepOpen = append(keepOpen, pipe)
	return nil
}

// StartPostgres makes a database cluster in dir, which must be empty, and starts a server on it. When this process is
// root the server runs as another user, since PostgreSQL refuses root; dir is given to that user, and its parents must
// let him in. The error is a *MissingError when PostgreSQL is not installed. The caller stops the server and removes dir.
func StartPostgres(dir string, options ...PostgresOption) (*PostgresServer, error) {
	initdb, ok := find("initdb", "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/usr/pgsql-*/bin")
	if !ok {
		return nil, &MissingError{Program: "postgres", Hint: "Debian: apt-get install postgresql"}
	}
	server := &PostgresServer{
		Dir: filepath.Join(dir, "data"), folder: filepath.Dir(initdb), log: filepath.Join(dir, "postgres.log"),
	}
	for _, option := range options {
		option(server)
	}
	if os.Geteuid() == 0 {
		var err error
		if server.credential, err = unprivileged(dir); err != nil {
			return nil, err
		}
	}
	command := server.command("initdb", "-D", server.Dir, "-A", "trust", "-U", "app", "--no-sync", "-E", "UTF8", "--locale=C")
	if err := run(command); err != nil {
		return nil, err
	}
	if err := server.startOnFreePort(); err != nil {
		return nil, err
	}
	return server, nil
}

// unprivileged finds a user who is not root and gives him dir.
func unprivileged(dir string) (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("read the user %s: %w", name, err)
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, fmt.Errorf("give the folder to %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, &MissingError{Program: "a user for PostgreSQL", Hint: "it refuses to run as root"}
}

// command is one of PostgreSQL's programs, to be run as the server's user.
func (s *PostgresServer) command(program string, args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.folder, program), args...)
	command.Dir = filepath.Dir(s.Dir)
	// A fixed environment: PGDATA, PGOPTIONS or a locale of the caller's must not change the server.
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	if s.credential != nil {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	}
	return command
}

// startOnFreePort starts the server on a port that was free; another process may take it in between, so it tries again.
func (s *PostgresServer) startOnFreePort() error {
	var failures []error
	for range 5 {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		if err = s.Start(); err == nil {
			s.URL = s.database("clacks")
			return s.create("clacks")
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// database is the URL of a database of this server.
func (s *PostgresServer) database(name string) string {
	return "postgres://app@" + s.Addr + "/" + name + "?sslmode=disable"
}

// Start starts a stopped or killed server again, on the same port and data, and waits until it has recovered and answers.
func (s *PostgresServer) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return errors.New("PostgreSQL runs already")
	}
	_, port, _ := strings.Cut(s.Addr, ":")
	args := append([]string{"-D", s.Dir, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200"}, s.settings...)
	// SIGQUIT is PostgreSQL's immediate shutdown: unlike SIGKILL it also ends the server's own children at once.
	process, err := startProcess(s.command("postgres", args...), s.log, syscall.SIGQUIT)
	if err != nil {
		return err
	}
	if err := process.waitReady(s.log, s.answers); err != nil {
		_ = process.signal(syscall.SIGQUIT)
		return err
	}
	s.process = process
	return nil
}

func (s *PostgresServer) answers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.database("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Stop ends the server in an orderly way (a fast shutdown: SIGINT) and waits for it. A stopped server stays stopped
// without error.
func (s *PostgresServer) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server and its children as a crash would (SIGKILL) and waits for it.
func (s *PostgresServer) Kill() error { return s.end(syscall.SIGKILL) }

func (s *PostgresServer) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	var children []int
	if sig == syscall.SIGKILL {
		children = childrenOf(s.process.pid())
	}
	err := s.process.signal(sig)
	s.process = nil
	// Children notice the death of the server by themselves, but only after they finished what they are doing; a crash
	// leaves them no time for that.
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	// The next start is refused while one of them still holds the shared memory.
	for deadline := time.Now().Add(patience); slices.ContainsFunc(children, isAlive) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return err
}

// isAlive reports whether a process still runs; one that only nobody has waited for does not.
func isAlive(pid int) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// "PID (NAME) STATE ...", where the name may contain anything.
	_, state, _ := strings.Cut(string(content[strings.LastIndex(string(content), ")"):]), " ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// childrenOf lists the children of a process; empty where the kernel does not tell.
func childrenOf(pid int) []int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var children []int
	for _, word := range strings.Fields(string(content)) {
		if child, err := strconv.Atoi(word); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// NewDatabase creates an empty database for one test, drops it at the test's end, and returns its URL.
func (s *PostgresServer) NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	if err := s.create(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.execute(`DROP DATABASE IF EXISTS "` + name + `" WITH (FORCE)`) })
	return s.database(name)
}

func (s *PostgresServer) create(name string) error {
	return s.execute(`CREATE DATABASE "` + name + `"`)
}

// execute runs one statement as the superuser, outside of any test database.
func (s *PostgresServer) execute(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.database("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the answer of Exec is what counts
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
