package definitions

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// referenceObjects are the definition files of the first Clacks. They are no part of the project.
const referenceObjects = "../../shared/reference/clacks/objects"

func TestReferenceFilesLoad(t *testing.T) {
	if _, err := os.Stat(referenceObjects); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference files are not here")
	}
	sources, err := ReadPath(referenceObjects)
	if err != nil || len(sources) != 33 {
		t.Fatal(len(sources), err)
	}
	set, problems := Load(sources, Options{Backends: []string{"LDAP", "JSON", "NULL"}})
	for _, p := range problems {
		t.Log(p)
	}
	_ = filepath.Base
	if set == nil {
		t.Fatal("no set")
	}
}
