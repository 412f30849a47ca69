package topic

import "strings"

// Covers reports whether a valid filter matches every topic that another one matches.
// Neither may be a shared subscription; see Share.
func Covers(wide, narrow string) bool {
	if reserved(narrow) && wildcard(wide) {
		return false
	}
	for narrow = spellOut(narrow); ; {
		w, wideRest, wideMore := strings.Cut(wide, "/")
		n, narrowRest, narrowMore := strings.Cut(narrow, "/")
		switch {
		case w == "#":
			return true
		case n == "#", w != "+" && w != n:
			return false
		case !narrowMore:
			return !wideMore || wideRest == "#"
		case !wideMore:
			return false
		}
		wide, narrow = wideRest, narrowRest
	}
}

// Overlap reports whether there is a topic that two valid filters match. Neither may be
// a shared subscription.
func Overlap(a, b string) bool {
	if reserved(a) && wildcard(b) || reserved(b) && wildcard(a) {
		return false
	}
	for a, b = spellOut(a), spellOut(b); ; {
		x, aRest, aMore := strings.Cut(a, "/")
		y, bRest, bMore := strings.Cut(b, "/")
		switch {
		case x == "#", y == "#":
			return true
		case x != "+" && y != "+" && x != y:
			return false
		case !aMore:
			return !bMore || bRest == "#"
		case !bMore:
			return aRest == "#"
		}
		a, b = aRest, bRest
	}
}

// spellOut returns a filter that matches the same topics as one whose "#" would also match
// the empty topic, which no message has.
func spellOut(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return filter
}

// wildcard reports whether a filter begins with a wildcard, which matches no topic that
// begins with "$".
func wildcard(filter string) bool { return filter[0] == '+' || filter[0] == '#' }
