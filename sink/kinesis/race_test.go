//go:build race

package kinesis

// raceEnabled tells that the race detector is on, which makes pools forget.
const raceEnabled = true
