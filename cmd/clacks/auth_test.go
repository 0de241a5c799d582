package main

import (
	"context"
	"os"
	"testing"

	"clacks"
	"clacks/access"
	"clacks/backends"
	"clacks/objects"
)

// nobodyThere is a directory without users, in which some names cannot even be asked for.
type nobodyThere struct{ binds int }

func (d *nobodyThere) Search(_ context.Context, _ access.User, r objects.SearchRequest) (*objects.SearchResult, error) {
	if r.Filter[loginName] == "a\xff" {
		return nil, clacks.E(clacks.Invalid, "test", "not UTF-8")
	}
	return &objects.SearchResult{}, nil
}

func (d *nobodyThere) Bind(context.Context, string, string) error {
	d.binds++
	return clacks.E(clacks.Unauthenticated, "test", "wrong")
}

var _ backends.Binder = (*nobodyThere)(nil)

// A name that no user can have is a wrong name like any other.
func TestNamesThatNobodyHas(t *testing.T) {
	d := &nobodyThere{}
	a := &authenticator{admin: "admin", users: d, binder: d, prepared: func() bool { return true }}
	for i, name := range []string{"ada", "a\xff", "a*"} {
		_, err := a.Authenticate(t.Context(), name, "secret")
		if !clacks.IsKind(err, clacks.Unauthenticated) || d.binds != i+1 {
			t.Errorf("%q: %v after %d binds", name, err, d.binds)
		}
	}
}

// The databases hold hashes of passwords, and the folder may have been made by somebody else for all to read.
func TestFilesAreForTheServiceAlone(t *testing.T) {
	data := t.TempDir()
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	mustStart(t, "--data", data).stop()
	files, err := os.ReadDir(data)
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %v", file.Name(), info.Mode())
		}
	}
}
