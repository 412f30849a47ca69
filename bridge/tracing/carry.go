package tracing

import (
	"context"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/jsonx"
)

// reader shows a propagator the fields of a message: its user properties, and the
// attributes of a record that comes from a buffer on disk (sink/spool).
type reader struct{ m *bridge.Message }

// Get implements propagation.TextMapCarrier.
func (r reader) Get(key string) string {
	if r.m.Props != nil {
		for _, u := range r.m.Props.User {
			if strings.EqualFold(u.Key, key) {
				return u.Value
			}
		}
	}
	attrs, _ := r.m.Columns["attrs"].([]any)
	for _, a := range attrs {
		if a, ok := a.(map[string]any); ok && a["name"] == key {
			switch v := a["value"].(type) {
			case string:
				return v
			case []byte:
				return string(v)
			}
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier; a message is only read.
func (reader) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (r reader) Keys() (keys []string) {
	if r.m.Props != nil {
		for _, u := range r.m.Props.User {
			keys = append(keys, u.Key)
		}
	}
	return keys
}

// fields are what a propagator writes.
type fields []bridge.UserProperty

// Get implements propagation.TextMapCarrier; it is only written to.
func (*fields) Get(string) string { return "" }

// Keys implements propagation.TextMapCarrier.
func (*fields) Keys() []string { return nil }

// Set implements propagation.TextMapCarrier.
func (f *fields) Set(key, v string) { *f = append(*f, bridge.UserProperty{Key: key, Value: v}) }

// userPrefix makes the republish sink set a user property.
const userPrefix = "user:"

// inject gives the context to a record, in the way that its sink is to have it.
func (t *Tracer) inject(ctx context.Context, r *bridge.Record) {
	how := t.carry[r.Sink]
	if how == CarryNothing {
		return
	}
	var list fields
	t.propagator.Inject(ctx, &list)
	slices.SortFunc(list, func(a, b bridge.UserProperty) int { return strings.Compare(a.Key, b.Key) })
	if how == CarryJSON {
		r.Data, _ = jsonx.WithMembers(r.Data, list.members()...)
		return
	}
	prefix := ""
	if how == CarryUserProperties {
		prefix = userPrefix
	}
	attrs := make([]bridge.Attr, 0, len(r.Attrs)+len(list))
	for _, a := range r.Attrs { // without those of the publisher, if they were carried so far
		if !list.has(strings.TrimPrefix(a.Name, prefix)) {
			attrs = append(attrs, a)
		}
	}
	for _, f := range list {
		attrs = append(attrs, bridge.Attr{Name: prefix + f.Key, Value: []byte(f.Value)})
	}
	r.Attrs = attrs
}

func (f fields) members() (list []jsonx.Text) {
	for _, x := range f {
		list = append(list, jsonx.Text{Name: x.Key, Value: x.Value})
	}
	return list
}

func (f fields) has(key string) bool {
	for _, x := range f {
		if strings.EqualFold(x.Key, key) {
			return true
		}
	}
	return false
}
