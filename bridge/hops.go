package bridge

import "strconv"

// HopsProperty is the user property by which a message that a sink has published
// tells, when it comes back by a source, how often it and the messages that it was
// made from were published. The records made of it have an attribute of the same
// name, so that the sink finds out that messages run in circles (see package
// sink/republish). RuleProperty names the rule that made the message; a message
// that has it alone was published once.
const (
	HopsProperty = "sluice-hops"
	RuleProperty = "sluice-rule"
)

// hops returns how often a message was published by sinks.
func (p *Properties) hops() (n uint64) {
	for i := range p.User {
		switch u := &p.User[i]; u.Key {
		case HopsProperty:
			count, err := strconv.ParseUint(u.Value, 10, 16)
			if err != nil {
				count = 1 << 16 // it is not for a device to begin anew
			}
			n = max(n, count)
		case RuleProperty:
			n = max(n, 1)
		}
	}
	return n
}

// carryHops gives the records of the rule at hand the attribute that tells how
// often message m was published.
func carryHops(out *Out, m *Message) {
	if m.Props == nil || out.Len() == 0 {
		return
	}
	n := m.Props.hops()
	if n == 0 {
		return
	}
	hops := strconv.AppendUint(nil, n, 10)
	records := out.Records()
	for i := range records {
		r := &records[i]
		attrs := out.Attrs(len(r.Attrs) + 1)
		copy(attrs, r.Attrs)
		attrs[len(attrs)-1] = Attr{Name: HopsProperty, Value: hops}
		r.Attrs = attrs
	}
}
