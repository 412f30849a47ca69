//go:build linux && race

package hostile_test

// raceEnabled makes the bounds wider: the race detector takes many times the time
// and the memory.
const raceEnabled = true
