package bridge_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// endless is a source of n prepared messages that counts what is settled.
type endless struct {
	msgs []bridge.Message
	left int
	at   int
}

func (s *endless) Read(_ context.Context, dst []bridge.Message) (int, error) {
	n := min(len(dst), s.left)
	now := time.Now()
	for i := range n {
		dst[i] = s.msgs[s.at]
		dst[i].Received = now
		s.at = (s.at + 1) % len(s.msgs)
	}
	s.left -= n
	if s.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (*endless) Close(context.Context) error { return nil }

type countAcks struct{}

func (c *countAcks) Done(uint64, bridge.Outcome, error) {}

// BenchmarkPipeline is the engine's own cost per record: router, lanes, batches
// and settlement around a rule that copies and a sink that does nothing.
func BenchmarkPipeline(b *testing.B) {
	for _, keys := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			src := &endless{left: b.N}
			for i := range keys {
				key := strconv.Itoa(i)
				src.msgs = append(src.msgs, bridge.Message{
					Topic: "t/" + key, ClientID: key, Payload: make([]byte, 200),
					Delivery: bridge.NewDelivery(new(countAcks), uint64(i)),
				})
			}
			p, err := bridge.New(bridge.Config{
				Sources: map[string]bridge.Source{"in": src},
				Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
					key := out.Keep(append(out.AvailableBuffer(), m.ClientID...))
					out.Add(bridge.Record{Key: key, Data: m.Payload})
					return nil
				}, "t/#")},
				Sinks: map[string]bridge.Sink{"null": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
				// As many as a source's receive window lets through, so that
				// the queue's working set is that of a bridge in balance.
				Queue:  bridge.QueueConfig{MaxRecords: 10_000},
				Logger: quiet,
			})
			require.NoError(b, err)
			b.ReportAllocs()
			b.ResetTimer()
			require.NoError(b, p.Run(b.Context()))
		})
	}
}
