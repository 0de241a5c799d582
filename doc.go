// Package clacks is the root of Clacks, a backend service that gives programs objects (people, groups, devices) instead
// of LDAP entries and SQL rows. It holds the kinds of error that every other package speaks; everything else lives in
// the folders below.
//
// # The way of a request
//
//	client
//	  -> rpc          transport (HTTP, AMQP) -> who is asking -> command registry -> typed arguments
//	  -> access       may this user do this to this attribute of this object?
//	  -> objects      open, change, check, commit; references; uniqueness; the commit journal
//	  -> mapping      object attributes <-> backend attributes, compiled once per definition
//	  -> backends     ldap | sql (PostgreSQL, SQLite) | directory (embedded) | null
//	and, in the same commit:
//	  -> events       the event is recorded in the event log, in the transaction that is the commit point
//	  -> rpc          delivered to subscribers whose XQuery matches
//
// # The house
//
//	definitions        the object-definition language: XSD, loader, linker, checker; definitions/builtin: shipped types
//	mapping            what Clacks derives from definitions: compiled read and write plans
//	xquery             XQuery for mappings and event filters; knows nothing of objects or events
//	backends           the Backend contract; backends/backendtest is the suite that every driver passes
//	objects            the object service; objects/journal makes a commit durable
//	events             event schemas, the durable event log, subscriptions and their matching
//	access             users' rights
//	rpc                command registry, JSON-RPC, HTTP front door
//	bus                AMQP 1.0: nodes of this process, the listener for others, external brokers
//	migrations         versioned SQL of the service's own state
//	internal/store     opens the state database (SQLite, PostgreSQL) and runs statements in one round trip
//	internal/dn        distinguished names (RFC 4514)
//	internal/xsd       XSD validation: libxml2 by cgo, a pure-Go fallback
//	internal/password  password hashes of the directory world and argon2id
//	internal/failpoint named points at which a test kills the process
//	cmd/clacks         flags, configuration, wiring
//
// Arrows run downwards only; imports_test.go holds the map.
package clacks
