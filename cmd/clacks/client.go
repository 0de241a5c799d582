package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"clacks"
	"clacks/rpc/client"
	"clacks/xquery"
)

// clientFlags say which service is asked, and as whom.
type clientFlags struct {
	URL          string `env:"CLACKS_URL" default:"http://127.0.0.1:8050" help:"Address of the service; amqp://HOST:PORT or amqps://HOST:PORT for the bus."`
	User         string `env:"CLACKS_USER" default:"admin" help:"Who asks."`
	PasswordFile string `env:"CLACKS_PASSWORD_FILE" placeholder:"FILE" help:"File with the password, unless CLACKS_PASSWORD holds it."`
	Domain       string `env:"CLACKS_DOMAIN" default:"org.clacks" help:"Domain of the service, for the addresses of the bus."`
}

func (f clientFlags) client() (*client.Client, error) {
	password := os.Getenv("CLACKS_PASSWORD")
	if password == "" && f.PasswordFile == "" {
		return nil, errors.New("no password: set CLACKS_PASSWORD, or name a file with --password-file or CLACKS_PASSWORD_FILE")
	}
	if password == "" {
		var err error
		if password, err = readSecret(f.PasswordFile); err != nil {
			return nil, err
		}
	}
	return &client.Client{URL: f.URL, User: f.User, Password: password, Domain: f.Domain}, nil
}

// closeClient ends the connection of a client that has one.
func closeClient(c *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // the answer is there: whether the farewell is heard matters to nobody
}

type callCommand struct {
	clientFlags
	Wait       time.Duration `placeholder:"TIME" help:"Try again for this long while the service is not there or not ready."`
	Field      string        `placeholder:"PATH" help:"Print only this field of the result, a string without quotes: uuid, objects.0.dn; . for the whole."`
	Method     string        `arg:"" help:"Name of the command; getMethods lists them."`
	Parameters []string      `arg:"" optional:"" passthrough:"partial" help:"Parameters: name=TEXT or name:=JSON by name, or JSON values in order, or one JSON object."`
}

// Run implements the sub-command.
func (c callCommand) Run(ctx context.Context, env environment) error {
	connection, err := c.client()
	if err != nil {
		return err
	}
	defer closeClient(connection)
	params, err := parseParameters(c.Parameters)
	if err != nil {
		return err
	}
	result, err := c.call(ctx, connection, params)
	if err != nil {
		return reportFailure(env, err)
	}
	if c.Field != "" {
		return printField(env, result, c.Field)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, result, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, indented.String())
	return err
}

// call asks again while the service is unavailable, for as long as the flag allows. That is safe for a change as well:
// an unavailable service has not made it, unless its answer was lost, and then only with an idempotency key.
func (c callCommand) call(ctx context.Context, connection *client.Client, params any) (json.RawMessage, error) {
	deadline := time.Now().Add(c.Wait)
	for {
		result, err := connection.Call(ctx, c.Method, params)
		if err == nil || !clacks.IsKind(err, clacks.Unavailable) || time.Now().After(deadline) {
			return result, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// parseParameters reads parameters by name, by position, or as one object.
func parseParameters(arguments []string) (any, error) {
	named, positional := map[string]any{}, []any{}
	for _, argument := range arguments {
		name, value, isNamed := splitNamed(argument)
		if isNamed {
			named[name] = value
			if text, ok := strings.CutPrefix(argument, name+":="); ok {
				if !json.Valid([]byte(text)) {
					return nil, fmt.Errorf("parameter %s: %s is not JSON; write %s=TEXT for a text", name, text, name)
				}
				named[name] = json.RawMessage(text)
			}
			continue
		}
		if strings.HasPrefix(argument, "--") {
			return nil, fmt.Errorf("%s: flags stand before the name of the command", argument)
		}
		if !json.Valid([]byte(argument)) {
			return nil, fmt.Errorf("%s is neither JSON nor name=TEXT nor name:=JSON; a text in JSON has quotes: %s", argument, strconv.Quote(argument))
		}
		positional = append(positional, json.RawMessage(argument))
	}
	switch {
	case len(named) > 0 && len(positional) > 0:
		return nil, errors.New("parameters are either all by name or all by position")
	case len(named) > 0:
		return named, nil
	case len(positional) == 1 && strings.HasPrefix(strings.TrimSpace(arguments[0]), "{"):
		return positional[0], nil
	case len(positional) > 0:
		return positional, nil
	}
	return nil, nil
}

// splitNamed takes name=TEXT and name:=JSON apart.
func splitNamed(argument string) (name, value string, ok bool) {
	end := strings.IndexFunc(argument, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
	if end <= 0 {
		return "", "", false
	}
	rest := argument[end:]
	if text, found := strings.CutPrefix(rest, "="); found {
		return argument[:end], text, true
	}
	if strings.HasPrefix(rest, ":=") {
		return argument[:end], "", true
	}
	return "", "", false
}

// printField prints one field of a result.
func printField(env environment, result json.RawMessage, path string) error {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(result))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	if path != "." {
		for part := range strings.SplitSeq(path, ".") {
			next, ok := step(value, part)
			if !ok {
				return fmt.Errorf("the result has no field %s", path)
			}
			value = next
		}
	}
	if text, ok := value.(string); ok {
		_, err := fmt.Fprintln(env.stdout, text)
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, string(text))
	return err
}

func step(value any, name string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		m, ok := v[name]
		return m, ok
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// reportFailure prints what the service said, a line a field.
func reportFailure(env environment, err error) error {
	var failed *client.Error
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Data == nil || len(failed.Data.Fields) == 0 {
		_, _ = fmt.Fprintf(env.stderr, "clacks: %s\n", failed.Message)
		return failure{1}
	}
	_, _ = fmt.Fprintf(env.stderr, "clacks: %s\n", failed.Data.Reason)
	for _, f := range failed.Data.Fields {
		_, _ = fmt.Fprintf(env.stderr, "clacks:   %s: %s (%s)\n", f.Attribute, f.Reason, f.Code)
	}
	return failure{1}
}

type eventsCommand struct {
	Watch watchCommand `cmd:"" help:"Print events as they come."`
}

type watchCommand struct {
	clientFlags
	XQuery     string `name:"xquery" placeholder:"QUERY" help:"Print only events that this XQuery selects; Event/ObjectChanged[ChangeType = 'create'], for example." xor:"query"`
	XQueryFile string `name:"xquery-file" type:"existingfile" help:"File with the XQuery." xor:"query"`
	From       string `placeholder:"SEQ|TIME" help:"Begin with this sequence number, or at this time (RFC 3339); default: now."`
	Count      int    `placeholder:"N" help:"End after this many events."`
}

// Validate is called by the command-line parser.
func (c watchCommand) Validate(*kong.Context) error {
	if c.Count < 0 {
		return errors.New("--count: a number of events is not negative")
	}
	return nil
}

// Run implements the sub-command.
func (c watchCommand) Run(ctx context.Context, env environment) error {
	connection, err := c.client()
	if err != nil {
		return err
	}
	query := c.XQuery
	if c.XQueryFile != "" {
		text, err := os.ReadFile(c.XQueryFile)
		if err != nil {
			return err
		}
		if len(text) > xquery.MaxSource {
			return fmt.Errorf("%s: a query has at most %d bytes", c.XQueryFile, xquery.MaxSource)
		}
		query = string(text)
	}
	seen := 0
	for event, err := range connection.Events(ctx, query, c.From) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(env.stdout, "%s\n", event.Document); err != nil {
			return err
		}
		if seen++; seen == c.Count {
			return nil
		}
	}
	return nil
}
