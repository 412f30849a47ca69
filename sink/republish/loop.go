package republish

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/sluiceio/sluice/bridge"
)

// Defaults of Config.
const (
	// DefaultMaxHops is the default of Config.MaxHops.
	DefaultMaxHops = 4
	// DefaultMaxGrowth is the default of Config.MaxGrowth.
	DefaultMaxGrowth = 1 << 20
)

// ErrLoop is why a record is not published: it is made of a message that
// has been published too often.
var ErrLoop = errors.New("republishing runs in circles")

// MarkProperty is the user property that names the rule which a message was
// made by.
const MarkProperty = bridge.RuleProperty

// mark sets the properties by which the message is known when it comes back. It
// refuses a record of a message that has been published too often.
func (s *Sink) mark(r *bridge.Record, m *Message) error {
	if s.cfg.Unmarked || r.Rule == "" {
		return nil
	}
	hops := uint64(0)
	for _, a := range r.Attrs {
		if a.Name == bridge.HopsProperty {
			n, err := strconv.ParseUint(string(a.Value), 10, 32)
			if err != nil {
				n = 1 << 16
			}
			hops = max(hops, n)
		}
	}
	switch {
	case hops >= uint64(s.cfg.MaxHops):
		return fmt.Errorf("%w: the message has been published %d times already", ErrLoop, hops)
	case hops > 0 && len(r.Data) > s.cfg.MaxGrowth:
		return fmt.Errorf("%w: the message, which has been published %d times already, would have %d bytes", ErrLoop, hops, len(r.Data))
	}
	if m.Props == nil {
		m.Props = new(bridge.Properties)
	}
	m.Props.User = append(m.Props.User, bridge.UserProperty{Key: MarkProperty, Value: r.Rule})
	if hops > 0 { // the mark alone stands for one
		m.Props.User = append(m.Props.User, bridge.UserProperty{Key: bridge.HopsProperty, Value: strconv.FormatUint(hops+1, 10)})
	}
	return nil
}

// Guard returns a rule that passes over messages which the rule of that name, in
// the same or another pipeline, has published itself, and is r otherwise.
func Guard(name string, r bridge.Rule) bridge.Rule {
	mark := bridge.UserProperty{Key: MarkProperty, Value: name}
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		if m.Props != nil && slices.Contains(m.Props.User, mark) {
			return nil
		}
		return r.Apply(out, m)
	}, r.Filters()...)
}
