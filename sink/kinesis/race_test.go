//go:build race

package kinesis

// raceEnabled reports whether the race detector is on, which makes pools forget.
const raceEnabled = true
