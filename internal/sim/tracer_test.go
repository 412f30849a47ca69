package sim

import (
	"errors"

	"github.com/sluiceio/sluice/bridge"
)

// panicking is a tracer, and what follows a message and its records, that panics when
// it is called in one of the ways.
type panicking struct{ at int }

var errTracer = errors.New("the tracer has a fault")

func (p *panicking) panicAt(n int) {
	if p.at == n {
		panic(errTracer)
	}
}

func (p *panicking) Trace(*bridge.Message, []string) bridge.Trace {
	p.panicAt(0)
	return p
}

func (p *panicking) Rule(string) func(step, text, result string) {
	p.panicAt(1)
	return nil
}

func (p *panicking) RuleDone(string, []bridge.Record, error) { p.panicAt(2) }

func (p *panicking) Record(*bridge.Record) bridge.RecordTrace {
	p.panicAt(3)
	return nil
}

func (p *panicking) Settled(bridge.Outcome, error) { p.panicAt(4) }
