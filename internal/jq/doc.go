// Package jq runs jq programs within a budget of bytes and time.
//
// gojq, which does the work, can be stopped between two of its instructions, and
// no more: a single one may multiply a text, fill an array up to an index of
// hundreds of millions, or compare two values that look small because they share
// their parts. So programs are rewritten before they are compiled. Whatever makes
// a text, an array or an object is followed by a call that counts it, and whatever
// may cost more than a step is preceded by one that works out what it will cost:
//
//	.a * .b    becomes    .b as $y | .a as $x | check("multiply"; $x; $y) | $x * $y
//	[f]        becomes    [f] | made
//	.a = f     becomes    f as $v | check(paths of .a) | .a = $v
//
// Functions that are themselves written in jq are compiled with the program, in
// the same way, and so they are bounded as it is. The budget of a run is a value
// that the program has in a variable; when it is exceeded the run's context is
// done, which no program can catch.
package jq
