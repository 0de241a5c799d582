package definitions

import (
	"slices"
	"strings"

	"clacks/internal/nearest"
)

// listed is how many names a hint lists at most when none is near.
const listed = 12

// compared is how many names are searched for the nearest at most: a hint must not cost more than finding the fault.
const compared = 5000

// nearestHint is the hint for a name that does not exist: the nearest that does, or all of them when they are few.
func nearestHint(name string, known []string) string {
	if len(known) > compared {
		return ""
	}
	if hint := nearest.Hint(name, known); hint != "" {
		return hint
	}
	if len(known) == 0 || len(known) > listed {
		return ""
	}
	known = slices.Clone(known)
	slices.Sort(known)
	return "known: " + strings.Join(slices.Compact(known), ", ")
}
