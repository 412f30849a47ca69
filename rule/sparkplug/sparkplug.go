// Package sparkplug gives rules the function sparkplug_decode, which turns the
// payload of a Sparkplug B message into a map. It is also an example of how a
// codec is plugged into the rule language: register [Function] with an engine.
//
//	engine, err := rule.NewEngine(rule.EngineConfig{
//		Functions: []rule.Function{sparkplug.Function()},
//	})
//
// A statement then reads, for example:
//
//	FOREACH sparkplug_decode(payload) AS p, p.metrics AS m
//	DO m.name AS name, m.value AS value
//	FROM "spBv1.0/#"
package sparkplug

import "github.com/sluiceio/sluice/rule"

// Function returns the function sparkplug_decode(payload). The result has the
// names of the Protocol Buffers schema, as EMQX's function of this name has:
// timestamp, seq, uuid, body, and metrics, each with name, alias, datatype and,
// by its type, int_value, long_value, float_value and so on. Bytes are text in
// base64, which base64_decode reads. Beyond that a metric
// has a member value: what it holds in terms of its datatype, so with the sign that
// int_value does not have, and null when is_null says so.
func Function() rule.Function {
	f := rule.Func1("sparkplug_decode", func(c *rule.Call, payload []byte) (any, error) {
		return decoder{c.Spend}.message("Payload", payload, 0)
	})
	f.Pure = true
	f.Doc = "The content of a Sparkplug B payload as a map, bytes as base64."
	return f
}
