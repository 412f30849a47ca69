package tracing

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

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
