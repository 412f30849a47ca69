// Package bridgetest helps to test pipelines and the parts of one: a source and
// a sink in memory that can be told to misbehave, a checker for losses and
// order, and suites that any bridge.Source, bridge.Sink or bridge.Rule can run.
//
// It is for tests only.
package bridgetest
