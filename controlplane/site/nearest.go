package site

import (
	"fmt"
	"strings"
)

// withNearest begins a remedy with the known word that was probably meant, if any.
func withNearest(unknown string, known []string, remedy string) string {
	if near := nearest(unknown, known); near != "" {
		return fmt.Sprintf("did you mean %q? ", near) + remedy
	}
	return remedy
}

// nearest returns the known word most like the unknown one, or "" when none is
// like enough to be what was meant.
func nearest(unknown string, known []string) string {
	best, bestDistance := "", len(unknown)/2+1
	for _, k := range known {
		if d := distance(strings.ToLower(unknown), k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	const rows = 3
	var d [rows][]int
	for i := range d {
		d[i] = make([]int, len(b)+1)
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, up, upup := d[i%rows], d[(i-1)%rows], d[(i+1)%rows]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(up[j]+1, row[j-1]+1, up[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], upup[j-2]+1)
			}
		}
	}
	return d[len(a)%rows][len(b)]
}
