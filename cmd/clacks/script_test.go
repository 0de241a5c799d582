package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/script/*.txtar, which use the program as its users do. Besides the commands of testscript
// there are
//
//	serve [ARG...]                   start a service with an empty data folder and wait until it is ready;
//	                                 "clacks call" finds it and may do everything; its log goes to serve.log
//	stop                             end it with SIGTERM; it has to end with status 0
//	hangup                           send it SIGHUP
//	http METHOD PATH [FILE] [NAME:VALUE...]
//	                                 send FILE as a JSON body, as the administrator unless a header says else; the
//	                                 status and the answer are the new stdout
//	generate SIZE TEXT FILE          write TEXT as often as SIZE says
//	waitfor FILE TEXT                wait until a file has the text
//
// $EXAMPLES is the folder of the examples.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": scriptServe, "stop": scriptStop, "hangup": scriptHangup, "http": scriptHTTP,
			"generate": scriptGenerate, "waitfor": scriptWait,
		},
	})
}

func setUpScript(env *testscript.Env) error {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		return err
	}
	env.Setenv("EXAMPLES", examples)
	env.Setenv("CLACKS_ADMIN_PASSWORD", testPassword)
	env.Setenv("CLACKS_PASSWORD", testPassword)
	return nil
}

// scriptServer is a service that a script started.
type scriptServer struct {
	process *os.Process
	ended   chan struct{}
	state   *os.ProcessState
	log     *os.File
}

type scriptServerKey struct{}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("serve cannot be negated: use ! exec clacks serve")
	}
	log, err := os.Create(ts.MkAbs("serve.log"))
	ts.Check(err)
	out, err := os.Create(ts.MkAbs("serve.out"))
	ts.Check(err)
	program := lookPath(ts, "clacks")
	arguments := append([]string{"clacks", "serve", "--http", "127.0.0.1:0", "--data", ts.MkAbs("data")}, args...)
	process, err := os.StartProcess(program, arguments, &os.ProcAttr{
		Dir: ts.MkAbs("."), Env: scriptEnvironment(ts), Files: []*os.File{nil, out, log},
	})
	ts.Check(err)
	_ = out.Close()
	s := &scriptServer{process: process, ended: make(chan struct{}), log: log}
	go func() {
		s.state, _ = process.Wait()
		close(s.ended)
	}()
	ts.Defer(func() {
		_ = process.Kill()
		<-s.ended
		_ = log.Close()
	})
	scriptServers.Store(ts, s)
	ts.Defer(func() { scriptServers.Delete(ts) })
	ts.Setenv("CLACKS_URL", s.awaitReady(ts))
}
