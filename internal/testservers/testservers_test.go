package testservers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/jackc/pgx/v5"
)

func TestSlapdKeepsDataOverKill(t *testing.T) {
	server := Slapd(t)
	conn := server.Conn(t)
	request := ldap.NewAddRequest("ou=people,"+server.Base, nil)
	request.Attribute("objectClass", []string{"organizationalUnit"})
	if err := conn.Add(request); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func() error{server.Kill, server.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", server.Addr); err == nil {
			t.Fatal("the port still answers")
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		found, err := server.Conn(t).Search(ldap.NewSearchRequest("ou=people,"+server.Base, ldap.ScopeBaseObject, 0, 0, 0,
			false, "(objectClass=*)", nil, nil))
		if err != nil || len(found.Entries) != 1 {
			t.Fatalf("after the restart: %v, %v", found, err)
		}
	}
}

func TestSlapdConfigIsWritable(t *testing.T) {
	server := Slapd(t)
	conn, err := ldap.DialURL("ldapi://" + server.Dir + "/ldapi")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's connection
	if err := conn.ExternalBind(); err != nil {
		t.Fatal(err)
	}
	request := ldap.NewAddRequest("cn=extra,cn=schema,cn=config", nil)
	request.Attribute("objectClass", []string{"olcSchemaConfig"})
	request.Attribute("olcAttributeTypes", []string{
		"( 1.3.6.1.4.1.4203.666.11.1 NAME 'extraName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"})
	if err := conn.Add(request); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresKeepsDataOverKill(t *testing.T) {
	server := Postgres(t)
	ctx := context.Background()
	exec := func(statement string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx) //nolint:errcheck // a test's connection
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE kept (id int)")
	for _, end := range []func() error{server.Kill, server.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		exec("INSERT INTO kept VALUES (1)")
	}
}

func TestSharedPostgresGivesEachTestItsDatabase(t *testing.T) {
	server := SharedPostgres(t)
	if again := SharedPostgres(t); again != server {
		t.Fatal("a second server was started")
	}
	one, other := server.NewDatabase(t), server.NewDatabase(t)
	if one == other || one == server.URL {
		t.Fatalf("databases %q and %q are not distinct", one, other)
	}
}

// TestNothingOutlivesAKilledParent runs TestParent of this binary in a child, kills the child, and waits for the servers
// and the folder to disappear.
func TestNothingOutlivesAKilledParent(t *testing.T) {
	SharedPostgres(t) // skips where it is missing
	parent := exec.Command(os.Args[0], "-test.run=^TestParent$")
	parent.Env = append(os.Environ(), parentVariable+"=1")
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var dir, addr string
	if _, err := fmt.Fscan(output, &dir, &addr); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	gone := func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return false
		}
		_, err = os.Stat(dir)
		return os.IsNotExist(err)
	}
	for deadline := time.Now().Add(patience); !gone(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the server at %s or its folder %s is still there", addr, dir)
		}
	}
}

const parentVariable = "TESTSERVERS_PARENT"

// TestParent is the child of TestNothingOutlivesAKilledParent, not a test of its own.
func TestParent(t *testing.T) {
	if os.Getenv(parentVariable) == "" {
		t.Skip("runs as a child of TestNothingOutlivesAKilledParent only")
	}
	server := SharedPostgres(t)
	fmt.Println(server.Dir, server.Addr)
	select {}
}

func TestSlapdOffersTLS(t *testing.T) {
	server := Slapd(t, WithTLS(), WithoutSync())
	pem, err := os.ReadFile(server.TLS.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for name, config := range map[string]*tls.Config{
		"right authority": {RootCAs: roots, ServerName: "127.0.0.1"},
		"wrong authority": {RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"},
	} {
		conn, err := ldap.DialURL(server.LDAPS, ldap.DialWithTLSConfig(config))
		if (err == nil) != (name == "right authority") {
			t.Errorf("LDAPS with the %s: %v", name, err)
		}
		if err == nil {
			_ = conn.Close()
		}
		if conn, err = ldap.DialURL(server.URI); err != nil {
			t.Fatal(err)
		}
		if err := conn.StartTLS(config); (err == nil) != (name == "right authority") {
			t.Errorf("StartTLS with the %s: %v", name, err)
		}
		_ = conn.Close()
	}
}

func TestProcessesAreKilledOnRequest(t *testing.T) {
	p, err := startProcess(exec.Command("sleep", "1000"), t.TempDir()+"/log", syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.pid(), 0); err == nil {
		t.Fatal("the process is still there")
	}
}

func TestMissingErrorNamesTheProgram(t *testing.T) {
	err := &MissingError{Program: "slapd", Hint: "apt-get install slapd"}
	if !strings.Contains(err.Error(), "slapd is not installed") {
		t.Fatal(err)
	}
}

// echo is a server that answers every read with what it got, and counts.
func echo(t *testing.T) (addr string, received chan []byte) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	received = make(chan []byte, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // a test's connection
				buffer := make([]byte, 1024)
				for {
					n, err := conn.Read(buffer)
					if err != nil {
						return
					}
					received <- bytes.Clone(buffer[:n])
					if _, err := conn.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), received
}

// say sends a word through a connection and returns the answer; empty when the connection was cut.
func say(t *testing.T, conn net.Conn, word string) string {
	t.Helper()
	if _, err := conn.Write([]byte(word)); err != nil {
		return ""
	}
	buffer := make([]byte, 1024)
	n, err := conn.Read(buffer)
	if err != nil {
		return ""
	}
	return string(buffer[:n])
}

func TestProxyCuts(t *testing.T) {
	addr, received := echo(t)
	proxy := Proxy(t, addr)
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", proxy.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	isBad := func(request []byte) bool { return bytes.Equal(request, []byte("bad")) }

	conn := dial()
	if got := say(t, conn, "good"); got != "good" {
		t.Fatalf("forwarding: %q", got)
	}
	<-received

	proxy.CutRequest(isBad)
	if got := say(t, conn, "bad"); got != "" {
		t.Fatalf("a cut request was answered: %q", got)
	}
	if len(received) != 0 {
		t.Fatal("the server saw the cut request")
	}
	if got := say(t, dial(), "bad"); got != "bad" {
		t.Fatalf("the cut happens once, then: %q", got)
	}
	<-received
	proxy.OnRequest(nil)

	proxy.CutReply(isBad)
	if got := say(t, dial(), "bad"); got != "" {
		t.Fatalf("a cut reply arrived: %q", got)
	}
	if got := <-received; string(got) != "bad" {
		t.Fatalf("the server did not see the request, but %q", got)
	}

	conn = dial()
	if got := say(t, conn, "good"); got != "good" {
		t.Fatalf("after the cut: %q", got)
	}
	proxy.CutAll()
	if got := say(t, conn, "good"); got != "" {
		t.Fatalf("after CutAll: %q", got)
	}
	proxy.Refuse(true)
	if got := say(t, dial(), "good"); got != "" {
		t.Fatalf("refused, yet: %q", got)
	}
	proxy.Refuse(false)
	if got := say(t, dial(), "good"); got != "good" {
		t.Fatalf("accepted again, yet: %q", got)
	}
}
