package kinesis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// steady goes on with messages of another device when the traffic has ended.
type steady struct {
	*traffic
	ended func() bool
	more  int
}

func (s *steady) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	n, err := s.traffic.Read(ctx, dst)
	if !errors.Is(err, io.EOF) || s.ended() {
		return n, err
	}
	select {
	case <-time.After(2 * time.Millisecond):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	dst[0] = bridge.Message{Topic: "other", Payload: []byte("other:" + strconv.Itoa(s.more))}
	s.more++
	return 1, nil
}

// TestPoisonStopsNobody has a device whose records the service refuses, or whose
// requests it or something on the way refuses in a manner that nobody knows: they go
// to the fallback, and the others are stored in order.
func TestPoisonStopsNobody(t *testing.T) {
	t.Parallel()
	poison := "device-3"
	for name, fault := range map[string]kinesistest.Fault{
		"request 400": {Kind: kinesistest.FailCall, Op: "PutRecords", Key: poison, Code: "BrandNewException"},
		"request 422": {Kind: kinesistest.FailCall, Op: "PutRecords", Key: poison, Code: "BrandNewException", Status: 422},
		"request 403": {Kind: kinesistest.FailCall, Op: "PutRecords", Key: poison, Code: "ContentRefusedException", Status: 403},
		"record":      {Kind: kinesistest.FailRecord, Key: poison, Code: "ValidationException"},
	} {
		for mode, cfg := range map[string]kinesis.Config{"plain": {}, "lines": {Pack: kinesis.Lines}} {
			t.Run(name+", "+mode, func(t *testing.T) {
				t.Parallel()
				srv := kinesistest.Start(t, kinesistest.Config{
					NoSocket: true, Logger: slog.New(slog.DiscardHandler), Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 2}},
					Faults: kinesistest.Plan{Faults: []kinesistest.Fault{fault}},
				})
				cfg.Stream, cfg.Client, cfg.Logger = "s", srv.Client(), slog.New(slog.DiscardHandler)
				sink, err := kinesis.New(cfg)
				require.NoError(t, err)
				var mu sync.Mutex
				var dead []string
				fallback := bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
					mu.Lock()
					defer mu.Unlock()
					for _, r := range b.Records {
						dead = append(dead, string(r.Data))
					}
					return nil
				})
				src := newTraffic(300, 6, 100)
				// Whether a record is to blame shows by others that are accepted, so
				// there are others until all of it is found.
				going := &steady{traffic: src, ended: func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(dead) == src.messages/src.keys
				}}
				p, err := bridge.New(bridge.Config{
					Sources: map[string]bridge.Source{"traffic": going}, Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
						key := out.Keep(append(out.AvailableBuffer(), m.Topic...))
						out.Add(bridge.Record{Sink: "kinesis", Key: key, Data: m.Payload})
						return nil
					}, "#")},
					Sinks: map[string]bridge.Sink{"kinesis": sink, "dead": fallback},
					Queues: map[string]bridge.QueueConfig{"kinesis": {
						Fallback: "dead", BatchTime: time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond,
					}},
					Logger: slog.New(slog.DiscardHandler), DrainTimeout: time.Minute,
				})
				require.NoError(t, err)
				require.NoError(t, p.Run(t.Context()))

				next := map[string]int{}
				see := func(data []byte) {
					key, number, _ := bytes.Cut(data, []byte(":"))
					n, err := strconv.Atoi(string(number))
					require.NoError(t, err)
					require.Equal(t, next[string(key)], n)
					next[string(key)]++
				}
				for _, r := range srv.Records("s") {
					require.NotEqual(t, poison, r.PartitionKey)
					for l := range kinesis.UnpackLines(types.Record{Data: r.Data}) {
						see(l.Data)
					}
				}
				for _, data := range dead {
					require.Contains(t, data, poison+":")
					see([]byte(data))
				}
				for i := range src.keys {
					require.Equal(t, src.messages/src.keys, next[fmt.Sprintf("device-%d", i)], i)
				}
				require.Zero(t, src.failed.Load())
			})
		}
	}
}
