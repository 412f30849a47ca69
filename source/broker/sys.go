package broker

import (
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// sysInterval is how often the $SYS topics are published.
const sysInterval = time.Minute

// publishSys publishes the $SYS topics and retains them.
func (s *Source) publishSys(now time.Time) {
	st := s.Stats()
	online := 0
	s.mu.Lock()
	for _, have := range s.sessions {
		if have.connected() {
			online++
		}
	}
	s.mu.Unlock()
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	for _, v := range []struct {
		topic string
		value int64
	}{
		{"time", now.Unix()},
		{"uptime", int64(now.Sub(s.created).Seconds())},
		{"started", s.created.Unix()},
		{"load/bytes/received", st.BytesIn},
		{"load/bytes/sent", st.BytesOut},
		{"clients/connected", int64(online)},
		{"clients/disconnected", int64(st.Sessions - online)},
		{"clients/total", int64(st.Sessions)},
		{"packets/received", st.PacketsIn},
		{"packets/sent", st.PacketsOut},
		{"messages/received", st.Received},
		{"messages/dropped", st.Undelivered + st.Lost},
		{"messages/inflight", int64(st.Unsettled)},
		{"retained", int64(st.RetainedMessages)},
		{"subscriptions", int64(st.Subscriptions)},
		{"system/memory", int64(heap[0].Value.Uint64())},
	} {
		p := &publication{
			topic: "$SYS/broker/" + v.topic, payload: strconv.AppendInt(nil, v.value, 10),
			created: s.publishes.Add(1), received: now, injected: true,
		}
		s.retained.keepSys(p)
		pk := packets.Packet{TopicName: p.topic}
		s.fanOut(&pk, func() *publication { return p })
	}
}
