package jsonx_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// FuzzWithMembers checks that a JSON object stays one with the same members and
// has the new ones, and that everything else stays as it is.
func FuzzWithMembers(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "a" : 1 } `, `{"a":{"b":[]}}`, `[]`, `{`, `"{}"`, ``, `{"traceparent":1}`, "{\"a\":\"}\"}\n", "{}\f", "{}\u00a0",
		`{"tracep\u0061rent":1}`, `{"a":{"traceparent":1}}`,
	} {
		f.Add([]byte(s))
	}
	list := []jsonx.Text{{"traceparent", "00-1"}, {"tracestate", `a="b"`}}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		out, added := jsonx.WithMembers(data, list...)
		require.Equal(t, before, data, "the caller's bytes are not touched")
		var was, is map[string]json.RawMessage
		if json.Unmarshal(data, &was) != nil || was == nil || !added {
			require.False(t, added)
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
			require.NoError(t, json.Unmarshal(is[m.Name], &text))
			require.Equal(t, m.Value, text)
		}
	})
}
