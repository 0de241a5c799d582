// Package nearest finds the name that somebody probably meant, for the messages about names that do not exist.
package nearest

import "strings"

// maxName bounds the names that are compared: a hostile name of a megabyte costs nothing.
const maxName = 128

// Name returns the known name with the fewest edits from name, without regard to case, or "" when none is near: more
// than a third of its letters would have to change. Of equally near ones the first wins.
func Name(name string, known []string) string {
	if name == "" || len(name) > maxName {
		return ""
	}
	best, distance := "", len(name)/3+2
	wanted := strings.ToLower(name)
	for _, candidate := range known {
		if len(candidate) > maxName {
			continue
		}
		if d := edits(wanted, strings.ToLower(candidate)); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// Hint is `did you mean "NAME"?`, or "" when no known name is near.
func Hint(name string, known []string) string {
	if found := Name(name, known); found != "" {
		return `did you mean "` + found + `"?`
	}
	return ""
}

// edits is Levenshtein's distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
