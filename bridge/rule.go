package bridge

// Rule turns messages into records.
type Rule interface {
	// Filters returns the topic filters, and the names or filters of event
	// topics ("$events/…", "$sources/<type>:<name>"), whose messages the
	// rule wants. It must return the same on every call.
	Filters() []string

	// Apply adds to out the records that m turns into; adding nothing drops
	// the message, which counts as "no result". When it returns an error
	// everything that it added is discarded and the message counts as
	// "exception"; trying again would give the same error, so the message
	// goes to Config.RuleFallback.
	//
	// Apply is called concurrently. It must not change what m refers to,
	// keep m or out, or block, and may use out's memory (AvailableBuffer,
	// Keep). Records may refer to m.Payload directly. What a rule does to the
	// fields of m is undone after it, and m.Delivery is the zero Delivery.
	Apply(out *Out, m *Message) error
}

// RuleFunc returns a Rule that calls apply for every message that matches one
// of the filters.
func RuleFunc(apply func(out *Out, m *Message) error, filters ...string) Rule {
	return ruleFunc{filters, apply}
}

type ruleFunc struct {
	filters []string
	apply   func(out *Out, m *Message) error
}

// Filters implements Rule.
func (r ruleFunc) Filters() []string { return r.filters }

// Apply implements Rule.
func (r ruleFunc) Apply(out *Out, m *Message) error { return r.apply(out, m) }

// Targeter is implemented by rules that know where their records go. A pipeline
// refuses a rule whose target does not exist or lacks what the sink requires,
// and refuses to remove a sink that is a target.
type Targeter interface {
	Targets() []Target
}

// Target is a place that a rule addresses records to, and which parts it gives
// them.
type Target struct {
	// Sink is the sink's name; it may be empty in a pipeline with one sink.
	Sink string
	// Dest, Key, HashKey and Data report whether its records have the field
	// of Record with that name.
	Dest, Key, HashKey, Data bool
}

// Stepper is implemented by rules that can tell how they come to a result.
// ApplySteps is Apply, and calls see after each step with its name, such as
// "WHERE", the text as its author wrote it, and what came of it.
type Stepper interface {
	ApplySteps(out *Out, m *Message, see func(name, text, result string)) error
}
