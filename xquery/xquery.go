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
	// Parameters reads the document of serialization parameters that "declare option output:parameter-document" names, by
	// its absolute URI. nil means that there are none (XQST0119).
	Parameters func(uri string) ([]byte, error)
	// DecimalFormats are decimal formats for fn:format-number besides those of the prologs, which replace them. The keys are
	// their names, "local" or "Q{uri}local", or "" for the default format; the values are their properties, as in
	// "declare decimal-format": "decimal-separator", "zero-digit" and so on. A wrong one is XQST0097 or XQST0098.
	DecimalFormats map[string]map[string]string
	// BaseURI is the static base URI; empty for none.
	BaseURI string
	// Collation is the default collation; empty for the codepoint collation.
	Collation string
}
