package rpc

import "unicode/utf8"

// nearest is the known name that is most like name, or "" when none is near enough to be what was meant.
func nearest(name string, known []string) string {
	// Distances cost the product of the lengths: a hostile name must not buy work.
	const longest = 64
	if name == "" || len(name) > longest {
		return ""
	}
	best, bestDistance := "", max(2, utf8.RuneCountInString(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two names, in runes.
func distance(a, b string) int {
	ra, rb := []rune(a), []rune(b)
	row := make([]int, len(rb)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range ra {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range rb {
			cost := diagonal
			if x != y {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(rb)]
}

// meant is ", did you mean X?" or nothing.
func meant(name string, known []string) string {
	if n := nearest(name, known); n != "" {
		return ", did you mean " + n + "?"
	}
	return ""
}
