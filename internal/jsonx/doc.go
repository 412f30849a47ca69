// Package jsonx reads JSON where every nanosecond counts: it checks a whole
// document and picks the values at several paths out of it in one pass, without
// decoding anything else and without allocating.
//
// The grammar is RFC 8259 and the text must be UTF-8. Beyond the grammar it
// refuses documents that nest deeper than a limit and numbers that no float64
// can hold; of members with the same name the last one wins, also when a path
// leads through them.
//
// Functions that take a position (Skip, String, ...) walk text that was found
// valid before and do not check it again; package value decodes with them.
package jsonx
