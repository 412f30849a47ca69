//go:build race

package spool_test

const raceDetector = true
