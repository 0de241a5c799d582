package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clacks/backends"
	"clacks/definitions"
	"clacks/definitions/builtin"
	"clacks/internal/password"
	"clacks/mapping"
)

type definitionsCommand struct {
	Check   checkCommand   `cmd:"" help:"Report everything that is wrong in definition files; exit status 1 if anything is."`
	Explain explainCommand `cmd:"" help:"Say where an attribute's value comes from and goes to."`
}

// definitionFlags name the definitions that a sub-command works on.
type definitionFlags struct {
	Config  string `type:"existingfile" help:"Configuration file: its definitions and backend names apply."`
	Builtin bool   `default:"true" negatable:"" help:"Include the types that Clacks ships."`
}

type checkCommand struct {
	definitionFlags
	Paths []string `arg:"" optional:"" type:"path" help:"Definition files, or folders of them."`
}

// Run implements the sub-command.
func (c checkCommand) Run(_ context.Context, env environment) error {
	config, err := c.config(c.Paths)
	if err != nil {
		return err
	}
	_, problems, err := compileDefinitions(config, nil)
	if err != nil {
		return err
	}
	for _, p := range problems {
		_, _ = fmt.Fprintln(env.stdout, p.String())
	}
	if len(problems) > 0 {
		return failure{1}
	}
	_, err = fmt.Fprintln(env.stdout, "no problems")
	return err
}

type explainCommand struct {
	definitionFlags
	Format string   `enum:"text,json" default:"text" help:"text or json."`
	What   string   `arg:"" help:"TYPE or TYPE.ATTRIBUTE."`
	Paths  []string `arg:"" optional:"" type:"path" help:"Definition files, or folders of them."`
}

// Run implements the sub-command.
func (c explainCommand) Run(_ context.Context, env environment) error {
	config, err := c.config(c.Paths)
	if err != nil {
		return err
	}
	set, problems, err := compileDefinitions(config, nil)
	if err != nil {
		return err
	}
	if set == nil {
		for _, p := range problems {
			_, _ = fmt.Fprintln(env.stderr, p.String())
		}
		return failure{1}
	}
	typeName, attribute, _ := strings.Cut(c.What, ".")
	explanations, err := set.Explain(typeName, attribute)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		encoder := json.NewEncoder(env.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(explanations)
	}
	for _, e := range explanations {
		if _, err := fmt.Fprint(env.stdout, explainText(e)); err != nil {
			return err
		}
	}
	return nil
}

// explainText shows an explanation for people.
func explainText(e mapping.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.%s (%s)\n", e.Type, e.Attribute, e.ValueType)
	for _, d := range e.From {
		fmt.Fprintf(&b, "  from %s\n", directionText(d))
	}
	for _, d := range e.To {
		fmt.Fprintf(&b, "  to   %s\n", directionText(d))
	}
	for _, note := range e.Notes {
		fmt.Fprintf(&b, "  note %s\n", note)
	}
	return b.String()
}

func directionText(d mapping.Direction) string {
	place := d.Backend
	if d.Table != "" {
		place += " " + d.Table
	}
	if d.Attribute != "" {
		place += " " + d.Attribute
	}
	if d.Query != "" {
		place += " = " + strings.Join(strings.Fields(d.Query), " ")
	}
	if len(d.Reads) > 0 {
		place += " (reads " + strings.Join(d.Reads, ", ") + ")"
	}
	return place
}

// config is the configuration of the flags, with further paths.
func (f definitionFlags) config(paths []string) (*Config, error) {
	config, err := loadConfig(f.Config)
	if err != nil {
		return nil, err
	}
	if !f.Builtin {
		config.Definitions.Builtin = false
	}
	config.Definitions.Paths = append(config.Definitions.Paths, paths...)
	return config, nil
}

// readDefinitions reads the shipped types and the configured files, in this order.
func readDefinitions(config *Config) ([]definitions.Source, error) {
	var sources []definitions.Source
	if config.Definitions.Builtin {
		sources = append(sources, builtin.Sources()...)
	}
	for _, path := range config.Definitions.Paths {
		read, err := definitions.ReadPath(path)
		if err != nil {
			return nil, err
		}
		sources = append(sources, read...)
	}
	if len(sources) == 0 {
		return nil, errors.New("there are no definitions: name a path, or use the built-in ones")
	}
	return sources, nil
}

// compileDefinitions loads and compiles what the configuration names. The set is nil when a problem is an error.
func compileDefinitions(config *Config, lookup mapping.Lookup) (*mapping.Set, []definitions.Problem, error) {
	sources, err := readDefinitions(config)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, 0, len(config.Backends))
	kinds := make(map[string]backends.Kind, len(config.Backends))
	for name, b := range config.Backends {
		names = append(names, name)
		kinds[name] = backendKind(b.Driver)
	}
	options := mapping.Options{Kinds: kinds, Lookup: lookup, PasswordScheme: config.hashScheme()}
	defs, problems := definitions.LoadPartly(sources, definitions.Options{Backends: names})
	alone := mapping.CheckSyntax(definitions.Queries(sources), options)
	if defs == nil {
		return nil, withMore(problems, alone), nil
	}
	set, more := mapping.Compile(defs, options)
	if definitions.HasErrors(problems) {
		set = nil
	}
	return set, withMore(problems, append(more, alone...)), nil
}

// withMore joins what loading and what compiling found, in the order of file and line. A line that loading has faulted is
// not faulted again: what compiling finds there may only follow from it.
func withMore(problems, more []definitions.Problem) []definitions.Problem {
	type line struct {
		file string
		line int
	}
	faulted := map[line]bool{}
	for _, p := range problems {
		if p.Severity == definitions.Error {
			faulted[line{p.File, p.Line}] = true
		}
	}
	for _, p := range more {
		if !faulted[line{p.File, p.Line}] {
			problems = append(problems, p)
		}
	}
	definitions.SortProblems(problems)
	return slices.Compact(problems)
}

func backendKind(driver string) backends.Kind {
	switch driver {
	case "ldap", "directory":
		return backends.Tree
	case "sql":
		return backends.Table
	default:
		return backends.None
	}
}

// hashScheme is how passwords are hashed for the directory that holds them: what its server is able to check.
func (c *Config) hashScheme() password.Scheme {
	b := c.Backends["LDAP"]
	switch {
	case b.Hash != "":
		return password.Scheme(b.Hash)
	case b.Driver == "ldap":
		return "CRYPT"
	default:
		return "ARGON2"
	}
}
