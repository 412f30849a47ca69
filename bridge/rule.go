package bridge

// Rule turns messages into records.
type Rule interface {
	// Filters returns the topic filters, and the names or filters of event
	// topics ("$events/…", "$sources/<type>:<name>"), whose messages the
	// rule wants. It must return the same on every call.
	Filters() []string

	// Apply appends to out the records that m turns into; appending nothing
	// drops the message, which counts as "no result". When it returns an
	// error everything that it appended is discarded and the message counts
	// as "exception"; the message itself is settled, since trying again
	// would give the same error.
	//
	// Apply is called concurrently. It must not keep m or out, must not
	// block and may use out's memory (AvailableBuffer, Keep). Records may
	// refer to m.Payload directly.
	Apply(out *Batch, m *Message) error
}

// RuleFunc returns a Rule that calls apply for every message that matches one
// of the filters.
func RuleFunc(apply func(out *Batch, m *Message) error, filters ...string) Rule {
	return ruleFunc{filters, apply}
}

type ruleFunc struct {
	filters []string
	apply   func(out *Batch, m *Message) error
}

// Filters implements Rule.
func (r ruleFunc) Filters() []string { return r.filters }

// Apply implements Rule.
func (r ruleFunc) Apply(out *Batch, m *Message) error { return r.apply(out, m) }
