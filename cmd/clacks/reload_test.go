package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const reloadAmendment = `<?xml version="1.0" encoding="UTF-8"?>
<Objects xmlns="http://www.gonicus.de/Objects">
  <Amendment object="User">
    <BackendParameters>
      <Backend objectClasses="acmePerson">LDAP</Backend>
    </BackendParameters>
    <Attributes>
      <Attribute>
        <Name>NAME</Name>
        <Description>The size of the shoes, in Paris points.</Description>
        <Type>Integer</Type>
      </Attribute>
    </Attributes>
  </Amendment>
</Objects>
`

// TestReload: definitions that change on disk are taken over without a restart; ones that cannot be used are refused, and
// the former ones go on; an open object keeps those that it was opened with.
func TestReload(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "acme.xml")
	writeFile(t, file, strings.Replace(reloadAmendment, "NAME", "shoeSize", 1))
	s := mustStart(t, "--data", t.TempDir(), "--definitions", folder)
	var people, user struct{ DN string }
	s.mustCall("createObject", map[string]any{"type": "PeopleContainer", "base": "dc=example,dc=net"}, &people)
	s.mustCall("createObject", map[string]any{"type": "User", "base": people.DN, "attributes": map[string]any{
		"uid": "ada", "cn": "Ada", "sn": "Lovelace", "shoeSize": 38,
	}}, &user)
	set := func(attribute string) error {
		return s.call("updateObject", map[string]any{"id": user.DN, "changes": map[string]any{attribute: 39}}, nil)
	}
	if err := set("hatSize"); err == nil || !strings.Contains(err.Error(), "hatSize") {
		t.Fatalf("an attribute that is not defined yet: %v", err)
	}

	writeFile(t, file, strings.Replace(reloadAmendment, "NAME", "hatSize", 1))
	s.mustCall("reloadDefinitions", map[string]any{}, nil)
	if err := set("hatSize"); err != nil {
		t.Fatalf("after a reload by command: %v", err)
	}

	writeFile(t, file, strings.Replace(reloadAmendment, `object="User"`, `object="Usr"`, 1))
	err := s.call("reloadDefinitions", map[string]any{}, nil)
	if err == nil || !strings.Contains(err.Error(), "acme.xml:3:") || !strings.Contains(err.Error(), `did you mean "User"?`) {
		t.Errorf("a definition that cannot be used: %v", err)
	}
	if err := set("hatSize"); err != nil {
		t.Errorf("after a refused reload the former definitions do not work: %v", err)
	}

	writeFile(t, file, strings.Replace(reloadAmendment, "NAME", "coatSize", 1))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the reload on SIGHUP", func() bool { return set("coatSize") == nil })

	writeFile(t, file, strings.Replace(reloadAmendment, "NAME", "gloveSize", 1))
	waitFor(t, "the reload of a changed file", func() bool { return set("gloveSize") == nil })

	if err := os.WriteFile(file, []byte("<Objects"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the refusal of a broken file", func() bool { return strings.Contains(s.log.String(), "not usable") })
	if err := set("gloveSize"); err != nil {
		t.Errorf("after a broken file: %v", err)
	}
	s.stop()
}

// waitFor polls a condition that has to become true.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("%s did not happen", what)
}
