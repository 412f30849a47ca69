package bridge

import "time"

// Message is one event handed out by a Source: an MQTT publish, or a client,
// session or delivery event of a broker. It is a value in a slice that the
// reader reuses; what its fields refer to (Payload, Props, Columns) must stay
// unchanged until Delivery is settled: rules and tracers only read it.
type Message struct {
	// Topic is the topic name that the message was published to.
	Topic string
	// Payload is the application message as received, never nil-checked:
	// an empty payload is a payload.
	Payload []byte

	// ClientID and Username name the publisher, PeerHost is its IP address
	// and PeerName its address with the port. A source that cannot know
	// them, such as an MQTT client, leaves them empty; rules then see an
	// undefined column.
	ClientID string
	Username string
	PeerHost string
	PeerName string
	// Server is the host and port of the server that the source, a client of
	// it, got the message from; empty with other sources.
	Server string

	// Event is the topic of an event that is not a published message, such
	// as "$events/client/connected"; empty for a published message. Rules
	// are matched on Event when it is set, on Topic otherwise.
	Event string
	// Columns are further columns that rules see by name, those of an event
	// for example; they win over the fields above. Values are nil, bool,
	// integers, floats, string, []byte, *big.Int, json.Number,
	// map[string]any and []any of these.
	Columns map[string]any

	// QoS is the quality of service it was published with, 0 to 2.
	QoS byte
	// Retain and Dup are the flags of the PUBLISH packet.
	Retain bool
	Dup    bool

	// Received is when the source got the message.
	Received time.Time
	// Props are the MQTT 5 properties, nil when there were none.
	Props *Properties

	// Source is the name of the source in the pipeline's configuration and
	// Seq the number of the message in order of receipt from that source,
	// counted from 1. The pipeline sets both.
	Source string
	Seq    uint64

	// Delivery settles the message with its source. The zero Delivery does
	// nothing.
	Delivery Delivery
}

// Properties are the properties of an MQTT 5 PUBLISH packet (MQTT 5.0,
// section 3.3.2.3), without the topic alias, which a source resolves. A nil
// pointer or slice means that the property was absent.
type Properties struct {
	PayloadFormat   *byte
	MessageExpiry   *uint32 // seconds
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte
	SubscriptionIDs []int
	User            []UserProperty
}

// UserProperty is one user property; names may repeat and their order counts.
type UserProperty struct{ Key, Value string }

// name is what rules are matched on: the event topic, or the topic.
func (m *Message) name() string {
	if m.Event != "" {
		return m.Event
	}
	return m.Topic
}
