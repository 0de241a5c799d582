package testservers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	rabbitUser     = "clacks"
	rabbitPassword = "secret"
)

// RabbitServer is a RabbitMQ server that speaks AMQP 1.0, with one user who may do everything. The fields are constant after
// StartRabbitMQ; the methods may be called from many goroutines.
type RabbitServer struct {
	URL      string        // amqp://127.0.0.1:PORT, without the user
	Addr     string        // 127.0.0.1:PORT, for Proxy
	AMQPS    string        // amqps://127.0.0.1:PORT; "" without TLS
	User     string        // of SASL PLAIN
	Password string        // his
	TLS      *Certificates // nil without TLS
	Dir      string        // its folder

	program string
	epmd    string
	mapper  int // the port of Erlang's port mapper, which is ours as well
	dist    int // the port on which a node would meet others
	mu      sync.Mutex
	process *process // nil while stopped, like the mapper's
	names   *process
}

// RabbitOption changes the server that StartRabbitMQ makes.
type RabbitOption func(*rabbitOptions)

type rabbitOptions struct{ tls bool }

// WithRabbitTLS makes the server listen for TLS as well, where a client certificate is asked for and verified.
func WithRabbitTLS() RabbitOption { return func(o *rabbitOptions) { o.tls = true } }

// RabbitMQ starts a server for one test, which may kill it, and stops it at the test's end. It takes ten seconds to start: a
// test that only needs queues takes SharedRabbitMQ.
func RabbitMQ(t testing.TB, options ...RabbitOption) *RabbitServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "rabbitmq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := StartRabbitMQ(dir, options...)
	require(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	return server
}

var sharedRabbit struct {
	sync.Mutex
	server *RabbitServer
	err    error
}

// SharedRabbitMQ is the one server of this test binary, started by the first test that asks for it. Tests take queues of
// their own names and never stop it; it ends, and its folder disappears, with the process.
func SharedRabbitMQ(t testing.TB) *RabbitServer {
	t.Helper()
	sharedRabbit.Lock()
	defer sharedRabbit.Unlock()
	if sharedRabbit.server == nil && sharedRabbit.err == nil {
		sharedRabbit.server, sharedRabbit.err = startSharedRabbit()
	}
	require(t, sharedRabbit.err)
	return sharedRabbit.server
}

func startSharedRabbit() (*RabbitServer, error) {
	dir, err := os.MkdirTemp("", "rabbitmq")
	if err != nil {
		return nil, err
	}
	if err := removeAtExit(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return StartRabbitMQ(dir)
}

// StartRabbitMQ starts a server with its data in dir, which must be empty. The error is a *MissingError when RabbitMQ is not
// installed. The caller stops the server and removes dir.
func StartRabbitMQ(dir string, options ...RabbitOption) (*RabbitServer, error) {
	var chosen rabbitOptions
	for _, option := range options {
		option(&chosen)
	}
	missing := &MissingError{Program: "rabbitmq-server", Hint: "Debian: apt-get install rabbitmq-server"}
	// Not by PATH: the program there is a wrapper that changes to another user.
	program := "/usr/lib/rabbitmq/bin/rabbitmq-server"
	if _, err := os.Stat(program); err != nil {
		return nil, missing
	}
	epmd, ok := find("epmd", "/usr/lib/erlang/bin", "/usr/local/lib/erlang/bin")
	if !ok {
		return nil, missing
	}
	server := &RabbitServer{User: rabbitUser, Password: rabbitPassword, Dir: dir, program: program, epmd: epmd}
	if chosen.tls {
		var err error
		if server.TLS, err = MakeCertificates(dir); err != nil {
			return nil, err
		}
	}
	return server, server.startOnFreePorts()
}

// startOnFreePorts starts the server on ports that were free; another process may take one in between, so it tries again.
func (s *RabbitServer) startOnFreePorts() error {
	var failures []error
	for range 3 {
		var ports [4]int
		for i := range ports {
			port, err := freePort()
			if err != nil {
				return err
			}
			ports[i] = port
		}
		s.mapper, s.dist = ports[0], ports[1]
		if err := s.configure(ports[2], ports[3]); err != nil {
			return err
		}
		err := s.Start()
		if err == nil {
			return nil
		}
		failures = append(failures, err, s.Kill())
	}
	return errors.Join(failures...)
}

// configure writes the server's files and notes its addresses.
func (s *RabbitServer) configure(port, tlsPort int) error {
	s.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	s.URL = "amqp://" + s.Addr
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("listeners.tcp.1 = %s\nloopback_users = none\namqp1_0.default_user = none\nlog.console = false", s.Addr)
	line("default_user = %s\ndefault_pass = %s", s.User, s.Password)
	line("auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL")
	if s.TLS != nil {
		s.AMQPS = fmt.Sprintf("amqps://127.0.0.1:%d", tlsPort)
		line("listeners.ssl.1 = 127.0.0.1:%d\nssl_cert_login_from = common_name", tlsPort)
		line("ssl_options.cacertfile = %s\nssl_options.certfile = %s\nssl_options.keyfile = %s", s.TLS.CA, s.TLS.Cert, s.TLS.Key)
		line("ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false")
	}
	for name, content := range map[string]string{
		"rabbitmq.conf": b.String(), "enabled_plugins": "[rabbitmq_amqp1_0,rabbitmq_auth_mechanism_ssl].\n",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// Start starts a stopped or killed server again, on the same port and data, and waits until it answers.
func (s *RabbitServer) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	if err := s.startMapper(); err != nil {
		return err
	}
	// -noinput as an argument and RABBITMQ_ALLOW_INPUT for the script: so it becomes the server instead of its parent.
	command := exec.Command(s.program, "-noinput")
	command.Dir, command.Env = s.Dir, s.environment()
	log := filepath.Join(s.Dir, "server.log")
	var err error
	if s.process, err = startProcess(command, log, syscall.SIGKILL); err != nil {
		return err
	}
	return s.process.waitReady(log, s.probe)
}

// startMapper starts Erlang's port mapper as our child: one that the server starts would outlive it.
func (s *RabbitServer) startMapper() error {
	if s.names != nil {
		return nil
	}
	command := exec.Command(s.epmd, "-address", "127.0.0.1", "-port", fmt.Sprint(s.mapper))
	command.Dir, command.Env = s.Dir, []string{"PATH=" + os.Getenv("PATH")}
	log := filepath.Join(s.Dir, "epmd.log")
	var err error
	if s.names, err = startProcess(command, log, syscall.SIGKILL); err != nil {
		return err
	}
	return s.names.waitReady(log, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.mapper))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// environment keeps everything of the server in its folder and on the loopback interface.
func (s *RabbitServer) environment() []string {
	in := func(name string) string { return filepath.Join(s.Dir, name) }
	return []string{
		"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "HOME=" + s.Dir, "RABBITMQ_ALLOW_INPUT=1",
		"RABBITMQ_CONF_ENV_FILE=" + in("none"), "RABBITMQ_NODENAME=t@localhost",
		"RABBITMQ_MNESIA_BASE=" + in("mnesia"), "RABBITMQ_LOG_BASE=" + in("log"), "RABBITMQ_PID_FILE=" + in("pid"),
		"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"), "RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", s.dist),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
		"ERL_EPMD_ADDRESS=127.0.0.1", fmt.Sprintf("ERL_EPMD_PORT=%d", s.mapper),
	}
}

// probe reports whether the server answers the header of SASL, and listens for TLS.
func (s *RabbitServer) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if address, secured := strings.CutPrefix(s.AMQPS, "amqps://"); secured {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		_ = conn.Close() // nothing was said
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent that could be lost
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	header := []byte("AMQP\x03\x01\x00\x00")
	if _, err := conn.Write(header); err != nil {
		return err
	}
	answer := make([]byte, len(header))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != string(header) {
		return fmt.Errorf("the server answers %q", answer)
	}
	return nil
}

// AddUser makes a further user, with RabbitMQ's three permissions as regular expressions on names.
func (s *RabbitServer) AddUser(name, password, configure, write, read string) error {
	for _, arguments := range [][]string{{"add_user", name, password}, {"set_permissions", name, configure, write, read}} {
		command := exec.Command(filepath.Join(filepath.Dir(s.program), "rabbitmqctl"), arguments...)
		command.Dir, command.Env = s.Dir, s.environment()
		if err := run(command); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the server in order.
func (s *RabbitServer) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server as a crash would (SIGKILL) and waits for it.
func (s *RabbitServer) Kill() error { return s.end(syscall.SIGKILL) }

func (s *RabbitServer) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.process != nil {
		err = s.process.signal(sig)
		s.process = nil
	}
	if s.names != nil {
		err = errors.Join(err, s.names.signal(syscall.SIGKILL))
		s.names = nil
	}
	return err
}
