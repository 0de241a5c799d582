package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"clacks/internal/failpoint"
)

const testPassword = "correct horse battery staple"

// built says that binary was asked for.
var built atomic.Bool

// binary builds the program once a test run; crash tests need a process that can be killed.
var binary = sync.OnceValues(func() (string, error) {
	built.Store(true)
	dir, err := os.MkdirTemp("", "clacks-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "clacks")
	args := []string{"build", "-o", path}
	if exec.Command("pkg-config", "--exists", "libxml-2.0").Run() == nil {
		args = append(args, "-tags", "libxml2")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// TestMain lets scripts and manuals run the program as "clacks": this test binary under that name.
func TestMain(m *testing.M) {
	testscript.Main(cleaner{m}, map[string]func(){"clacks": main})
}

// cleaner removes the program after all tests, if one of them built it.
type cleaner struct{ *testing.M }

// Run implements testscript.TestingM.
func (c cleaner) Run() int {
	status := c.M.Run()
	if built.Load() {
		if path, err := binary(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	return status
}

// service is a running clacks process.
type service struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string
	amqp string // where it listens for AMQP, "" for nowhere
	log  *lockedBuffer
	done chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startService starts clacks serve with a failpoint armed ("" for none). It returns nil when the process ended before it
// listened, which an armed failpoint may well cause.
func startService(t testing.TB, point string, args ...string) *service {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, log: &lockedBuffer{}, done: make(chan struct{})}
	s.cmd = exec.Command(path, append([]string{"serve", "--http", "127.0.0.1:0", "--amqp", "127.0.0.1:0"}, args...)...)
	s.cmd.Env = append(os.Environ(), "CLACKS_ADMIN_PASSWORD="+testPassword, failpoint.Variable+"="+point)
	s.cmd.Stderr = s.log
	if runtime.GOOS == "linux" {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "AMQP on "); ok {
			s.amqp = url
		}
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.url = url
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdout)
		_ = s.cmd.Wait()
		close(s.done)
	}()
	if s.url == "" {
		<-s.done
		return nil
	}
	return s
}

// mustStart starts a service and waits until it is ready.
func mustStart(t testing.TB, args ...string) *service {
	t.Helper()
	s := startService(t, "", args...)
	if s == nil || !s.ready() {
		t.Fatalf("clacks serve did not become ready:\n%s", s.log)
	}
	return s
}

// ready waits until the service is ready; false means that it died before.
func (s *service) ready() bool {
	for range 600 {
		select {
		case <-s.done:
			return false
		default:
		}
		response, err := http.Get(s.url + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return true
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("not ready after 12 s:\n%s", s.log)
	return false
}

// stop ends the service in an orderly way and requires exit status 0.
func (s *service) stop() {
	s.t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		s.t.Fatalf("did not stop on SIGTERM:\n%s", s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("exit status %d after SIGTERM:\n%s", code, s.log)
	}
}

func (s *service) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// rpcError is the error member of an answer.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    struct {
		Kind   string `json:"kind"`
		Fields []struct {
			Attribute, Code, Reason string
		} `json:"fields"`
	} `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s: %s", e.Code, e.Data.Kind, e.Message) }

// call runs one command as the administrator. An error that is no *rpcError means that no answer came.
func (s *service) call(method string, params map[string]any, result any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/rpc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.SetBasicAuth("admin", testPassword)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *rpcError       `json:"error"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("answer to %s (HTTP %d): %w", method, response.StatusCode, err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

func (s *service) mustCall(method string, params map[string]any, result any) {
	s.t.Helper()
	if err := s.call(method, params, result); err != nil {
		s.t.Fatalf("%s %v: %v\n%s", method, params, err, s.log)
	}
}

// metric reads one number of those for Prometheus.
func (s *service) metric(name string) float64 {
	s.t.Helper()
	for line := range strings.Lines(get(s.t, s.url+"/metrics")) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

// answered reports whether err is an answer of the service, as opposed to none at all.
func answered(err error) bool {
	var e *rpcError
	return err == nil || errors.As(err, &e)
}
