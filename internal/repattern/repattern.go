// Package repattern compiles regular expressions whose pattern may come from
// outside. A pattern of a few bytes, such as (x{1000}){1000}, can stand for a
// program of a million instructions; such patterns are refused.
package repattern

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
)

const (
	// MaxLen is how long a pattern may be, in bytes.
	MaxLen = 64 << 10
	// maxSize is how many instructions it may stand for, about 80 bytes each.
	maxSize = 10_000
)

// ErrTooLarge says that a pattern exceeds a limit of this package.
var ErrTooLarge = errors.New("the pattern is too large")

// Compile is regexp.Compile with these limits. Its errors do not show the pattern.
func Compile(pattern string) (*regexp.Regexp, error) {
	if _, err := Parse(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(pattern)
}

// Parse returns the syntax tree of a pattern in Perl's syntax.
func Parse(pattern string) (*syntax.Regexp, error) {
	if len(pattern) > MaxLen {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrTooLarge, MaxLen)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	var fault *syntax.Error
	switch {
	case errors.As(err, &fault) && (fault.Code == syntax.ErrLarge || fault.Code == syntax.ErrNestingDepth):
		return nil, ErrTooLarge
	case err != nil:
		return nil, err
	}
	if Size(tree) > maxSize {
		return nil, fmt.Errorf("%w: it stands for more than %d instructions", ErrTooLarge, maxSize)
	}
	return tree, nil
}

// Size is about how many instructions an expression becomes; it does not grow far
// beyond maxSize.
func Size(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)/4
	for _, sub := range re.Sub {
		n += Size(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, 2*maxSize)
}
