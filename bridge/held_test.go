package bridge_test

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// inUse is the memory in use after a collection.
func inUse() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// The records that rules make of one batch of messages are handed to the queues,
// which have a limit, before they are many bytes: whatever they consist of, in the
// order of the messages, and whether the rule succeeds or not.
func TestLargeRecordsOfABatch(t *testing.T) {
	const messages, mib = 256, 1 << 20
	block := func(out *bridge.Out, n int) []byte {
		return out.Keep(append(out.AvailableBuffer(), make([]byte, n)...))
	}
	key := []byte("k")
	number := func(m *bridge.Message) []byte { return binary.BigEndian.AppendUint64(nil, m.Seq) }
	for name, rule := range map[string]func(out *bridge.Out, m *bridge.Message) error{
		"data": func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: key, HashKey: number(m), Data: block(out, mib)})
			return nil
		},
		"attributes": func(out *bridge.Out, m *bridge.Message) error {
			attrs := out.Attrs(1)
			attrs[0] = bridge.Attr{Name: "x", Value: block(out, mib)}
			out.Add(bridge.Record{Key: key, HashKey: number(m), Attrs: attrs})
			return nil
		},
		"many": func(out *bridge.Out, m *bridge.Message) error {
			for range 600 {
				out.Add(bridge.Record{Key: key, HashKey: number(m)})
			}
			return nil
		},
		"memory of its own": func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: key, HashKey: number(m), Data: make([]byte, mib)})
			return nil
		},
		"failures": func(out *bridge.Out, _ *bridge.Message) error {
			for range 1000 {
				out.Add(bridge.Record{Data: block(out, mib/1000), Attrs: out.Attrs(20)})
			}
			return errors.New("too late")
		},
	} {
		t.Run(name, func(t *testing.T) {
			src := &endless{left: messages}
			for range messages {
				src.msgs = append(src.msgs, bridge.Message{Topic: "t", Delivery: bridge.NewDelivery(new(countAcks), 0)})
			}
			idle, peak, last := inUse(), 0, uint64(0)
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"in": src},
				Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
					err := rule(out, m)
					if m.Seq%16 == 0 {
						peak = max(peak, inUse()-idle)
					}
					return err
				}, "#")},
				Sinks: map[string]bridge.Sink{"null": bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
					for i := range b.Records {
						seq := binary.BigEndian.Uint64(b.Records[i].HashKey)
						if seq < last {
							return bridge.Permanent(errors.New("order"))
						}
						last = seq
					}
					return nil
				})},
				Queues:  map[string]bridge.QueueConfig{"null": {MaxBytes: 2 * mib, BatchBytes: mib, InFlight: 1}},
				Workers: 1, DrainTimeout: time.Minute,
				Logger: quiet,
			})
			require.NoError(t, err)
			require.NoError(t, p.Run(t.Context()))
			require.Less(t, peak, 32*mib)
			stats := p.Stats()
			require.EqualValues(t, messages, stats.Sources["in"].Received)
			require.Equal(t, stats.Sinks["null"].Matched, stats.Sinks["null"].Ended[bridge.Stored])
			if name != "failures" {
				require.EqualValues(t, messages, last)
			}
		})
	}
}
