package definitions

import (
	"slices"
	"strings"
)

// listed is how many names a hint lists at most when none is near.
const listed = 12

// nearestHint is the hint for a name that does not exist: the nearest that does, or all of them when they are few.
func nearestHint(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 || len(known) > listed {
		return ""
	}
	known = slices.Clone(known)
	slices.Sort(known)
	return "known: " + strings.Join(slices.Compact(known), ", ")
}

// Nearest is the known name with the smallest edit distance to name (case does not count), or "" when none is so near that
// a slip of the finger could explain it.
func Nearest(name string, known []string) string {
	best, bestDistance := "", len([]rune(name))/3+1
	for _, candidate := range known {
		d := distance(strings.ToLower(name), strings.ToLower(candidate), bestDistance)
		if d < bestDistance || d == bestDistance && (best == "" || candidate < best) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of two words: insertions, deletions, substitutions, and swaps of
// neighbours. A distance over limit may be reported as limit+1.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > limit || len(y)-len(x) > limit {
		return limit + 1
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
