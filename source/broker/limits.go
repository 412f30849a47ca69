package broker

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Limits bound what clients can use. Zero fields have the defaults given. All
// bounds in bytes count the memory that a message takes: its topic, payload and
// properties, and what the broker keeps beside them.
type Limits struct {
	// ConnectBytes is the highest size of a CONNECT packet with its will. Its
	// memory is taken as the bytes come. Default 64 KiB.
	ConnectBytes int
	// ConnectTimeout is how long a connection may take to send a CONNECT
	// packet and to authenticate, TLS and WebSocket handshakes included.
	// Default 10 s.
	ConnectTimeout time.Duration
	// Clients is the highest number of connections. Beyond it connections
	// are closed at once. Default 100,000.
	Clients int
	// ClientsPerHost is the highest number of connections from one IP
	// address. Default: no limit.
	ClientsPerHost int
	// HalfOpen is how many connections may be there that have not logged in.
	// Beyond it the oldest one that still owes its CONNECT packet is closed.
	// Default 1,000.
	HalfOpen int
	// MessageRate is how many messages a client may publish per second on
	// average, with bursts of one second's worth. A client that sends
	// faster is read more slowly. Default: no limit.
	MessageRate float64
	// PacketBytes is the highest size of a packet. It is announced to
	// clients with MQTT 5, and a client that sends more is disconnected.
	// Default 1 MiB, at most 256 MiB.
	PacketBytes int
	// PublisherBytes and PublisherMessages bound the messages of a client,
	// of any QoS, that are not settled. While it has as many it is not read
	// from; others are. A single message may be larger. They belong to user
	// and client id, so that a new connection does not start anew. Defaults
	// 4 MiB and 1,024.
	PublisherBytes    int
	PublisherMessages int
	// ReceiveMaximum is how many QoS 1 and 2 messages of a client may be
	// unacknowledged. It is announced to clients with MQTT 5; others are not
	// read from while they have as many. Default 1,024, at most 65,535.
	ReceiveMaximum int
	// RetainedBytes bounds the memory of retained messages. One beyond it is
	// delivered and not retained, nor is the one before it of its topic.
	// Default 256 MiB.
	RetainedBytes int
	// Sessions is the highest number of sessions, of clients that are
	// connected and of those that are not. Beyond it clients that have none
	// are refused. Default 100,000.
	Sessions int
	// SessionExpiry is the longest time that the session of a client that
	// is not connected is kept. Default 24 hours.
	SessionExpiry time.Duration
	// SubscriberBytes bounds the messages that wait for one subscriber, as
	// SubscriberQueue and SubscriberInflight bound their number; a single
	// message may be larger. Default 32 MiB.
	SubscriberBytes int
	// SubscribersBytes bounds the messages that wait for all subscribers
	// together; one that waits for several counts once. Default 64 MiB.
	SubscribersBytes int
	// SubscriberQueue is how many QoS 0 messages may wait to be written to a
	// connected subscriber, and SubscriberInflight how many QoS 1 and 2
	// messages may wait to be written or for the subscriber's
	// acknowledgement, while it is connected or not. Beyond that its
	// messages are dropped, as "$events/message/delivery_dropped" tells.
	// Defaults 1,000 and 8,192; at most 65,535.
	SubscriberQueue    int
	SubscriberInflight int
	// Subscriptions is how many filters of up to four levels a client may be
	// subscribed to; longer ones count once for each four levels. One filter is
	// always allowed. SubscriptionsTotal is how many filters all sessions have
	// together. Beyond that a filter is refused with the reason "quota exceeded".
	// Defaults 1,000 and 500,000.
	Subscriptions      int
	SubscriptionsTotal int
	// TopicAliases is how many topic aliases a client with MQTT 5 may set.
	// Default 32, at most 65,535.
	TopicAliases int
	// TopicLevels is how many levels topics and filters may have. A client
	// that publishes to a longer one is disconnected, and a longer filter is
	// refused. Default 128.
	TopicLevels int
	// Unreleased is how many QoS 2 messages of a client before MQTT 5 may
	// have got their PUBREC and not their PUBREL. Beyond it the client is
	// disconnected. For clients with MQTT 5 ReceiveMaximum counts them.
	// Default 8,192, at most 65,535.
	Unreleased int
	// UserProperties is how many user properties a packet may have. A client
	// that sends more is disconnected. Default 128.
	UserProperties int
	// WriteTimeout is how long a write to a client may take before it is
	// disconnected. Default 30 s.
	WriteTimeout time.Duration
}

const maxPacketBytes = 256 << 20 // MQTT 5.0, section 2.1.4

// limit is a field of Limits.
type limit struct {
	name  string
	value *int
	// 0 stands for def; more than most is an error.
	def, most int
}

func (l *Limits) counts() []limit {
	return []limit{
		{"ConnectBytes", &l.ConnectBytes, 64 << 10, maxPacketBytes},
		{"Clients", &l.Clients, 100_000, math.MaxInt32},
		{"ClientsPerHost", &l.ClientsPerHost, math.MaxInt32, math.MaxInt32},
		{"HalfOpen", &l.HalfOpen, 1000, math.MaxInt32},
		{"PacketBytes", &l.PacketBytes, 1 << 20, maxPacketBytes},
		{"PublisherBytes", &l.PublisherBytes, 4 << 20, math.MaxInt},
		{"PublisherMessages", &l.PublisherMessages, 1024, math.MaxInt32},
		{"ReceiveMaximum", &l.ReceiveMaximum, 1024, math.MaxUint16},
		{"RetainedBytes", &l.RetainedBytes, 256 << 20, math.MaxInt},
		{"Sessions", &l.Sessions, 100_000, math.MaxInt32},
		{"SubscriberBytes", &l.SubscriberBytes, 32 << 20, math.MaxInt},
		{"SubscribersBytes", &l.SubscribersBytes, 64 << 20, math.MaxInt},
		{"SubscriberQueue", &l.SubscriberQueue, 1000, math.MaxUint16},
		{"SubscriberInflight", &l.SubscriberInflight, 8192, math.MaxUint16},
		{"Subscriptions", &l.Subscriptions, 1000, math.MaxInt32},
		{"SubscriptionsTotal", &l.SubscriptionsTotal, 500_000, math.MaxInt32},
		{"TopicAliases", &l.TopicAliases, 32, math.MaxUint16},
		{"TopicLevels", &l.TopicLevels, 128, math.MaxUint16},
		{"Unreleased", &l.Unreleased, 8192, math.MaxUint16},
		{"UserProperties", &l.UserProperties, 128, math.MaxInt32},
	}
}

// times are the fields that are durations, with their defaults.
func (l *Limits) times() []struct {
	name  string
	value *time.Duration
	def   time.Duration
} {
	return []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"ConnectTimeout", &l.ConnectTimeout, 10 * time.Second},
		{"SessionExpiry", &l.SessionExpiry, 24 * time.Hour},
		{"WriteTimeout", &l.WriteTimeout, 30 * time.Second},
	}
}

func (l Limits) validate() error {
	var errs []error
	for _, c := range l.counts() {
		if *c.value < 0 || *c.value > c.most {
			errs = append(errs, &bridge.FieldError{Path: "Limits." + c.name, Err: fmt.Errorf("%d is not between 0 and %d", *c.value, c.most)})
		}
	}
	for _, d := range l.times() {
		if *d.value < 0 {
			errs = append(errs, &bridge.FieldError{Path: "Limits." + d.name, Err: fmt.Errorf("%v is negative", *d.value)})
		}
	}
	if !(l.MessageRate >= 0) || math.IsInf(l.MessageRate, 1) {
		errs = append(errs, &bridge.FieldError{Path: "Limits.MessageRate", Err: fmt.Errorf("%v is not a rate", l.MessageRate)})
	}
	return errors.Join(errs...)
}

func (l *Limits) setDefaults() {
	for _, c := range l.counts() {
		setDefault(c.value, c.def)
	}
	for _, d := range l.times() {
		setDefault(d.value, d.def)
	}
}

// Limits returns the limits that hold, defaults included.
func (s *Source) Limits() Limits { return s.cfg.Limits }
