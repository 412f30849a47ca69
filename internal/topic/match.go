package topic

import "strings"

const sharePrefix = "$share/"

// Share takes a shared subscription "$share/group/filter" apart. For any other
// filter it returns "", filter and false.
func Share(filter string) (group, rest string, ok bool) {
	s, found := strings.CutPrefix(filter, sharePrefix)
	if !found {
		return "", filter, false
	}
	group, rest, _ = strings.Cut(s, "/")
	if group == "" || rest == "" || strings.ContainsAny(group, "+#") {
		return "", filter, false
	}
	return group, rest, true
}

// IsEvent reports whether s is the name or filter of events rather than of
// published messages: "$events/…", "$sources/…" and "$bridges/…".
func IsEvent(s string) bool {
	return strings.HasPrefix(s, "$events/") || strings.HasPrefix(s, "$sources/") || strings.HasPrefix(s, "$bridges/")
}

// HasWildcard reports whether filter has a wildcard level, so that it can match
// more than one topic.
func HasWildcard(filter string) bool { return strings.ContainsAny(filter, "+#") }

// Match reports whether filter matches topic. The filter must be valid and must
// not be a shared subscription (see Share); misplaced wildcards are taken as
// ordinary characters.
func Match(filter, topic string) bool {
	if reserved(topic) && filter != "" && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for {
		if filter == "#" {
			return true
		}
		f, filterRest, filterMore := strings.Cut(filter, "/")
		t, topicRest, topicMore := strings.Cut(topic, "/")
		if f != "+" && f != t {
			return false
		}
		if !topicMore {
			return !filterMore || filterRest == "#"
		}
		if !filterMore {
			return false
		}
		filter, topic = filterRest, topicRest
	}
}

// reserved reports whether topic starts with "$", so that leading wildcards do
// not match it.
func reserved(topic string) bool { return topic != "" && topic[0] == '$' }
