// Package itest holds the integration tests: the whole bridge as a program of
// its own against brokers, Kinesis emulators and clients that are not ours. They
// run as part of go test ./...; with-parts.sh installs what they use, and a test
// whose part is missing skips and says why (in CI it fails).
//
// The package has no code outside of tests.
package itest
