// Package sink holds what works with any bridge.Sink: decorators, which are
// sinks around a sink.
//
// A decorator has to pass on what the sink inside says of itself by the optional
// interfaces bridge.Opener, bridge.Checker, bridge.Laner and
// bridge.Limiter, or the pipeline would treat it as a sink without order domains
// and limits of its own. Wrap does that for a decorator that is one function.
//
// Two things that look like decorators are options of the pipeline instead: dead
// letters are bridge.QueueConfig.Fallback, which has a queue of its own, and a
// record reaches several sinks when its rule has several actions, each with its
// own order and retries.
package sink
