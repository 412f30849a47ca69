package mqtt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

var (
	errID    = errors.New("the broker sent a message without packet identifier")
	errQoS   = errors.New("the broker sent a message with QoS 3")
	errAlias = errors.New("the broker used a topic alias, which it was not allowed to")
)

// faultOf reports what is wrong with a PUBLISH packet that paho has decoded, and the reason
// code to disconnect with (MQTT 5.0, sections 3.3 and 4.13). Passing such a message on, or
// dropping it, would hide that the two ends do not understand each other.
func faultOf(p *packets.Publish) (code byte, err error) {
	switch {
	case p.QoS > 2:
		return packets.DisconnectMalformedPacket, errQoS
	case p.QoS > 0 && p.PacketID == 0:
		return packets.DisconnectProtocolError, errID
	case p.Properties != nil && p.Properties.TopicAlias != nil:
		return packets.DisconnectTopicAliasInvalid, errAlias
	}
	if err = topic.ValidateName(p.Topic); err == nil {
		return 0, nil
	}
	err = fmt.Errorf("the broker sent a message with a wrong topic: %w", err)
	switch {
	case p.Topic == "":
		return packets.DisconnectProtocolError, err
	case strings.ContainsAny(p.Topic, "+#"):
		return packets.DisconnectTopicNameInvalid, err
	}
	return packets.DisconnectMalformedPacket, err
}

// answerError is an answer that does not fit its request.
type answerError struct {
	request      string
	codes, asked int
}

func (e *answerError) Error() string {
	return fmt.Sprintf("the broker answered %s of %d filters with %d reason codes", e.request, e.asked, e.codes)
}
