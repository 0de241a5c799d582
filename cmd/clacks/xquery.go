package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"clacks/xquery"
)

type xqueryCommand struct {
	Input      string        `short:"i" placeholder:"FILE" help:"XML document that the query begins at; - is the standard input."`
	Query      *string       `short:"q" placeholder:"QUERY" help:"The query itself, instead of a file with it."`
	Var        []string      `sep:"none" placeholder:"NAME=VALUE" help:"Value of an external variable, read by its declared type; NAME=@FILE is an XML document. Repeated, it is a sequence."`
	Method     string        `enum:",xml,html,xhtml,text,json,adaptive" default:"" placeholder:"METHOD" help:"How to write the result: xml, html, xhtml, text, json or adaptive. Else as the query declares, else each item on a line."`
	Indent     bool          `help:"Indent the result."`
	AllowFiles string        `type:"existingdir" placeholder:"DIR" help:"Let the query read files of this folder: modules, doc(), unparsed-text(). Else it reads nothing but its input."`
	Color      string        `enum:"auto,always,never" default:"auto" help:"Colours: auto (on a terminal, unless NO_COLOR is set), always or never."`
	Timeout    time.Duration `default:"1m" help:"End the query after this time."`
	MaxInput   size          `default:"64M" help:"Largest XML document to read, in bytes (or K, M, G)."`
	MaxSize    size          `default:"128M" help:"Most that the query may construct, in bytes (or K, M, G)."`
	MaxSteps   int           `default:"1000000000" help:"Most steps that the query may take."`
	MaxDepth   int           `default:"2048" help:"Deepest nesting of function calls."`
	File       string        `arg:"" optional:"" placeholder:"FILE.xq" help:"File with the query; - is the standard input."`
}

// size is a number of bytes; K, M and G stand for powers of 1024.
type size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	digits, shift := string(text), 0
	if n := len(digits) - 1; n > 0 {
		if i := strings.IndexByte("KMG", digits[n]); i >= 0 {
			digits, shift = digits[:n], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is no size; write 512K, 64M or 2G", text)
	}
	*s = size(n << shift)
	return nil
}

// interrupted is the exit status of what Ctrl-C ends, as shells give it.
const interrupted = 130

// Run implements the sub-command.
func (c xqueryCommand) Run(ctx context.Context, env environment) error {
	// The evaluation ends by its context; a second Ctrl-C ends the process, whatever it does.
	defer context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })()
	// What is nested deeply is walked through recursively: the more a query may construct, the more stack that takes.
	debug.SetMaxStack(max(1<<30, 8*int(c.MaxSize)))
	run := &xqueryRun{xqueryCommand: c, env: env, sources: make(map[string]string)}
	err := run.run(ctx)
	if err != nil && ctx.Err() != nil {
		return failure{interrupted}
	}
	return run.report(err)
}

// xqueryRun is one run of the sub-command.
type xqueryRun struct {
	xqueryCommand
	env     environment
	folder  *folder           // nil unless the query may read files
	sources map[string]string // what errors may point into, by file
}

// wrongUsage is a mistake on the command line.
type wrongUsage struct{ message string }

func (w wrongUsage) Error() string { return w.message }

func (r *xqueryRun) run(ctx context.Context) error {
	source, file, err := r.source(ctx)
	if err != nil {
		return err
	}
	if err := r.openFolder(file); err != nil {
		return err
	}
	names, values, err := r.variables(ctx)
	if err != nil {
		return err
	}
	query, err := r.compile(source, file, names)
	if err != nil {
		return err
	}
	input, err := r.input(ctx, query, names, values)
	if err != nil {
		return err
	}
	return r.write(ctx, query, input)
}

// source is the text of the query, and the file that it stands in.
func (r *xqueryRun) source(ctx context.Context) (source, file string, err error) {
	switch {
	case r.Query != nil && r.File != "":
		return "", "", wrongUsage{"a query is either given with -q or in a file"}
	case r.Query == nil && r.File == "":
		return "", "", wrongUsage{"no query: give one with -q, or a file"}
	case r.Query != nil:
		r.sources[""] = *r.Query
		return *r.Query, "", nil
	case r.File == "-" && r.Input == "-":
		return "", "", wrongUsage{"the query and the document cannot both come from the standard input"}
	}
	text, err := r.read(ctx, r.File, xquery.MaxSource)
	if err != nil {
		return "", "", err
	}
	if r.File != "-" {
		file = r.File
	}
	r.sources[file] = string(text)
	return string(text), file, nil
}

// read reads a file, or the standard input, which the end of the context interrupts.
func (r *xqueryRun) read(ctx context.Context, name string, most int64) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		return readAtMost(f, name, most)
	}
	type outcome struct {
		text []byte
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		text, err := readAtMost(r.env.stdin, "the standard input", most)
		done <- outcome{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case o := <-done:
		return o.text, o.err
	}
}

func readAtMost(from io.Reader, name string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(text)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return text, err
}

// document reads an XML document. Errors in it point into its file.
func (r *xqueryRun) document(ctx context.Context, name string) (*xquery.Document, error) {
	text, err := r.read(ctx, name, int64(r.MaxInput))
	if err != nil {
		return nil, err
	}
	return r.parse(text, name)
}

// documentDepth bounds the nesting of documents.
const documentDepth = 1000

func (r *xqueryRun) parse(text []byte, name string) (*xquery.Document, error) {
	document, err := xquery.ParseDocument(text, xquery.ParseLimits{Size: int(r.MaxInput), Depth: documentDepth})
	var e *xquery.Error
	if errors.As(err, &e) {
		e.File = name
		r.sources[name] = string(text)
	}
	return document, err
}

// variables are the values of --var by the names of variables, texts or documents, and the names in their order.
func (r *xqueryRun) variables(ctx context.Context) (names []string, values map[string][]any, err error) {
	values = make(map[string][]any)
	for _, v := range r.Var {
		name, text, found := cutVariable(v)
		if !found {
			return nil, nil, wrongUsage{fmt.Sprintf("--var %s: write NAME=VALUE or NAME=@FILE", v)}
		}
		var value any = text
		if file, ok := strings.CutPrefix(text, "@"); ok {
			if value, err = r.document(ctx, file); err != nil {
				return nil, nil, err
			}
		}
		if _, known := values[name]; !known {
			names = append(names, name)
		}
		values[name] = append(values[name], value)
	}
	return names, values, nil
}

// cutVariable splits NAME=VALUE; the URI of a Q{uri}name may hold the sign.
func cutVariable(v string) (name, value string, found bool) {
	start := 0
	if strings.HasPrefix(v, "Q{") {
		start = max(strings.IndexByte(v, '}'), 0)
	}
	i := strings.IndexByte(v[start:], '=')
	if i <= 0 {
		return "", "", false
	}
	return v[:start+i], v[start+i+1:], true
}

func (r *xqueryRun) compile(source, file string, names []string) (*xquery.Query, error) {
	options := xquery.Options{File: file, Namespaces: map[string]string{"output": outputNamespace}}
	for _, name := range names {
		if !strings.HasPrefix(name, "Q{") {
			options.Variables = append(options.Variables, name)
		}
	}
	if r.folder != nil {
		options.BaseURI = r.folder.base
		options.Modules = r.modules
	}
	return xquery.Compile(source, options)
}

// outputNamespace is that of the serialization parameters (XSLT and XQuery Serialization 3.1).
const outputNamespace = "http://www.w3.org/2010/xslt-xquery-serialization"

// input is what the query works on.
func (r *xqueryRun) input(
	ctx context.Context, query *xquery.Query, names []string, values map[string][]any,
) (xquery.Input, error) {
	in := xquery.Input{
		Variables: make(map[string]xquery.Sequence, len(names)),
		Limits: xquery.Limits{
			Steps: r.MaxSteps, Depth: r.MaxDepth, Constructed: int(r.MaxSize), Time: r.Timeout,
		},
	}
	if r.folder != nil {
		in.Documents, in.Texts = r.readDocument, r.readText
	}
	for _, name := range names {
		value, err := query.Supply(name, values[name]...)
		if err != nil {
			return in, wrongUsage{"--var: " + err.Error()}
		}
		in.Variables[name] = value
	}
	if r.Input == "" {
		return in, nil
	}
	document, err := r.document(ctx, r.Input)
	if err != nil {
		return in, err
	}
	in.Context = document
	return in, nil
}

// write evaluates the query and writes its result while it comes.
func (r *xqueryRun) write(ctx context.Context, query *xquery.Query, in xquery.Input) error {
	parameters := query.Output()
	if parameters == nil {
		parameters = make(map[string]string)
	}
	if r.Method != "" {
		parameters["method"] = r.Method
	}
	if r.Indent {
		parameters["indent"] = "yes"
	}
	out := newResultWriter(r.env.stdout, r.colours(r.env.stdout), parameters["method"])
	err := query.Stream(ctx, in, out, parameters)
	return errors.Join(err, out.end())
}

// openFolder makes the folder of --allow-files available. The URIs of a query are relative to the folder that it stands
// in; that of a query without a file is the working directory.
func (r *xqueryRun) openFolder(file string) error {
	if r.AllowFiles == "" {
		return nil
	}
	base, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return err
	}
	r.folder, err = openFolder(r.AllowFiles, base)
	return err
}
