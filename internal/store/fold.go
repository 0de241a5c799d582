package store

import (
	"slices"
	"strconv"
	"strings"
)

// Fold is one statement that does what several do, for PostgreSQL ("Data-Modifying Statements in WITH"), which is spared the
// work around each of them. They must write different rows, since none sees what another does; the result is that of the last
// one, which alone may demand a number of rows. There must be one at least.
func Fold(statements ...Statement) Statement {
	last := len(statements) - 1
	parts := make([]string, last)
	var args []any
	for i, s := range statements[:last] {
		parts[i] = "part" + strconv.Itoa(i) + " AS (" + s.SQL + ")"
		args = append(args, s.Args...)
	}
	folded := statements[last]
	if last > 0 {
		folded.SQL = "WITH " + strings.Join(parts, ", ") + " " + folded.SQL
		folded.Args = slices.Concat(args, folded.Args)
	}
	return folded
}
