// Package definitions is the object-definition language: what an admin writes. It loads definition files, checks them
// against the language's schema and against each other, and yields a linked, immutable Set. What Clacks derives from it
// lives in package mapping.
package definitions

// Source is one definition file.
type Source struct {
	Name string // how it is called in messages: its path as the user wrote it
	Data []byte
}

// MaxFile is the size of a definition file in bytes above which it is refused.
const MaxFile = 4 << 20

// Options say what is known about the surroundings.
type Options struct {
	// Backends are the backend names that the configuration binds to drivers. An unknown one is a warning.
	Backends []string
	// Filters and Validators are the names that exist. An unknown one is a warning.
	Filters, Validators []string
}

// Load parses, validates, links and checks sources, all of them, and returns every problem in the order of file and
// line. The Set is nil when a problem is an Error. Amendments apply in the order of the sources.
func Load(sources []Source, options Options) (*Set, []Problem) { return nil, nil }

// ReadPath reads the definition files (*.xml) at a path: a file, or a folder and its sub-folders in the order of names.
func ReadPath(path string) ([]Source, error) { return nil, nil }
