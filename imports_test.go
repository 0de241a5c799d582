package clacks_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// mayImport is the architecture: what each folder may import of the others. A folder that is not listed, or an import
// that is not listed, fails. Arrows run downwards only.
var mayImport = map[string]string{
	"clacks":                      "",
	"clacks/internal/failpoint":   "",
	"clacks/internal/nearest":     "",
	"clacks/internal/dn":          "clacks",
	"clacks/internal/store":       "clacks",
	"clacks/internal/password":    "clacks",
	"clacks/internal/xsd":         "clacks",
	"clacks/internal/testservers": "",
	"clacks/migrations":           "clacks clacks/internal/store",
	"clacks/xquery":               "clacks/internal/nearest",
	"clacks/access":               "",
	"clacks/definitions":          "clacks clacks/internal/xsd clacks/internal/nearest",
	"clacks/definitions/builtin":  "clacks/definitions",
	"clacks/backends":             "clacks clacks/internal/store",
	"clacks/backends/backendtest": "clacks clacks/backends clacks/internal/store clacks/internal/dn",
	"clacks/backends/null":        "clacks clacks/backends",
	"clacks/backends/ldap":        "clacks clacks/backends clacks/internal/dn",
	"clacks/backends/sql":         "clacks clacks/backends clacks/internal/store",
	"clacks/backends/directory":   "clacks clacks/backends clacks/internal/store clacks/internal/dn clacks/internal/password",
	"clacks/mapping":              "clacks clacks/definitions clacks/backends clacks/xquery clacks/internal/password clacks/internal/dn clacks/internal/nearest",
	"clacks/objects/journal":      "clacks clacks/backends clacks/internal/store clacks/internal/dn clacks/internal/failpoint",
	"clacks/objects": "clacks clacks/access clacks/mapping clacks/definitions clacks/backends clacks/xquery clacks/objects/journal " +
		"clacks/internal/store clacks/internal/dn clacks/internal/nearest clacks/internal/failpoint",
	"clacks/events":        "clacks clacks/access clacks/objects clacks/xquery clacks/internal/store clacks/internal/xsd clacks/internal/nearest",
	"clacks/bus":           "clacks clacks/access",
	"clacks/bus/wire":      "clacks clacks/bus",
	"clacks/bus/container": "clacks clacks/access clacks/bus",
	"clacks/bus/listener":  "clacks clacks/access clacks/bus clacks/bus/wire clacks/bus/container",
	"clacks/bus/remote":    "clacks clacks/bus",
	"clacks/bus/bustest":   "clacks clacks/access clacks/bus",
	"clacks/rpc":           "clacks clacks/access clacks/objects clacks/events clacks/mapping clacks/definitions clacks/xquery clacks/internal/nearest",
}

// entrances may import everything below them, and each other: programs and the front doors' sub-folders.
var entrances = []string{"clacks/cmd/", "clacks/rpc/", "clacks/examples/", "clacks/bench"}

func TestImportsFollowTheArchitecture(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		checkImports(t, p.ImportPath, p.Imports)
	}
}

func checkImports(t *testing.T, path string, imports []string) {
	t.Helper()
	for _, entrance := range entrances {
		if strings.HasPrefix(path+"/", entrance) {
			return
		}
	}
	allowed, known := mayImport[path]
	if !known {
		t.Errorf("%s: the folder is not on the import map; a new folder has to earn its place there", path)
		return
	}
	for _, i := range imports {
		if i != "clacks" && !strings.HasPrefix(i, "clacks/") {
			continue
		}
		if !strings.Contains(" "+allowed+" ", " "+i+" ") {
			t.Errorf("%s imports %s, which the architecture does not allow", path, i)
		}
	}
}
