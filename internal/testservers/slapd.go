package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// The fixed names of the directory that StartSlapd makes.
const (
	slapdBase     = "dc=example,dc=net"
	slapdBindDN   = "cn=admin," + slapdBase
	slapdPassword = "secret"
)

// SlapdServer is an OpenLDAP server with one mdb database, syncprov, and cn=config. The fields are constant after
// StartSlapd; the methods may be called from many goroutines.
type SlapdServer struct {
	URI      string // ldap://127.0.0.1:PORT
	LDAPS    string // ldaps://127.0.0.1:PORT; empty without WithTLS
	LDAPI    string // ldapi://...; EXTERNAL there may change cn=config
	Addr     string // 127.0.0.1:PORT of URI, for Proxy
	Base     string // the suffix; its entry exists
	BindDN   string // the database's rootdn
	Password string // its password
	Dir      string
	TLS      *Certificates // nil without WithTLS

	program string
	log     string
	mu      sync.Mutex
	process *process // nil while stopped
}

type slapdOptions struct {
	tls      bool
	noSync   bool
	schemas  []string
	database []string
}

// SlapdOption changes the server that StartSlapd makes.
type SlapdOption func(*slapdOptions)

// WithTLS makes the server offer StartTLS and LDAPS, with a certificate of a fresh authority (SlapdServer.TLS).
func WithTLS() SlapdOption { return func(o *slapdOptions) { o.tls = true } }

// WithoutSync lets the database skip fsync: for tests that write a lot and do not ask what survives a crash of the
// machine. A killed server loses nothing by it.
func WithoutSync() SlapdOption { return func(o *slapdOptions) { o.noSync = true } }

// WithSchema includes further schema files, in the format of slapd.conf.
func WithSchema(paths ...string) SlapdOption {
	return func(o *slapdOptions) { o.schemas = append(o.schemas, paths...) }
}

// WithDatabase adds lines of slapd.conf to the database's section, overlays and access rules for example.
func WithDatabase(lines ...string) SlapdOption {
	return func(o *slapdOptions) { o.database = append(o.database, lines...) }
}

// Slapd starts an OpenLDAP server for one test and stops it at its end.
func Slapd(t testing.TB, options ...SlapdOption) *SlapdServer {
	t.Helper()
	// Not t.TempDir: the path of the ldapi socket may have 107 bytes only, and a test's name is part of that folder.
	dir, err := os.MkdirTemp("", "slapd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := StartSlapd(dir, options...)
	require(t, err)
	t.Cleanup(func() { _ = server.Kill() })
	return server
}

// StartSlapd makes a directory with the base entry in dir, which must be empty, and starts a server on it. The error is
// a *MissingError when OpenLDAP is not installed. The caller stops the server and removes dir.
func StartSlapd(dir string, options ...SlapdOption) (*SlapdServer, error) {
	var chosen slapdOptions
	for _, option := range options {
		option(&chosen)
	}
	program, ok := find("slapd", "/usr/sbin", "/usr/libexec", "/usr/local/libexec")
	if !ok {
		return nil, &MissingError{Program: "slapd", Hint: "Debian: apt-get install slapd"}
	}
	server := &SlapdServer{
		LDAPI: "ldapi://" + url.QueryEscape(filepath.Join(dir, "ldapi")),
		Base:  slapdBase, BindDN: slapdBindDN, Password: slapdPassword,
		Dir: dir, program: program, log: filepath.Join(dir, "slapd.log"),
	}
	if err := server.configure(&chosen); err != nil {
		return nil, err
	}
	if err := server.startOnFreePort(chosen.tls); err != nil {
		return nil, err
	}
	if err := server.addBase(); err != nil {
		_ = server.Kill()
		return nil, err
	}
	return server, nil
}

// configure writes slapd.conf, which the first start converts into a cn=config folder, so that schema can be added at run
// time.
func (s *SlapdServer) configure(options *slapdOptions) error {
	for _, folder := range []string{"db", "d"} {
		if err := os.MkdirAll(filepath.Join(s.Dir, folder), 0o700); err != nil {
			return fmt.Errorf("make the folders of slapd: %w", err)
		}
	}
	if options.tls {
		var err error
		if s.TLS, err = MakeCertificates(s.Dir); err != nil {
			return err
		}
	}
	content, err := s.slapdConf(options)
	if err != nil {
		return err
	}
	file := filepath.Join(s.Dir, "slapd.conf")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write slapd.conf: %w", err)
	}
	return nil
}

func (s *SlapdServer) slapdConf(options *slapdOptions) (string, error) {
	schemas, ok := firstFolder("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
	if !ok {
		return "", &MissingError{Program: "slapd's schema folder", Hint: "Debian: apt-get install slapd"}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, name := range []string{"core", "cosine", "nis", "inetorgperson"} {
		line("include %s/%s.schema", schemas, name)
	}
	for _, path := range options.schemas {
		line("include %s", path)
	}
	if modules, ok := firstFolder("/usr/lib/ldap", "/usr/lib/openldap", "/usr/lib64/openldap"); ok {
		line("modulepath %s\nmoduleload back_mdb\nmoduleload syncprov", modules)
	}
	if s.TLS != nil {
		line("TLSCACertificateFile %s\nTLSCertificateFile %s\nTLSCertificateKeyFile %s", s.TLS.CA, s.TLS.Cert, s.TLS.Key)
	}
	line("database config")
	line(`rootdn "gidNumber=%d+uidNumber=%d,cn=peercred,cn=external,cn=auth"`, os.Getegid(), os.Geteuid())
	line("database mdb\nsuffix %q\nrootdn %q\nrootpw %s", s.Base, s.BindDN, s.Password)
	line("directory %s\nmaxsize 1073741824", filepath.Join(s.Dir, "db"))
	if options.noSync {
		line("dbnosync")
	}
	line("index objectClass,entryUUID,entryCSN eq\nindex uid,cn,mail eq,sub\nindex member eq")
	line("limits * size=unlimited")
	for _, more := range options.database {
		line("%s", more)
	}
	line("overlay syncprov\nsyncprov-checkpoint 1000 10\nsyncprov-sessionlog 10000")
	return b.String(), nil
}

// startOnFreePort starts the server on ports that were free; another process may take one in between, so it tries again.
func (s *SlapdServer) startOnFreePort(tls bool) error {
	var failures []error
	for range 5 {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		s.URI = "ldap://" + s.Addr
		if tls {
			if port, err = freePort(); err != nil {
				return err
			}
			s.LDAPS = fmt.Sprintf("ldaps://127.0.0.1:%d", port)
		}
		if err = s.Start(); err == nil {
			return nil
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// Start starts a stopped or killed server again, on the same port and data, and waits until it answers.
func (s *SlapdServer) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return errors.New("slapd runs already")
	}
	listen := []string{s.URI + "/", s.LDAPI}
	if s.LDAPS != "" {
		listen = append(listen, s.LDAPS+"/")
	}
	// -d keeps the server in the foreground; its level "none" lets it say why it cannot start.
	args := []string{"-F", filepath.Join(s.Dir, "d"), "-h", strings.Join(listen, " "), "-d", "none"}
	if _, err := os.Stat(filepath.Join(s.Dir, "d", "cn=config.ldif")); err != nil {
		// With both -f and -F slapd converts the file into the folder. (slaptest does so too, but fails then because
		// there is no database yet.)
		args = append(args, "-f", filepath.Join(s.Dir, "slapd.conf"))
	}
	process, err := startProcess(exec.Command(s.program, args...), s.log, syscall.SIGKILL)
	if err != nil {
		return err
	}
	if err := process.waitReady(s.log, s.answers); err != nil {
		_ = process.signal(syscall.SIGKILL)
		return err
	}
	s.process = process
	return nil
}

// answers reads the root DSE: the port accepts connections some time before the databases are open.
func (s *SlapdServer) answers(ctx context.Context) error {
	conn, err := ldap.DialURL(s.URI, ldap.DialWithDialer(&net.Dialer{Timeout: time.Second}))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	conn.SetTimeout(5 * time.Second)
	_, err = conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"namingContexts"}, nil))
	return err
}

// Stop ends the server in an orderly way (SIGTERM) and waits for it. A stopped server stays stopped without error.
func (s *SlapdServer) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server as a crash would (SIGKILL) and waits for it.
func (s *SlapdServer) Kill() error { return s.end(syscall.SIGKILL) }

func (s *SlapdServer) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.signal(sig)
	s.process = nil
	return err
}

// Dial is a connection bound as the administrator, for preparing and checking data behind the tested code's back.
func (s *SlapdServer) Dial() (*ldap.Conn, error) {
	conn, err := ldap.DialURL(s.URI)
	if err != nil {
		return nil, fmt.Errorf("dial slapd: %w", err)
	}
	conn.SetTimeout(patience)
	if err := conn.Bind(s.BindDN, s.Password); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Conn is Dial for a test: failures end the test, and the connection is closed with it.
func (s *SlapdServer) Conn(t testing.TB) *ldap.Conn {
	t.Helper()
	conn, err := s.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (s *SlapdServer) addBase() error {
	conn, err := s.Dial()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer of Add is what counts
	request := ldap.NewAddRequest(s.Base, nil)
	request.Attribute("objectClass", []string{"dcObject", "organization"})
	request.Attribute("dc", []string{"example"})
	request.Attribute("o", []string{"Example"})
	if err := conn.Add(request); err != nil {
		return fmt.Errorf("add the base entry: %w", err)
	}
	return nil
}
