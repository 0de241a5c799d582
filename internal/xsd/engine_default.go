//go:build !cgo || !libxml2

package xsd

// Engine names the implementation in use: "libxml2" or "helium".
func Engine() string { return "helium" }

func compileEngine(files []File) (engine, []Issue, error) { return compileHelium(files) }
