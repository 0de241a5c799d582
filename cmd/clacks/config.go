package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"clacks/internal/dn"
)

// Config is the configuration file. Every key is documented in docs/configuration.md, which is made from the doc and
// example tags here.
type Config struct {
	Domain      string                   `koanf:"domain" doc:"The name of this Clacks domain; prefix of event rights and of all addresses on the bus." example:"org.clacks"`
	Base        string                   `koanf:"base" doc:"DN of the entry below which objects live." example:"dc=example,dc=net"`
	Data        string                   `koanf:"data" doc:"Folder for state, the embedded directory, and generated secrets." example:"/var/lib/clacks"`
	HTTP        HTTPConfig               `koanf:"http"`
	AMQP        AMQPConfig               `koanf:"amqp"`
	Bus         BusConfig                `koanf:"bus"`
	ZMQ         ZMQConfig                `koanf:"zmq"`
	State       StateConfig              `koanf:"state"`
	Admin       AdminConfig              `koanf:"admin"`
	Definitions DefinitionsConfig        `koanf:"definitions"`
	Backends    map[string]BackendConfig `koanf:"backends"`
	Events      EventsConfig             `koanf:"events"`
	Log         LogConfig                `koanf:"log"`
}

// HTTPConfig is the HTTP front door.
type HTTPConfig struct {
	Address     string        `koanf:"address" doc:"Where to listen; port 0 picks a free one." example:"127.0.0.1:8050"`
	Certificate string        `koanf:"certificate" doc:"PEM file with the TLS certificate chain; with key, HTTPS is spoken." example:"/etc/clacks/tls.crt"`
	Key         string        `koanf:"key" doc:"PEM file with the TLS key." example:"/etc/clacks/tls.key"`
	PlainBasic  bool          `koanf:"plainBasic" doc:"Accept HTTP Basic and login over plain HTTP from other machines (behind a TLS proxy)." example:"false"`
	Grace       time.Duration `koanf:"grace" doc:"How long a shutdown waits for requests in flight." example:"15s"`
}

// StateConfig is where the service keeps its journal, index, event log and sessions.
type StateConfig struct {
	URL          string `koanf:"url" doc:"Database of the service's own state: sqlite:PATH or postgres://USER@HOST/DATABASE. Empty: clacks.db in the data folder." example:"postgres://clacks@127.0.0.1/clacks"`
	PasswordFile string `koanf:"passwordFile" doc:"File with the database password, instead of one in the URL." example:"/etc/clacks/state-password"`
}

// AdminConfig is the administrator that exists without a directory.
type AdminConfig struct {
	User         string `koanf:"user" doc:"Login name of the administrator." example:"admin"`
	PasswordFile string `koanf:"passwordFile" doc:"File with the administrator's password. Empty: CLACKS_ADMIN_PASSWORD, else one is generated into admin-password in the data folder." example:"/etc/clacks/admin-password"`
}

// DefinitionsConfig says which object types there are.
type DefinitionsConfig struct {
	Builtin bool     `koanf:"builtin" doc:"Load the types that Clacks ships." example:"true"`
	Paths   []string `koanf:"paths" doc:"Definition files, or folders of them, in the order in which amendments apply." example:"[/etc/clacks/objects]"`
}

// BackendConfig binds a backend name of the definitions to a driver.
type BackendConfig struct {
	Driver       string        `koanf:"driver" doc:"ldap, directory (embedded), sql, or null." example:"ldap"`
	URIs         []string      `koanf:"uris" doc:"ldap: servers of one directory, tried in order." example:"[\"ldaps://ldap.example.net\"]"`
	BindDN       string        `koanf:"bindDN" doc:"ldap: the DN that Clacks binds as." example:"cn=clacks,dc=example,dc=net"`
	Password     string        `koanf:"password" doc:"ldap, sql: the password; better in a file or the environment." example:"secret"`
	PasswordFile string        `koanf:"passwordFile" doc:"ldap, sql: file with the password." example:"/etc/clacks/ldap-password"`
	PasswordEnv  string        `koanf:"passwordEnv" doc:"ldap, sql: environment variable with the password." example:"CLACKS_LDAP_PASSWORD"`
	StartTLS     bool          `koanf:"startTLS" doc:"ldap: upgrade ldap:// connections (RFC 4511, section 4.14)." example:"true"`
	CAFile       string        `koanf:"caFile" doc:"ldap: PEM file with the certificate authorities to trust; empty for the system's." example:"/etc/clacks/ca.pem"`
	Insecure     bool          `koanf:"insecure" doc:"ldap: do not verify the server's certificate. For tests only." example:"false"`
	Plaintext    bool          `koanf:"plaintext" doc:"ldap: send passwords over an unencrypted connection to another machine." example:"false"`
	PoolSize     int           `koanf:"poolSize" doc:"ldap: connections at most." example:"16"`
	Timeout      time.Duration `koanf:"timeout" doc:"ldap: how long an operation may take before its outcome counts as unknown." example:"10s"`
	UUIDAttr     string        `koanf:"uuidAttribute" doc:"ldap: attribute that carries the object's UUID." example:"entryUUID"`
	Hash         string        `koanf:"hash" doc:"ldap, directory: scheme of password hashes: ARGON2, CRYPT, SSHA512 or SSHA. Empty: ARGON2 for the embedded directory, CRYPT for LDAP." example:"CRYPT"`
	URL          string        `koanf:"url" doc:"sql: state (the state database: rows are part of the commit's transaction), sqlite:PATH, or postgres://..." example:"state"`
	Schema       string        `koanf:"schema" doc:"sql: file of repeatable SQL statements that is run at each start." example:"/etc/clacks/schema.sql"`
}

// EventsConfig is the event log.
type EventsConfig struct {
	Schemas []string      `koanf:"schemas" doc:"Folders with XSD files of further event types." example:"[/etc/clacks/events]"`
	MaxAge  time.Duration `koanf:"maxAge" doc:"Delete events older than this; 0 keeps them all." example:"8760h"`
	Held    int64         `koanf:"held" doc:"Events older than maxAge that are kept at most for durable subscriptions that are behind; 0 sets no bound." example:"1000000"`
}

// LogConfig is the service's log on standard error.
type LogConfig struct {
	Level  string `koanf:"level" doc:"debug, info, warn or error." example:"info"`
	Format string `koanf:"format" doc:"text or json." example:"json"`
}

// defaultConfig is what runs with nothing configured: everything embedded, loopback only.
func defaultConfig() *Config {
	return &Config{
		Domain: "org.clacks",
		Base:   "dc=example,dc=net",
		Data:   "data",
		HTTP:   HTTPConfig{Address: "127.0.0.1:8050", Grace: 15 * time.Second},
		AMQP: AMQPConfig{Address: "127.0.0.1:5672", Connections: 4096, PerAddress: 1024, Sessions: 64, Links: 256, MessageSize: 4 << 20,
			Memory: 512 << 20, QueueMessages: 10_000, QueueBytes: 64 << 20, Idle: time.Minute},
		Bus:         BusConfig{Workers: 32, UserCalls: 24, Status: 10 * time.Second},
		Admin:       AdminConfig{User: "admin"},
		Definitions: DefinitionsConfig{Builtin: true},
		Events:      EventsConfig{Held: 1_000_000},
		Log:         LogConfig{Level: "info", Format: "text"},
	}
}

// loadConfig reads a YAML file over the defaults; no file means the defaults. The error names everything that is wrong.
func loadConfig(path string) (*Config, error) {
	config := defaultConfig()
	if path == "" {
		config.complete()
		return config, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	problems := unknownKeys(path, data)
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(data), yaml.Parser()); err != nil {
		return nil, fmt.Errorf("configuration: %s: %w", path, err)
	}
	if len(problems) == 0 {
		if err := k.Unmarshal("", config); err != nil {
			problems = wrongValues(path, data, err)
		} else {
			config.complete()
			problems = config.problems(path)
		}
	}
	if len(problems) > 0 {
		return nil, errors.New("configuration:\n  " + strings.Join(problems, "\n  "))
	}
	return config, nil
}

// complete fills the backends that the shipped definitions need and that the file does not bind.
func (c *Config) complete() {
	if c.Backends == nil {
		c.Backends = map[string]BackendConfig{}
	}
	for name, driver := range map[string]BackendConfig{
		"LDAP": {Driver: "directory"},
		"SQL":  {Driver: "sql", URL: "state"},
		"NULL": {Driver: "null"},
	} {
		if _, ok := c.Backends[name]; !ok {
			c.Backends[name] = driver
		}
	}
	if c.State.URL == "" {
		c.State.URL = "sqlite:" + filepath.Join(c.Data, "clacks.db")
	}
}

// problems are all values that cannot work.
func (c *Config) problems(path string) []string {
	var list []string
	add := func(key, format string, args ...any) {
		list = append(list, fmt.Sprintf("%s: %s: %s", path, key, fmt.Sprintf(format, args...)))
	}
	if err := dn.Validate(c.Base); err != nil || c.Base == "" {
		add("base", "%q is not a distinguished name", c.Base)
	}
	if _, _, err := net.SplitHostPort(c.HTTP.Address); err != nil {
		add("http.address", "%v; write HOST:PORT", err)
	}
	if (c.HTTP.Certificate == "") != (c.HTTP.Key == "") {
		add("http.certificate", "certificate and key go together")
	}
	c.AMQP.problems(add)
	c.Bus.problems(add)
	c.ZMQ.problems(add)
	if strings.ContainsFunc(c.Domain, func(r rune) bool { return !isNameRune(r) }) || c.Domain == "" {
		add("domain", "%q: a domain consists of letters, digits, dots, hyphens and underscores", c.Domain)
	}
	if !slicesHas([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		add("log.level", "%q is not one of debug, info, warn, error", c.Log.Level)
	}
	if !slicesHas([]string{"text", "json"}, c.Log.Format) {
		add("log.format", "%q is not one of text, json", c.Log.Format)
	}
	if err := checkDatabase(c.State.URL); err != nil {
		add("state.url", "%v", err)
	}
	names := make([]string, 0, len(c.Backends))
	for name := range c.Backends {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c.Backends[name].problems(func(key, format string, args ...any) { add("backends."+name+"."+key, format, args...) })
	}
	return list
}

func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}

func (b BackendConfig) problems(add func(key, format string, args ...any)) {
	switch b.Driver {
	case "ldap":
		if len(b.URIs) == 0 {
			add("uris", "an ldap backend needs at least one, such as ldap://127.0.0.1:389")
		}
		for _, uri := range b.URIs {
			if u, err := url.Parse(uri); err != nil || !slicesHas([]string{"ldap", "ldaps", "ldapi"}, u.Scheme) {
				add("uris", "%q is not an ldap://, ldaps:// or ldapi:// address", withoutPassword(uri))
			}
		}
	case "sql":
		if b.URL == "state" {
			break
		}
		if err := checkDatabase(b.URL); err != nil {
			add("url", "%v, or state", err)
		}
	case "directory", "null":
	case "":
		add("driver", "is missing; it is one of ldap, directory, sql, \"null\" (in quotes: null itself is YAML's word for nothing)")
	default:
		add("driver", "%q is not one of ldap, directory, sql, null", b.Driver)
	}
}

// withoutPassword is an address as it may be shown.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "..."
	}
	return u.Redacted()
}

func checkDatabase(address string) error {
	if strings.HasPrefix(address, "sqlite:") && len(address) > len("sqlite:") {
		return nil
	}
	if u, err := url.Parse(address); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && u.Host != "" {
		return nil
	}
	return errors.New("write sqlite:PATH or postgres://USER@HOST/DATABASE")
}

// secret is the password of a backend from wherever it is configured.
func (b BackendConfig) secret() (string, error) {
	if b.PasswordFile != "" {
		return readSecret(b.PasswordFile)
	}
	if b.PasswordEnv != "" {
		value := os.Getenv(b.PasswordEnv)
		if value == "" {
			return "", fmt.Errorf("environment variable %s is empty", b.PasswordEnv)
		}
		return value, nil
	}
	return b.Password, nil
}

// readSecret is the content of a file without its last line break.
func readSecret(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}

// databaseURL adds the password of a file to a PostgreSQL address.
func databaseURL(address, password string) string {
	u, err := url.Parse(address)
	if password == "" || err != nil || u.User == nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return address
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

func slicesHas(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

// configKey is one key of the configuration, as documentation and the check of unknown keys see it.
type configKey struct {
	Path, Doc, Example, Default string
}

// configKeys lists the keys of a configuration struct; a map shows as "NAME" in the path.
func configKeys(t reflect.Type, defaults reflect.Value, prefix string) []configKey {
	var keys []configKey
	for i := range t.NumField() {
		field := t.Field(i)
		path := prefix + field.Tag.Get("koanf")
		value := defaults.Field(i)
		switch {
		case field.Type.Kind() == reflect.Struct:
			keys = append(keys, configKeys(field.Type, value, path+".")...)
		case field.Type.Kind() == reflect.Map:
			element := field.Type.Elem()
			keys = append(keys, configKeys(element, reflect.New(element).Elem(), path+".NAME.")...)
		default:
			key := configKey{Path: path, Doc: field.Tag.Get("doc"), Example: field.Tag.Get("example")}
			if !value.IsZero() {
				key.Default = fmt.Sprint(value.Interface())
			}
			keys = append(keys, key)
		}
	}
	return keys
}
