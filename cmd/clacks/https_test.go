package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clacks/internal/testservers"
)

// Over TLS the program's own client trusts the CA that the system's variable names; without it, and over plain HTTP, there
// is no answer to a password.
func TestHTTPS(t *testing.T) {
	certificates, err := testservers.MakeCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "clacks.yaml")
	writeFile(t, config, "http:\n  certificate: "+certificates.Cert+"\n  key: "+certificates.Key+"\n")
	s := startService(t, "", "--config", config, "--data", filepath.Join(dir, "data"))
	if s == nil {
		t.Fatal("the service did not start")
	}
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("it listens on %s", s.url)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	call := func(wait, url string, environment ...string) (string, string, error) {
		command := exec.Command(path, "call", "--url", url, "--wait", wait, "--field", ".", "getBase")
		command.Env = append(os.Environ(), append(environment, "CLACKS_PASSWORD="+testPassword)...)
		var stdout, stderr bytes.Buffer
		command.Stdout, command.Stderr = &stdout, &stderr
		err := command.Run()
		return strings.TrimSpace(stdout.String()), stderr.String(), err
	}
	out, message, err := call("20s", s.url, "SSL_CERT_FILE="+certificates.CA)
	if err != nil || out != "dc=example,dc=net" {
		t.Errorf("with the CA: %q, %v, %s", out, err, message)
	}
	if out, message, err := call("0s", s.url); err == nil || !strings.Contains(message, "certificate") {
		t.Errorf("without the CA: %q, %v, %s", out, err, message)
	}
	response, err := http.Get("http" + strings.TrimPrefix(s.url, "https") + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP on the TLS port: %s", response.Status)
	}
	s.stop()
}
