package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const configurationManual = "../../docs/configuration.md"

// TestConfigurationManual holds docs/configuration.md to the settings that there are. CLACKS_UPDATE=1 writes it.
func TestConfigurationManual(t *testing.T) {
	manual := configurationText()
	if os.Getenv("CLACKS_UPDATE") != "" {
		writeFile(t, configurationManual, manual)
	}
	stored, err := os.ReadFile(configurationManual)
	if err != nil {
		t.Fatal(err)
	}
	if string(stored) != manual {
		t.Errorf("docs/configuration.md is stale; CLACKS_UPDATE=1 go test -run TestConfigurationManual ./cmd/clacks writes it")
	}
}

func configurationText() string {
	var b strings.Builder
	b.WriteString(`# Configuration

` + "`clacks serve`" + ` needs no configuration: with none, everything is embedded and listens on loopback only. A YAML file given by
` + "`--config`" + ` changes what it names. A key that does not exist is an error with its place and the nearest one that does.
Passwords may stand in files or environment variables instead. ` + "`examples/config`" + ` holds whole files.

`)
	for _, k := range configKeys(reflect.TypeFor[Config](), reflect.ValueOf(*defaultConfig()), "") {
		fmt.Fprintf(&b, "## `%s`\n\n%s\n\n", k.Path, k.Doc)
		if k.Default != "" {
			fmt.Fprintf(&b, "Default: `%s`\n\n", k.Default)
		}
		fmt.Fprintf(&b, "```yaml\n%s```\n\n", yamlExample(k))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// yamlExample is the example of a key as a whole file.
func yamlExample(k configKey) string {
	parts := strings.Split(strings.NewReplacer("queues.NAME", "queues.demo", "NAME", "LDAP").Replace(k.Path), ".")
	var b strings.Builder
	for i, part := range parts {
		b.WriteString(strings.Repeat("  ", i) + part + ":")
		if i == len(parts)-1 {
			b.WriteString(" " + k.Example)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestEveryExampleIsAccepted runs each example of the manual through the loader.
func TestEveryExampleIsAccepted(t *testing.T) {
	for _, k := range configKeys(reflect.TypeFor[Config](), reflect.ValueOf(*defaultConfig()), "") {
		if k.Doc == "" || k.Example == "" {
			t.Errorf("%s has no doc or no example", k.Path)
			continue
		}
		text := yamlExample(k)
		// A backend needs its driver, and what that driver cannot do without.
		if strings.HasPrefix(k.Path, "backends.") && !strings.HasSuffix(k.Path, ".driver") {
			text += "    driver: ldap\n"
		}
		if strings.HasPrefix(k.Path, "backends.") && !strings.HasSuffix(k.Path, ".uris") {
			text += "    uris: [ldap://127.0.0.1]\n"
		}
		if strings.HasPrefix(k.Path, "amqp.queues.") && !strings.HasSuffix(k.Path, ".address") {
			text += "      address: org.clacks.command.demo.p1\n"
		}
		switch k.Path {
		case "http.certificate":
			text += "  key: k.pem\n"
		case "http.key", "amqp.key", "bus.key":
			text += "  certificate: c.pem\n"
		case "amqp.certificate", "bus.certificate":
			text += "  key: k.pem\n"
		case "amqp.clientCA":
			text += "  certificate: c.pem\n  key: k.pem\n"
		}
		path := filepath.Join(t.TempDir(), "clacks.yaml")
		writeFile(t, path, text)
		if _, err := loadConfig(path); err != nil {
			t.Errorf("%s: %v\n%s", k.Path, err, text)
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "http:\n  adress: x\n", `:2:3: unknown key "http.adress"; did you mean "http.address"?`},
		{"unknown in a backend", "backends:\n  LDAP:\n    driver: ldap\n    bindDn: x\n", `:4:5: unknown key "backends.LDAP.bindDn"; did you mean "backends.LDAP.bindDN"?`},
		{"unknown in a queue", "amqp:\n  queues:\n    a:\n      adress: x\n", `:4:7: unknown key "amqp.queues.a.adress"; did you mean "amqp.queues.a.address"?`},
		{"policy of a queue", "amqp:\n  queues:\n    a:\n      address: x\n      full: grow\n", `amqp.queues.a.full: "grow" is not one of refuse, drop-oldest`},
		{"address of a queue", "amqp:\n  queues:\n    a:\n      address: a.*.b\n", "amqp.queues.a.address: is that of a queue"},
		{"bounds of a queue", "amqp:\n  queues:\n    a:\n      address: x\n      ttl: -1s\n", "amqp.queues.a: messages, bytes and ttl are not negative"},
		{"unknown section", "htpt:\n  address: x\n", `:1:1: unknown key "htpt"; did you mean "http"?`},
		{"in another section", "adress: x\n", `unknown key "adress"; did you mean "http.address"?`},
		{"not YAML", "http: [\n", "clacks.yaml"},
		{"wrong type", "http:\n  grace: soon\n", ":2:3: http.grace: the value does not fit; write it like 15s"},
		{"wrong number", "amqp:\n  links: 5\n  connections: many\n", ":3:3: amqp.connections: the value does not fit; write it like 4096"},
		{"wrong type in a backend", "backends:\n  LDAP:\n    driver: ldap\n    poolSize: many\n", ":4:5: backends.LDAP.poolSize: the value does not fit; write it like "},
		{"wrong type in a queue", "amqp:\n  queues:\n    a:\n      ttl: long\n", ":4:7: amqp.queues.a.ttl: the value does not fit; write it like 5m"},
		{"no section", "http: 5\n", ":1:1: http: the value does not fit; it is a section"},
		{"no DN", "base: nonsense\n", `base: "nonsense" is not a distinguished name`},
		{"no port", "http:\n  address: localhost\n", "http.address"},
		{"half of TLS", "http:\n  key: k.pem\n", "certificate and key go together"},
		{"AMQP without a port", "amqp:\n  address: localhost\n", "amqp.address"},
		{"half of AMQP's TLS", "amqp:\n  key: k.pem\n", "amqp.certificate: certificate and key go together"},
		{"client certificates without TLS", "amqp:\n  clientCA: c.pem\n", "amqp.clientCA"},
		{"no connections", "amqp:\n  connections: 0\n", "amqp.connections: is positive"},
		{"no broker", "bus:\n  url: http://x\n", `bus.url: "http://x" is not an amqp:// or amqps:// address`},
		{"a broker's password", "bus:\n  url: http://u:secret@x\n", `bus.url: "http://u:xxxxx@x" is not`},
		{"dialect", "bus:\n  dialect: rabbit\n", "bus.dialect"},
		{"half of the broker's TLS", "bus:\n  certificate: c.pem\n", "bus.certificate: certificate and key go together"},
		{"workers", "bus:\n  workers: 0\n", "bus.workers"},
		{"status", "bus:\n  status: 1ms\n", "bus.status"},
		{"ZeroMQ for everybody", "zmq:\n  emit: tcp://0.0.0.0:9000\n", "zmq.emit: tcp://0.0.0.0:9000 can be reached from other machines"},
		{"ZeroMQ without a scheme", "zmq:\n  register: 127.0.0.1:9001\n", "zmq.register"},
		{"domain", "domain: a b\n", `domain: "a b"`},
		{"driver", "backends:\n  LDAP:\n    driver: lap\n", `backends.LDAP.driver: "lap" is not one of`},
		{"LDAP without a server", "backends:\n  LDAP:\n    driver: ldap\n", "backends.LDAP.uris"},
		{"LDAP address", "backends:\n  LDAP:\n    driver: ldap\n    uris: [\"http://x\"]\n", "is not an ldap://"},
		{"database", "state:\n  url: mysql://x\n", "write sqlite:PATH or postgres://"},
		{"log level", "log:\n  level: loud\n", "log.level"},
		{"log format", "log:\n  format: xml\n", "log.format"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "clacks.yaml")
			writeFile(t, path, test.text)
			_, err := loadConfig(path)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestAllProblemsAreNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clacks.yaml")
	writeFile(t, path, "base: nonsense\nlog:\n  level: loud\n  format: xml\n")
	_, err := loadConfig(path)
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("want three problems, got: %v", err)
	}
	writeFile(t, path, "http:\n  grace: geheim\namqp:\n  anonymous: maybe\n  links: many\n")
	if _, err = loadConfig(path); err == nil || strings.Count(err.Error(), "\n") != 3 || strings.Contains(err.Error(), "geheim") {
		t.Errorf("want three problems, got: %v", err)
	}
}
