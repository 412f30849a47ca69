// Package cut shortens what others make long: payloads, errors, and what brokers,
// clients and services say, before it reaches a log, a trace or a page.
package cut

import (
	"encoding/base64"
	"unicode/utf8"
)

// Prefix returns the beginning of s, at most limit bytes of it, without the part of
// a character at the end. What is no text is cut at the limit.
func Prefix[T ~string | ~[]byte](s T, limit int) T {
	if len(s) <= limit {
		return s
	}
	at := limit
	for at > 0 && at > limit-utf8.UTFMax && !utf8.RuneStart(s[at]) {
		at--
	}
	if !utf8.RuneStart(s[at]) {
		return s[:limit]
	}
	return s[:at]
}

// Text returns s, or its Prefix and an ellipsis if it is longer than limit.
func Text(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return Prefix(s, limit) + "…"
}

// Show returns the Prefix of b as text, in base64 and true if it is not UTF-8.
func Show(b []byte, limit int) (text string, encoded bool) {
	b = Prefix(b, limit)
	if utf8.Valid(b) {
		return string(b), false
	}
	return base64.StdEncoding.EncodeToString(b), true
}
