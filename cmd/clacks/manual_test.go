package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"clacks/events"
	"clacks/xquery"
)

// TestManuals tries every example of the manuals: each fenced block says what it is, and blocks of another kind fail.
//
//	console           a transcript: commands behind "$ ", continued behind "> ", and what they print. "..." in a line
//	                  stands for any text, on a line of its own for any lines. A command fails only where the next one
//	                  is "echo $?". All transcripts of a manual run in one shell, beside the service of "make run".
//	xml definitions   definition files, loaded together with the shipped types and compiled; with a name behind it, the
//	                  file is there for the transcripts as well
//	xml attribute     an attribute that could be added to User
//	xml event         an event, valid by the shipped schemas
//	xquery            compiled
//	xml wrong         a file for the transcripts
//	yaml              a configuration file, accepted; with a path behind it, that file of the project, word for word
//	go, python, js    with a path behind it, that file of the project, word for word
//	json              well-formed
//	text              for reading only
func TestManuals(t *testing.T) {
	for _, path := range manuals(t) {
		t.Run(strings.TrimPrefix(path, repository+"/"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tryManual(t, fencedBlocks(string(text)))
			checkLinks(t, path, string(text))
		})
	}
}

const repository = "../.."

// manuals are all Markdown files for readers. That of the configuration has a test of its own.
func manuals(t *testing.T) []string {
	t.Helper()
	list := []string{repository + "/README.md"}
	for _, folder := range []string{"docs", "examples"} {
		err := filepath.WalkDir(repository+"/"+folder, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" && path != configurationManual {
				list = append(list, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// block is a fenced block of a manual.
type block struct {
	line int // of its first line of text
	kind string
	name string // of a file, or ""
	text string
}

func fencedBlocks(manual string) []block {
	var blocks []block
	inside := false
	n := 0
	for line := range strings.Lines(manual) {
		n++
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !inside:
			kind, name := strings.TrimSpace(info), ""
			if i := strings.LastIndex(kind, " "); strings.Contains(kind[i+1:], ".") {
				kind, name = kind[:i], kind[i+1:]
			}
			blocks = append(blocks, block{line: n + 1, kind: kind, name: name})
			inside = true
		case fence:
			inside = false
		case inside:
			blocks[len(blocks)-1].text += line
		}
	}
	return blocks
}

func tryManual(t *testing.T, blocks []block) {
	t.Helper()
	dir := t.TempDir()
	var transcript []command
	for _, b := range blocks {
		if b.kind == "console" {
			transcript = append(transcript, commandsOf(b)...)
			continue
		}
		if b.name != "" && !strings.Contains(b.name, "/") {
			writeFile(t, filepath.Join(dir, b.name), b.text)
		}
		if err := tryBlock(t, b); err != nil {
			t.Errorf("line %d: %v", b.line, err)
		}
	}
	if len(transcript) > 0 {
		runTranscript(t, dir, transcript)
	}
}

func tryBlock(t *testing.T, b block) error {
	t.Helper()
	switch b.kind {
	case "xml definitions":
		return tryDefinitions(t, b.text)
	case "xml attribute":
		return tryDefinitions(t, attributeBefore+b.text+attributeBehind)
	case "xml event":
		schemas, err := events.LoadSchemas()
		if err != nil {
			return err
		}
		return schemas.Validate([]byte(b.text))
	case "xquery":
		_, err := xquery.Compile(b.text, xquery.Options{})
		return err
	case "yaml":
		return tryConfiguration(t, b)
	case "go", "python", "js":
		return sameFile(b)
	case "json":
		return json.Unmarshal([]byte(b.text), new(any))
	case "text", "xml wrong":
		return nil
	}
	return fmt.Errorf("no test for a block of the kind %q", b.kind)
}

// sameFile wants a block to be the file that it names.
func sameFile(b block) error {
	file, err := os.ReadFile(filepath.Join(repository, b.name))
	if err == nil && string(file) != b.text {
		err = fmt.Errorf("%s is another", b.name)
	}
	return err
}

func tryConfiguration(t *testing.T, b block) error {
	t.Helper()
	if b.name != "" {
		return sameFile(b)
	}
	path := filepath.Join(t.TempDir(), "clacks.yaml")
	writeFile(t, path, b.text)
	_, err := loadConfig(path)
	return err
}

const (
	attributeBefore = `<Objects xmlns="http://www.gonicus.de/Objects"><Amendment object="User"><BackendParameters>` +
		`<Backend table="employees" key="uid=login">SQL</Backend></BackendParameters><Attributes>`
	attributeBehind = `</Attributes></Amendment></Objects>`
)

func tryDefinitions(t *testing.T, text string) error {
	path := filepath.Join(t.TempDir(), "example.xml")
	writeFile(t, path, text)
	config := defaultConfig()
	config.Definitions.Paths = []string{path}
	config.complete()
	_, problems, err := compileDefinitions(config, nil)
	if len(problems) > 0 {
		err = fmt.Errorf("%v", problems)
	}
	return err
}

// command is a command of a transcript.
type command struct {
	line         int
	text, output string
}

func commandsOf(b block) []command {
	var commands []command
	n := b.line - 1
	for line := range strings.Lines(b.text) {
		n++
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, command{line: n, text: text})
			continue
		}
		if len(commands) == 0 {
			commands = append(commands, command{line: n, text: ":\n"})
		}
		last := &commands[len(commands)-1]
		if text, ok := strings.CutPrefix(line, "> "); ok && last.output == "" {
			last.text += text
			continue
		}
		last.output += line
	}
	return commands
}

// makeRun is the service's command line in the Makefile.
var makeRun = regexp.MustCompile(`(?m)^\t\$\(BIN\)/clacks (serve .*)$`)

// These are where "make run" listens; the tests listen elsewhere.
const (
	address     = "http://127.0.0.1:8050"
	amqpAddress = "amqp://127.0.0.1:5672"
)

// runTranscript runs the commands in one shell and compares what they print.
func runTranscript(t *testing.T, dir string, commands []command) {
	t.Helper()
	service := runAsMake(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	const mark = "\n@@ status "
	var script strings.Builder
	script.WriteString("status=0\n")
	for _, c := range commands {
		text := strings.NewReplacer(address, service.url, amqpAddress, service.amqp).Replace(c.text)
		fmt.Fprintf(&script, "(exit $status)\n%sstatus=$?; printf '\\n@@ status %%d\\n' $status\n", text)
	}
	writeFile(t, filepath.Join(dir, "transcript.sh"), script.String())
	shell := exec.CommandContext(ctx, "bash", "--norc", "transcript.sh")
	shell.Dir = dir
	shell.Env = append(os.Environ(), "CLACKS_URL="+service.url)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) } // what it waits for, too
	out, err := shell.CombinedOutput()
	rest := strings.NewReplacer(service.url, address, service.amqp, amqpAddress).Replace(string(out))
	for i, c := range commands {
		printed, behind, ok := strings.Cut(rest, mark)
		if !ok {
			t.Errorf("line %d: the transcript ended: %v\n%s", c.line, err, rest)
			return
		}
		status, next, _ := strings.Cut(behind, "\n")
		rest = next
		if code, _ := strconv.Atoi(status); code != 0 && (i+1 == len(commands) || commands[i+1].text != "echo $?\n") {
			t.Errorf("line %d: exit status %d", c.line, code)
		}
		if printed != "" && !strings.HasSuffix(printed, "\n") {
			printed += "\n" // what ends without a line break is shown on a line of its own all the same
		}
		if !pattern(c.output).MatchString(printed) {
			t.Errorf("line %d: $ %s\nprints\n%s\ninstead of\n%s", c.line, c.text, printed, c.output)
		}
	}
}

// pattern is what an expected output matches.
func pattern(output string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for line := range strings.Lines(output) {
		if strings.TrimSpace(line) == "..." {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, `.*`))
	}
	return regexp.MustCompile(b.String() + `\z`)
}

// runAsMake starts what "make run" starts, in another folder and on a free port.
func runAsMake(t *testing.T, dir string) *daemon {
	t.Helper()
	makefile, err := os.ReadFile(repository + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	line := makeRun.FindSubmatch(makefile)
	if line == nil {
		t.Fatal("the Makefile starts no service")
	}
	replacer := strings.NewReplacer("$(DATA)", "data", "$(HTTP)", "127.0.0.1:0", "$(AMQP)", "127.0.0.1:0")
	for _, link := range []string{"examples", "docs"} {
		target, err := filepath.Abs(filepath.Join(repository, link))
		if err == nil {
			err = os.Symlink(target, filepath.Join(dir, link))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	service, err := startDaemon(dir, nil, strings.Fields(replacer.Replace(string(line[1])))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.kill)
	if err := service.awaitReady(); err != nil {
		t.Fatal(err)
	}
	return service
}

var link = regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`)

// checkLinks wants every linked file of the project to exist.
func checkLinks(t *testing.T, path, text string) {
	t.Helper()
	for _, match := range link.FindAllStringSubmatch(text, -1) {
		if strings.Contains(match[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), match[1])); err != nil {
			t.Errorf("broken link: %v", err)
		}
	}
}

// TestProductionExample holds examples/config to what the loader accepts.
func TestProductionExample(t *testing.T) {
	files, err := filepath.Glob(repository + "/examples/config/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		if _, err := loadConfig(file); err != nil {
			t.Error(err)
		}
	}
}
