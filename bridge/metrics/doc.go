// Package metrics shows a pipeline's counters to monitoring systems: [Register]
// through OpenTelemetry's metrics API, without forcing an exporter on anybody,
// and [Rates] as rates per second in the process.
package metrics
