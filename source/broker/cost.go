package broker

import (
	"unsafe"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/bridge"
)

// What a message costs in memory beside what is in it: in the inbox and with the
// rules, shared by its subscribers, and for each of those.
const (
	messageCost  = int(unsafe.Sizeof(bridge.Message{}) + unsafe.Sizeof(bridge.Properties{}))
	sharedCost   = int(unsafe.Sizeof(publication{}))
	outgoingCost = int(unsafe.Sizeof(outgoing{})) + 2*int(unsafe.Sizeof(uintptr(0)))
	userCost     = 3 * int(unsafe.Sizeof(packets.UserProperty{})) // as decoded, with room to grow, and for the rules
	eventCost    = 2 << 10                                        // its columns
)

// weight is what is in a PUBLISH packet.
func weight(pk *packets.Packet) int {
	p := &pk.Properties
	n := len(pk.TopicName) + len(pk.Payload) + len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
	for i := range p.User {
		n += userCost + len(p.User[i].Key) + len(p.User[i].Val)
	}
	return n
}
