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
			username: "u", received: time.Unix(1, 2),
			Packet: packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2}, TopicName: "t", Payload: []byte("x"),
				Origin: "c", Created: 5, Expiry: 6, Properties: packets.Properties{ResponseTopic: "re"},
			},
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
