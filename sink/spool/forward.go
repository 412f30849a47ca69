package spool

import (
	"slices"

	"github.com/sluiceio/sluice/bridge"
)

// AttrTopic names the attribute in which Forward passes on the topic of the
// original message.
const AttrTopic = "topic"

// Forward returns the rule that turns what the buffer's source hands out back
// into records for the named sink, with all their parts. The topic of the
// original message becomes the attribute "topic", unless there is one already.
func (b *Buffer) Forward(sink string) bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
		r := bridge.Record{Sink: sink, Data: m.Payload, Topic: m.Topic}
		r.Key, _ = m.Columns[ColumnKey].([]byte)
		r.HashKey, _ = m.Columns[ColumnHashKey].([]byte)
		r.Dest, _ = m.Columns[ColumnDest].(string)
		r.Rule, _ = m.Columns[ColumnRule].(string)
		r.Optional, _ = m.Columns[columnOptional].(bool)
		r.Attrs = attributes(out, m)
		out.Add(r)
		return nil
	}, "$sources/"+b.cfg.Name)
}

func attributes(out *bridge.Batch, m *bridge.Message) []bridge.Attr {
	list, _ := m.Columns[ColumnAttrs].([]any)
	attrs := out.Attrs(len(list) + 1)[:0]
	for _, item := range list {
		attr, _ := item.(map[string]any)
		name, _ := attr[columnName].(string)
		value, _ := attr[columnValue].([]byte)
		attrs = append(attrs, bridge.Attr{Name: name, Value: value})
	}
	if slices.ContainsFunc(attrs, func(a bridge.Attr) bool { return a.Name == AttrTopic }) {
		return attrs
	}
	topic := out.Keep(append(out.AvailableBuffer(), m.Topic...))
	return append(attrs, bridge.Attr{Name: AttrTopic, Value: topic})
}
