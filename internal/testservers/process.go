package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// patience bounds every wait for a server to come up or to go down. It is generous because it only ends a test that
// has already failed.
const patience = 2 * time.Minute

// freePort is a TCP port of the loopback interface that was free a moment ago.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// process is a child in the foreground. Its methods may be called from many goroutines.
type process struct {
	command *exec.Cmd
	done    chan struct{} // closed when the child has been waited for
	err     error         // of Wait; valid once done is closed
}

// spawner starts every child on one thread that never ends: the parent-death signal is sent when the thread that
// forked ends, and Go ends threads at will.
var spawner = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// startProcess runs a program with its output in the file log. The signal onOrphan is sent to it when this process
// dies.
func startProcess(command *exec.Cmd, log string, onOrphan syscall.Signal) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", command.Path, err)
	}
	defer output.Close() //nolint:errcheck // the child has its own copy
	command.Stdout, command.Stderr = output, output
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A process group of its own: Ctrl-C in the terminal must not take the server away before the test that stops it.
	command.SysProcAttr.Setpgid = true
	dieWithParent(command.SysProcAttr, onOrphan)
	started := make(chan error)
	spawner() <- func() { started <- command.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	p := &process{command: command, done: make(chan struct{})}
	go func() {
		p.err = command.Wait()
		close(p.done)
	}()
	return p, nil
}

// pid is the child's process id.
func (p *process) pid() int { return p.command.Process.Pid }

// signal sends a signal and waits until the child is gone; after the usual patience it kills the child and says so.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.command.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.command.Path, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
	}
	_ = p.command.Process.Kill()
	<-p.done
	return fmt.Errorf("%s ignored %v and was killed", p.command.Path, sig)
}

// waitReady calls probe until it succeeds, the child ends, or patience does.
func (p *process) waitReady(log string, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended at once (%v): %s", p.command.Path, p.err, tail(log))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer (%w): %s", p.command.Path, err, tail(log))
		case <-tick.C:
		}
	}
}

// tail is the end of a log file, for an error message.
func tail(log string) string {
	content, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-2000):])
}

// run runs a program to its end and returns its output in the error when it fails.
func run(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command.Path, err, output)
	}
	return nil
}
