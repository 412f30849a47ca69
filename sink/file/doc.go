// Package file is a sink that writes records as lines to a file, which it
// rotates, or to standard output: for dead letters that people read, for
// archives, and to see what a rule makes.
//
//	{"time":"2026-11-22T18:00:00Z","topic":"t/1","rule":"r","key":"d1","data":{"temp":20.5},"attrs":{"error":"…"}}
package file
