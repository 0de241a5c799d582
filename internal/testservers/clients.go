package testservers

import (
	"context"
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// rheaFiles name rhea and what it needs, in exact versions.
//
//go:embed rhea/package.json rhea/package-lock.json
var rheaFiles embed.FS

// ProtonPython is a Python that has Apache Proton (python3-qpid-proton). Debian's packages are those of /usr/bin/python3,
// which need not be the first in PATH.
func ProtonPython(t testing.TB) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import proton").Run() == nil {
			return python
		}
	}
	require(t, &MissingError{Program: "Apache Proton for Python", Hint: "apt-get install python3-qpid-proton"})
	return ""
}

// Rhea is a folder in which node finds rhea: npm installs it there. The test is skipped, or fails on a CI machine, when
// there is no npm or it cannot get at its registry.
func Rhea(t testing.TB) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			require(t, &MissingError{Program: program, Hint: "apt-get install nodejs npm"})
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := rheaFiles.ReadFile("rhea/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if output, err := install.CombinedOutput(); err != nil {
		require(t, &MissingError{Program: "rhea", Hint: "npm ci: " + err.Error() + ": " + string(output)})
	}
	return dir
}
