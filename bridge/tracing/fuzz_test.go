package tracing

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// FuzzWithMembers checks that a JSON object stays one with the same members and
// has the new ones, and that everything else stays as it is.
func FuzzWithMembers(f *testing.F) {
	for _, s := range []string{`{}`, ` { "a" : 1 } `, `{"a":{"b":[]}}`, `[]`, `{`, `"{}"`, ``, `{"traceparent":1}`, "{\"a\":\"}\"}\n"} {
		f.Add([]byte(s))
	}
	list := fields{{Key: "traceparent", Value: "00-1"}, {Key: "tracestate", Value: `a="b"`}}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		out := withMembers(data, list)
		require.Equal(t, before, data, "the record's own bytes are not touched")
		var was, is map[string]json.RawMessage
		if json.Unmarshal(data, &was) != nil || was == nil || bytes.Equal(out, data) {
			require.Equal(t, data, out)
			return
		}
		require.NoError(t, json.Unmarshal(out, &is))
		require.Len(t, is, len(was)+len(list))
		for key, v := range was {
			require.Equal(t, string(v), string(is[key]))
		}
		for _, m := range list {
			var text string
			require.NoError(t, json.Unmarshal(is[m.Key], &text))
			require.Equal(t, m.Value, text)
		}
	})
}

// TestReader reads what a message has, and nothing of one that has nothing.
func TestReader(t *testing.T) {
	t.Parallel()
	m := &bridge.Message{
		Props: &bridge.Properties{User: []bridge.UserProperty{{Key: "A", Value: "1"}, {Key: "a", Value: "2"}}},
		Columns: map[string]any{"attrs": []any{
			"no attribute", map[string]any{"name": "b", "value": "3"}, map[string]any{"name": "c", "value": 4},
		}},
	}
	r := reader{m}
	require.Equal(t, "1", r.Get("a"))
	require.Equal(t, "3", r.Get("b"))
	require.Empty(t, r.Get("c"))
	require.Equal(t, []string{"A", "a"}, r.Keys())
	require.Empty(t, reader{new(bridge.Message)}.Keys())
}
