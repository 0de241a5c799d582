// Package rpc offers Clacks' functions to programs as named commands. It is the registry and the two dialects of
// JSON-RPC that clients speak; it opens no port. A door (rpc/httpd for HTTP, rpc/busd for AMQP) reads bytes, finds out
// who is asking, and hands both to the registry:
//
//	bytes -> strict JSON (size, depth, duplicate members)      strict.go
//	      -> dialect: JSON-RPC 2.0, or the legacy envelope     jsonrpc.go, legacy.go; at a door for messages: message.go
//	      -> Registry.Invoke: known? allowed? -> typed params  registry.go, params.go
//	      -> the command's function                            rpc/commands
//	         or another process that has the command           elsewhere.go
//	      -> result or error, in the dialect's words           codes.go
//
// A command is one Go function with a typed parameter struct (Command); what it says of itself in struct tags is at once
// what is checked, what getMethods and rpc.discover answer, and what the OpenRPC document shows (openrpc.go).
//
// The package never reads configuration and never decides about rights: it asks an access.Policy.
package rpc
