package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/mqttfake"
)

// numbered makes a record of every message, with its topic for the key.
func numbered() bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		out.Add(bridge.Record{Key: out.Keep(append(out.AvailableBuffer(), m.Topic...)), Data: m.Payload})
		return nil
	}, "#")
}

// TestSituations runs a pipeline through what brokers and networks do to other
// clients: a message of QoS 2 that is sent twice, on the same connection or on the
// next one, acknowledgements that are lost, and connections of which only one end
// is left.
func TestSituations(t *testing.T) {
	const n = 600
	every := func(k int, e mqttfake.Event, kind byte, fromPeer bool) bool {
		return e.FromPeer == fromPeer && e.Packet.Type == kind && e.N%k == 0
	}
	for name, tc := range map[string]struct {
		qos   byte
		hook  func(e mqttfake.Event) mqttfake.Action
		times int32 // how often the hook may do something; 0 for no limit
		exact bool  // nothing arrives twice
	}{
		"QoS 2 sent twice": {qos: 2, exact: true, hook: func(e mqttfake.Event) mqttfake.Action {
			if !every(3, e, packets.PUBLISH, false) {
				return mqttfake.Action{}
			}
			again := *e.Packet.Content.(*packets.Publish)
			again.Duplicate = true
			return mqttfake.Action{Then: &again}
		}},
		"PUBREC is lost": {qos: 2, exact: true, times: 20, hook: func(e mqttfake.Event) mqttfake.Action {
			return mqttfake.Action{Cut: every(7, e, packets.PUBREC, true)}
		}},
		"PUBCOMP is lost": {qos: 2, exact: true, times: 20, hook: func(e mqttfake.Event) mqttfake.Action {
			return mqttfake.Action{Cut: every(7, e, packets.PUBCOMP, true)}
		}},
		"PUBACK is lost": {qos: 1, times: 20, hook: func(e mqttfake.Event) mqttfake.Action {
			return mqttfake.Action{Cut: every(7, e, packets.PUBACK, true)}
		}},
		"half-open with QoS 1": {qos: 1, times: 5, hook: func(e mqttfake.Event) mqttfake.Action {
			return mqttfake.Action{Freeze: every(50, e, packets.PUBLISH, false)}
		}},
		"half-open with QoS 2": {qos: 2, exact: true, times: 5, hook: func(e mqttfake.Event) mqttfake.Action {
			return mqttfake.Action{Freeze: every(50, e, packets.PUBREC, true)}
		}},
	} {
		for version, v3 := range map[string]bool{"MQTT 5": false, "MQTT 3.1.1": true} {
			t.Run(name+", "+version, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var done atomic.Int32
					hook := func(e mqttfake.Event) mqttfake.Action {
						a := tc.hook(e)
						if (a.Cut || a.Freeze) && done.Add(1) > tc.times {
							return mqttfake.Action{}
						}
						return a
					}
					b := mqttfake.New(mqttfake.Options{OnlyV3: v3, Hook: hook})
					defer b.Close()
					cfg := fakeConfig(b)
					cfg.SessionExpiry = time.Hour
					src, err := New(cfg)
					require.NoError(t, err)
					sink, checker := new(bridgetest.Sink), new(bridgetest.Checker)
					p, err := bridge.New(bridge.Config{
						Sources: map[string]bridge.Source{"in": src}, Sinks: map[string]bridge.Sink{"mem": sink},
						Rules: map[string]bridge.Rule{"all": numbered()}, Logger: slog.New(slog.DiscardHandler),
					})
					require.NoError(t, err)
					ctx, stop := context.WithCancel(t.Context())
					ran := make(chan error, 1)
					go func() { ran <- p.Run(ctx) }()
					<-p.Ready()
					for i := range n {
						topic := fmt.Sprint("t/", i%7)
						checker.Sent(topic, uint64(i))
						b.Publish(mqttfake.Message{Topic: topic, Payload: fmt.Append(nil, i), QoS: tc.qos})
					}
					time.Sleep(time.Hour) // of the bubble
					require.Zero(t, b.Pending(), "the broker has forgotten them all: %v", src.Check(ctx))
					stop()
					require.NoError(t, <-ran)
					if tc.times > 0 {
						require.GreaterOrEqual(t, done.Load(), tc.times, "it has happened")
					}
					for _, r := range sink.Records() {
						seq, err := strconv.ParseUint(r.Data, 10, 64)
						require.NoError(t, err)
						checker.Got(r.Key, seq)
					}
					report := checker.Report()
					require.True(t, report.OK(), report)
					if tc.exact {
						require.Zero(t, report.Duplicates)
					}
					stats := p.Stats()
					require.EqualValues(t, n+report.Duplicates, stats.Sources["in"].Received)
					require.EqualValues(t, n+report.Duplicates, stats.Sinks["mem"].Ended[bridge.Stored])
					require.Empty(t, sink.Violations())
					if tc.times > 0 { // the broker does not know what the hook has sent once more
						require.Empty(t, b.Faults())
					}
				})
			})
		}
	}
}
