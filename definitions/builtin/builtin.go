// Package builtin holds the types that Clacks ships: people, groups and the containers of a directory, as definition
// files that the program carries inside. They need nothing but the object classes of the schemas core, cosine,
// inetorgperson and nis, which every OpenLDAP installation has. An admin adapts them with an <Amendment> in a file of his
// own and leaves these alone.
package builtin

import (
	"embed"

	"clacks/definitions"
)

//go:embed *.xml
var files embed.FS

// Sources are the shipped definition files in the order of their names. In messages they are called builtin/NAME. The
// caller must not change the data.
func Sources() []definitions.Source {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	sources := make([]definitions.Source, 0, len(entries))
	for _, entry := range entries {
		data, err := files.ReadFile(entry.Name())
		if err != nil {
			panic(err)
		}
		sources = append(sources, definitions.Source{Name: "builtin/" + entry.Name(), Data: data})
	}
	return sources
}
