// Command clacks is the one binary of Clacks: the service, and the tools of its users. It holds flags, configuration and
// wiring, and no logic: what a sub-command does lives in the packages that it joins.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"clacks"
)

// environment is what a sub-command may use of the outside, so that a test runs one without a process.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

type commandLine struct {
	Serve       serveCommand       `cmd:"" help:"Run the service."`
	Call        callCommand        `cmd:"" help:"Call a command of a running service and print its result as JSON."`
	Events      eventsCommand      `cmd:"" help:"Work with the events of a running service."`
	Bus         busListCommand     `cmd:"" help:"Show the bus of a running service: agents, connections, links and queues."`
	Definitions definitionsCommand `cmd:"" help:"Check and explain object definitions."`
	XQuery      xqueryCommand      `cmd:"" name:"xquery" help:"Run an XQuery and print its result."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// failure is an error that has been reported to the user already; only the exit status is left to say.
type failure struct{ status int }

func (f failure) Error() string { return fmt.Sprintf("exit status %d", f.status) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(status)
}

// run parses the arguments and runs one sub-command; its result is the exit status: 0, 1 for a failure, 2 for a wrong
// command line.
func run(ctx context.Context, arguments []string, env environment) int {
	var line commandLine
	exited, status := false, 0
	parser, err := kong.New(&line,
		kong.Name("clacks"),
		kong.Description("Objects over LDAP and SQL: described in XML, used by RPC, announced by events."),
		kong.Writers(env.stdout, env.stderr),
		kong.Exit(func(code int) { exited, status = true, code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(env),
		kong.UsageOnError(),
	)
	if err != nil {
		panic(err)
	}
	parsed, err := parser.Parse(arguments)
	if exited {
		return status
	}
	if err != nil {
		_, _ = fmt.Fprintf(env.stderr, "clacks: %v\nclacks: see clacks --help\n", err)
		return 2
	}
	return exitStatus(parsed.Run(), env)
}

func exitStatus(err error, env environment) int {
	if err == nil {
		return 0
	}
	var f failure
	if errors.As(err, &f) {
		return f.status
	}
	_, _ = fmt.Fprintf(env.stderr, "clacks: %s\n", sentence(err))
	return 1
}

// sentence is an error for people: without the names of operations, which are for logs.
func sentence(err error) string {
	var e *clacks.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := e.Message()
	if e.Err != nil && !strings.Contains(text, e.Err.Error()) {
		text += ": " + e.Err.Error()
	}
	return strings.Replace(err.Error(), e.Error(), text, 1)
}

type versionCommand struct{}

func (versionCommand) Run(env environment) error {
	_, err := fmt.Fprintln(env.stdout, "clacks", version())
	return err
}

// version is the module's version, or the revision that the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}
