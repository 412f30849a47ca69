// Package value holds the values of the rule language: a small tagged struct
// that keeps integers apart from floats, undefined apart from null, and JSON
// that nobody has looked into as the text it is.
//
// # Memory
//
// A Value may borrow: a string or a raw JSON text may be part of a message's
// payload, and strings, lists and maps that are made during an evaluation live
// in an [Arena] that is reset per message. Whoever keeps a Value beyond that
// must take a [Value.Clone]. Values are immutable; lists and pairs that are
// handed out must not be written to.
//
// # Conversion and comparison
//
// Both follow EMQX's rule engine: see [AppendText], [AppendJSON], [Compare],
// [Equal] and [Order].
package value
