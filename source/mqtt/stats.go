package mqtt

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of a source. Counters count from New on.
type Stats struct {
	// Connections holds one entry per configured connection.
	Connections []ConnectionStats

	Received    uint64 // messages, of every QoS, without copies and those that were recognized
	Bytes       uint64 // of their payloads
	Redelivered uint64 // QoS 1 and 2 messages among them that came with the DUP flag
	Copies      uint64 // further copies of a message by overlapping subscriptions, not handed out
	Recognized  uint64 // QoS 1 and 2 messages that came again and were not handed out twice
	Acked       uint64 // QoS 1 and 2 messages acknowledged
	Failed      uint64 // messages settled with an error, left to be sent again
	DroppedQoS0 uint64 // QoS 0 messages dropped because the inbox was full
	Overruns    uint64 // times that reading waited because a broker exceeded the receive maximum

	Reconnects   uint64 // connections made again
	SessionsLost uint64 // reconnects to a broker that had no session any more

	Buffered      int // messages that wait for Read
	BufferedBytes int // of their payloads
	HeldBytes     int // memory of the messages that wait for Read or for their acknowledgement, see Config.BufferBytes
}

// ConnectionStats is the state of one connection.
type ConnectionStats struct {
	// Broker is the URL of the broker in use or last tried.
	Broker   string
	ClientID string
	// Version is that of the protocol: 5, or 4 for MQTT 3.1.1.
	Version int
	// Connected says that the connection is up, Subscribed that the broker
	// has confirmed all subscriptions; the confirmation stands behind the
	// messages that it sends first.
	Connected  bool
	Subscribed bool
	// Since is when Connected changed last.
	Since time.Time
	// LastError is the last trouble, also when it has passed; nil if none.
	LastError error
	// InFlight is the number of QoS 1 and 2 messages received and not
	// acknowledged, Window the receive maximum. QoS 2 messages count until
	// the exchange is complete, so a broker that ignores the receive maximum
	// can bring InFlight above Window with messages that are settled already.
	InFlight int
	Window   int
	// Paused says that the socket is not read until Read makes room.
	Paused bool
}

// counters are shared by the connections of a source.
type counters struct {
	received, bytes, redelivered, copied, recognized, acked, failed, dropped, overruns atomic.Uint64
	reconnects, lost                                                                   atomic.Uint64
}

// Counts returns the counters that a pipeline shows beside its own; see
// bridge.Counter and Stats.
func (s *Source) Counts() map[string]uint64 {
	c := &s.counts
	return map[string]uint64{
		"copies": c.copied.Load(), "dropped_qos0": c.dropped.Load(), "overruns": c.overruns.Load(),
		"recognized": c.recognized.Load(), "reconnects": c.reconnects.Load(), "redelivered": c.redelivered.Load(),
		"sessions_lost": c.lost.Load(),
	}
}
