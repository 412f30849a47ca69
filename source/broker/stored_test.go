package broker

import (
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/require"
)

// FuzzStoredMessage: whatever is in the store, reading it ends without a panic, and
// what was written and read once stays the same.
func FuzzStoredMessage(f *testing.F) {
	f.Add(appendOutgoing(nil, &outgoing{
		qos: 2, retain: true, id: 7, ids: []int{1, 300}, publication: &publication{
			username: "u", received: time.Unix(1, 2), qos: 2, topic: "t", payload: []byte("x"),
			client: "c", created: 5, expiry: 6, props: &packets.Properties{ResponseTopic: "re"},
		},
	}))
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := parseOutgoing(value)
		if err != nil {
			return
		}
		once, err := parseOutgoing(appendOutgoing(nil, m))
		require.NoError(t, err)
		twice, err := parseOutgoing(appendOutgoing(nil, once))
		require.NoError(t, err)
		require.Equal(t, once, twice)
	})
}
