package mqtt

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSubscriptionsAreNamedOnce(t *testing.T) {
	t.Parallel()
	s, err := New(Config{
		Brokers: []string{"mqtt://127.0.0.1:1"}, ClientID: "c", Connections: 2,
		Filters: []Subscription{{Filter: "b/#"}, {Filter: "a/+"}, {Filter: "$share/g/c/#"}},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"$share/g/c/#", "a/+", "b/#"}, s.Subscriptions())
	require.NoError(t, s.Close(t.Context()))
}
