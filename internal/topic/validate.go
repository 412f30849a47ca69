package topic

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLen is the highest length of a topic name or filter in bytes: MQTT strings
// carry their length in 16 bits (MQTT 5.0, section 1.5.4).
const MaxLen = 65535

// Error says what is wrong with a topic name or filter, and where.
type Error struct {
	Kind   string // "topic name", "topic filter" or "shared subscription"
	Text   string // the whole name or filter
	Offset int    // of the first wrong byte
	Reason string
}

// Error names the text, the place and the reason.
func (e *Error) Error() string {
	text := e.Text
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	return fmt.Sprintf("%s %q: %s (at byte %d)", e.Kind, text, e.Reason, e.Offset)
}

// ValidateName reports whether topic is a valid topic name, one that a message
// can be published to. The error is an *Error.
func ValidateName(topic string) error {
	if err := validateText("topic name", topic); err != nil {
		return err
	}
	if i := strings.IndexAny(topic, "+#"); i >= 0 {
		return &Error{"topic name", topic, i, fmt.Sprintf("%q is a wildcard and only allowed in filters", topic[i:i+1])}
	}
	return nil
}

// ValidateFilter reports whether filter is a valid topic filter. A shared
// subscription ("$share/group/filter") has to have a valid group and filter.
// The error is an *Error.
func ValidateFilter(filter string) error {
	const kind = "topic filter"
	if err := validateText(kind, filter); err != nil {
		return err
	}
	start := 0
	if _, rest, ok := Share(filter); ok {
		start = len(filter) - len(rest)
	} else if strings.HasPrefix(filter, sharePrefix) {
		return validateShare(filter)
	}
	for start <= len(filter) {
		level, _, more := strings.Cut(filter[start:], "/")
		i := strings.IndexAny(level, "+#")
		switch {
		case i < 0 || level == "+":
		case len(level) > 1:
			return &Error{kind, filter, start + i, fmt.Sprintf("%q must stand alone in its level", level[i:i+1])}
		case more:
			return &Error{kind, filter, start, `"#" must be the last level`}
		}
		start += len(level) + 1
	}
	return nil
}

// validateText checks what holds for every MQTT string that names topics.
func validateText(kind, s string) error {
	switch {
	case s == "":
		return &Error{kind, s, 0, "must not be empty"}
	case len(s) > MaxLen:
		return &Error{kind, s, MaxLen, fmt.Sprintf("is longer than %d bytes", MaxLen)}
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		return &Error{kind, s, i, "must not contain U+0000"}
	}
	if !utf8.ValidString(s) {
		return &Error{kind, s, invalidUTF8(s), "is not valid UTF-8"}
	}
	return nil
}

func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

// validateShare says what is wrong with a shared subscription that Share does
// not take apart.
func validateShare(filter string) error {
	const kind = "shared subscription"
	group, rest, _ := strings.Cut(filter[len(sharePrefix):], "/")
	at := len(sharePrefix)
	switch i := strings.IndexAny(group, "+#"); {
	case group == "":
		return &Error{kind, filter, at, "the group must not be empty"}
	case i >= 0:
		return &Error{kind, filter, at + i, "the group must not contain a wildcard"}
	case rest == "":
		return &Error{kind, filter, len(filter), "a topic filter must follow the group: $share/group/filter"}
	}
	return nil
}
