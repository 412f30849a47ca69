package kinesistest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxViolations is how many violations the service lists.
const maxViolations = 10

// Patterns as the service's messages show them.
const (
	patternName     = `[a-zA-Z0-9_.-]+`
	patternHashKey  = `0|([1-9]\d{0,38})`
	patternSequence = `0|([1-9]\d{0,128})`
)

var patterns = map[string]*regexp.Regexp{
	patternName:     regexp.MustCompile(`^(?:` + patternName + `)$`),
	patternHashKey:  regexp.MustCompile(`^(?:` + patternHashKey + `)$`),
	patternSequence: regexp.MustCompile(`^(?:` + patternSequence + `)$`),
}

// validation collects the violations of a request's constraints, in the order
// in which they are checked, worded as the service words them.
type validation struct{ violations []string }

func (v *validation) fail(value, path, constraint string) {
	if len(v.violations) < maxViolations {
		v.violations = append(v.violations, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, path, constraint))
	}
}

func (v *validation) failString(value, path, format string, args ...any) {
	v.fail("'"+value+"'", path, fmt.Sprintf(format, args...))
}

func (v *validation) required(path string, present bool) bool {
	if !present {
		v.fail("null", path, "Member must not be null")
	}
	return present
}

// length checks a string of min to max characters; nil passes.
func (v *validation) length(path string, s *string, minimum, maximum int) {
	if s == nil {
		return
	}
	n := characters(*s)
	if n < minimum {
		v.failString(*s, path, "Member must have length greater than or equal to %d", minimum)
	}
	if n > maximum {
		v.failString(*s, path, "Member must have length less than or equal to %d", maximum)
	}
}

// pattern checks a string; nil passes.
func (v *validation) pattern(path string, s *string, pattern string) {
	if s != nil && !patterns[pattern].MatchString(*s) {
		v.failString(*s, path, "Member must satisfy regular expression pattern: %s", pattern)
	}
}

// name checks a stream name, a shard id and their like; nil passes.
func (v *validation) name(path string, s *string) {
	v.pattern(path, s, patternName)
	v.length(path, s, 1, 128)
}

// between checks a number; nil passes.
func (v *validation) between(path string, n *int32, minimum, maximum int32) {
	if n == nil {
		return
	}
	if *n < minimum {
		v.failString(strconv.Itoa(int(*n)), path, "Member must have value greater than or equal to %d", minimum)
	}
	if *n > maximum {
		v.failString(strconv.Itoa(int(*n)), path, "Member must have value less than or equal to %d", maximum)
	}
}

func enum[E ~string](v *validation, path string, value E, allowed ...E) {
	if slices.Contains(allowed, value) {
		return
	}
	set := make([]string, len(allowed))
	for i, a := range allowed {
		set[i] = string(a)
	}
	v.failString(string(value), path, "Member must satisfy enum value set: [%s]", strings.Join(set, ", "))
}

func (v *validation) err() error {
	switch n := len(v.violations); n {
	case 0:
		return nil
	case 1:
		return clientError(CodeValidationException, "1 validation error detected: %s", v.violations[0])
	default:
		return clientError(CodeValidationException, "%d validation errors detected: %s", n, strings.Join(v.violations, "; "))
	}
}

// characters counts as the service's Java does: in UTF-16 units.
func characters(s string) int {
	n := utf8.RuneCountInString(s)
	if n == len(s) {
		return n
	}
	for _, r := range s {
		if r > 0xffff {
			n++
		}
	}
	return n
}
