package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/script/*.txtar, which use the program as its users do. Besides the commands of testscript
// there are
//
//	serve [ARG...]            start a service with the data folder "data" and wait until it is ready; "clacks call" finds
//	                          it and may do everything; its log goes to serve.log. "! serve" wants it to end by itself,
//	                          with status 1; its stdout and stderr can be looked at
//	shutdown                  end it with SIGTERM; it has to end with status 0
//	hangup                    send it SIGHUP
//	http METHOD PATH [FILE] [NAME:VALUE...]
//	                          send FILE as a JSON body, as the administrator unless a header Authorization says else;
//	                          stdout is the status and the body
//	repeat NUMBER TEXT FILE   append TEXT to a file, so many times
//	waitfor FILE TEXT         wait until a file has the text
//
// $EXAMPLES is the folder of the examples.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		ContinueOnError:     true, // a script tells all that it finds
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": scriptServe, "shutdown": scriptShutdown, "hangup": scriptHangup, "http": scriptHTTP,
			"repeat": scriptRepeat, "waitfor": scriptWait,
		},
	})
}

// scriptService is the service of a script, or nil.
type scriptService struct{ *daemon }

type scriptServiceKey struct{}

func setUpScript(env *testscript.Env) error {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		return err
	}
	env.Setenv("EXAMPLES", examples)
	env.Setenv("CLACKS_ADMIN_PASSWORD", testPassword)
	env.Setenv("CLACKS_PASSWORD", testPassword)
	running := &scriptService{}
	env.Values[scriptServiceKey{}] = running
	env.Defer(func() {
		if running.daemon != nil {
			running.kill()
		}
	})
	return nil
}

func serviceOf(ts *testscript.TestScript) *scriptService {
	return ts.Value(scriptServiceKey{}).(*scriptService)
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	running := serviceOf(ts)
	args = append([]string{"serve", "--http", "127.0.0.1:0", "--amqp", "127.0.0.1:0", "--data", ts.MkAbs("data")}, args...)
	d, err := startDaemon(ts.MkAbs("."), []string{"CLACKS_ADMIN_PASSWORD=" + ts.Getenv("CLACKS_ADMIN_PASSWORD")}, args...)
	ts.Check(err)
	running.daemon = d
	if !neg {
		ts.Check(d.awaitReady())
		ts.Setenv("CLACKS_URL", d.url)
		return
	}
	defer d.kill()
	select {
	case <-d.ended:
	case <-time.After(startTime):
		ts.Fatalf("the service runs")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 1 {
		ts.Fatalf("the service ended with status %d", code)
	}
	_, _ = io.WriteString(ts.Stdout(), ts.ReadFile("serve.out"))
	_, _ = io.WriteString(ts.Stderr(), ts.ReadFile("serve.log"))
}

func scriptShutdown(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(serviceOf(ts).stop())
}

func scriptHangup(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(serviceOf(ts).cmd.Process.Signal(syscall.SIGHUP))
}

func scriptHTTP(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD PATH [FILE] [NAME:VALUE...]")
	}
	var body []byte
	header := http.Header{"Content-Type": {"application/json"}}
	for _, arg := range args[2:] {
		if name, value, ok := strings.Cut(arg, ":"); ok {
			header.Set(name, value)
			continue
		}
		body = []byte(ts.ReadFile(arg))
	}
	r, err := http.NewRequest(args[0], ts.Getenv("CLACKS_URL")+args[1], bytes.NewReader(body))
	ts.Check(err)
	r.Header = header
	if _, ok := header["Authorization"]; !ok {
		r.SetBasicAuth("admin", testPassword)
	}
	response, err := (&http.Client{Timeout: startTime}).Do(r)
	ts.Check(err)
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	ts.Check(err)
	_, _ = fmt.Fprintf(ts.Stdout(), "%d\n%s\n", response.StatusCode, answer)
}

func scriptRepeat(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: repeat NUMBER TEXT FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[2]), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	ts.Check(err)
	_, err = f.WriteString(strings.Repeat(args[1], n))
	ts.Check(err)
	ts.Check(f.Close())
}

func scriptWait(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: waitfor FILE TEXT")
	}
	for deadline := time.Now().Add(startTime); !strings.Contains(ts.ReadFile(args[0]), args[1]); time.Sleep(pollTime) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s has no %q:\n%s", args[0], args[1], ts.ReadFile(args[0]))
		}
	}
}

const (
	startTime = 30 * time.Second // for everything that a service may need before it is ready
	pollTime  = 20 * time.Millisecond
)

// daemon is a service as a script or a manual runs it: under its name, with its output in files.
type daemon struct {
	cmd   *exec.Cmd
	dir   string
	url   string
	amqp  string
	ended chan struct{}
}

// startDaemon runs clacks in a folder; standard output goes to serve.out and standard error to serve.log there.
func startDaemon(dir string, env []string, args ...string) (*daemon, error) {
	d := &daemon{cmd: exec.Command("clacks", args...), dir: dir, ended: make(chan struct{})}
	d.cmd.Dir = dir
	d.cmd.Env = append(os.Environ(), env...)
	if runtime.GOOS == "linux" {
		d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a test that was killed
	}
	for name, stream := range map[string]*io.Writer{"serve.out": &d.cmd.Stdout, "serve.log": &d.cmd.Stderr} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // the process has its own copy
		*stream = f
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

// awaitReady waits until the service says where it listens and is ready; with --demo, until its data is there.
func (d *daemon) awaitReady() error {
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline); time.Sleep(pollTime) {
		select {
		case <-d.ended:
			return fmt.Errorf("the service ended:\n%s", d.read("serve.log"))
		default:
		}
		if d.ready() {
			return nil
		}
	}
	return fmt.Errorf("the service did not become ready:\n%s", d.read("serve.log"))
}

func (d *daemon) ready() bool {
	out := d.read("serve.out")
	for line := range strings.Lines(out) {
		if url, ok := strings.CutPrefix(line, "AMQP on "); ok && strings.HasSuffix(url, "\n") {
			d.amqp = strings.TrimSpace(url)
		}
		if url, ok := strings.CutPrefix(line, "listening on "); ok && strings.HasSuffix(url, "\n") {
			d.url = strings.TrimSpace(url)
		}
	}
	if d.url == "" {
		return false
	}
	response, err := http.Get(d.url + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	demo := strings.Contains(strings.Join(d.cmd.Args, " "), "--demo")
	return response.StatusCode == http.StatusOK && (!demo || strings.Contains(out, "Try these"))
}

func (d *daemon) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(d.dir, name))
	return string(text)
}

func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.ended:
	case <-time.After(startTime):
		return fmt.Errorf("the service did not stop on SIGTERM:\n%s", d.read("serve.log"))
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("exit status %d after SIGTERM:\n%s", code, d.read("serve.log"))
	}
	return nil
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}
