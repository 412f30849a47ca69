package spool

import "github.com/sluiceio/sluice/bridge"

// Forward returns the rule that turns what the buffer's source hands out back
// into records for the named sink, with all their parts and the topic and rule
// of the original message.
func (b *Buffer) Forward(sink string) bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
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

func attributes(out *bridge.Out, m *bridge.Message) []bridge.Attr {
	list, _ := m.Columns[ColumnAttrs].([]any)
	if len(list) == 0 {
		return nil
	}
	attrs := out.Attrs(len(list))
	for i, item := range list {
		attr, _ := item.(map[string]any)
		attrs[i].Name, _ = attr[columnName].(string)
		attrs[i].Value, _ = attr[columnValue].([]byte)
	}
	return attrs
}
