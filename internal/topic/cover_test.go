package topic

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		wide, narrow    string
		covers, overlap bool
	}{
		{"t/#", "t/+/temp", true, true},
		{"t/#", "t", true, true},
		{"#", "a/b", true, true},
		{"#", "$SYS/a", false, false},
		{"+/a", "$SYS/a", false, false},
		{"$SYS/#", "$SYS/+/x", true, true},
		{"+/b", "a/b", true, true},
		{"+/b", "a/+", false, true},
		{"a/+/#", "a/#", false, true},
		{"a/+", "a/#", false, true},
		{"a/b", "a", false, false},
		{"a", "a/#", false, true},
		{"a/+", "a", false, false},
		{"a//b", "a/+/b", false, true},
		{"a/+/b", "a//b", true, true},
		{"/+", "/", true, true},
	} {
		require.Equal(t, tt.covers, Covers(tt.wide, tt.narrow), "%s covers %s", tt.wide, tt.narrow)
		require.Equal(t, tt.overlap, Overlap(tt.wide, tt.narrow), "%s and %s", tt.wide, tt.narrow)
		require.Equal(t, tt.overlap, Overlap(tt.narrow, tt.wide), "%s and %s", tt.narrow, tt.wide)
	}
}

// TestCoversAgainstMatch compares with what the filters match among all topics of a small
// world, for every pair of filters of up to three levels and a "#".
func TestCoversAgainstMatch(t *testing.T) {
	topics := paths(4, "a", "b", "", "$a")
	var filters []string
	for _, f := range append(paths(3, "a", "b", "", "$a", "+"), "") {
		if f != "" {
			filters = append(filters, f, f+"/#")
		} else {
			filters = append(filters, "/#", "#")
		}
	}
	matched := make([][]bool, len(filters))
	for i, f := range filters {
		require.NoError(t, ValidateFilter(f))
		matched[i] = make([]bool, len(topics))
		for j, name := range topics {
			matched[i][j] = Match(f, name)
		}
	}
	for i, a := range filters {
		for j, b := range filters {
			covers, overlap := true, false
			for k := range topics {
				covers = covers && (matched[i][k] || !matched[j][k])
				overlap = overlap || matched[i][k] && matched[j][k]
			}
			if Covers(a, b) != covers {
				t.Errorf("Covers(%q, %q) = %v", a, b, !covers)
			}
			if Overlap(a, b) != overlap {
				t.Errorf("Overlap(%q, %q) = %v", a, b, !overlap)
			}
		}
	}
}

// paths returns every path of one to depth levels, but for the empty one.
func paths(depth int, names ...string) []string {
	var all []string
	level := []string{""}
	for i := range depth {
		var next []string
		for _, prefix := range level {
			for _, name := range names {
				if i > 0 {
					name = prefix + "/" + name
				}
				next = append(next, name)
			}
		}
		level = next
		all = append(all, next...)
	}
	return slices.DeleteFunc(all, func(p string) bool { return p == "" })
}
