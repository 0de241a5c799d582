package xquery

// Options say what a query may refer to and where it stands.
type Options struct {
	// File, Line and Column are where the source stands (in a definition file); errors are reported relative to them.
	// Line and Column count from 1; 0 means 1. Column counts characters.
	File         string
	Line, Column int
	// Namespaces are predeclared prefixes; the query's prolog may add and override.
	Namespaces map[string]string
	// ElementNamespace is the default element namespace.
	ElementNamespace string
	// DocumentContext says that the context item is a document node, so that Query.Reads knows where an absolute path
	// begins. An evaluation on any other context item fails with XPTY0004.
	DocumentContext bool
	// Variables are the external variables that the query may use without declaring them (local names).
	Variables []string
	// Functions are external functions.
	Functions []Function
	// Modules finds the library modules of a namespace that a query imports, at the locations that the import names, if
	// it names some. nil means that there are none (XQST0059).
	Modules func(namespace string, locations []string) ([]Module, error)
	// BaseURI is the static base URI; empty for none.
	BaseURI string
	// Collation is the default collation; empty for the codepoint collation.
	Collation string
}
