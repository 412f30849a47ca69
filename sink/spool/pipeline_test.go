package spool_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// toBuffer sends every message to the buffer, with its topic as the key.
func toBuffer() bridge.Rule {
	return bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		key := out.Keep(append(out.AvailableBuffer(), m.Topic...))
		out.Add(bridge.Record{Sink: "buffer", Key: key, Data: m.Payload})
		return nil
	}, "#")
}

func pipeline(t *testing.T, buf *spool.Buffer, src *bridgetest.Source, real bridge.Sink, q bridge.QueueConfig) *bridge.Pipeline {
	t.Helper()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": src, "buffered": buf.Source()},
		Rules:   map[string]bridge.Rule{"collect": toBuffer(), "forward": buf.Forward("real")},
		Sinks:   map[string]bridge.Sink{"buffer": buf.Sink(), "real": real},
		Queues:  map[string]bridge.QueueConfig{"real": q},
		Logger:  quiet(),
	})
	require.NoError(t, err)
	return p
}

// TestOutage lets the real sink be away for ten minutes, in virtual time, while
// messages go on coming: memory stays flat, and everything is delivered in order.
func TestOutage(t *testing.T) {
	dir := t.TempDir() // outside of the bubble, which has no real clean-up
	synctest.Test(t, func(t *testing.T) {
		const seconds, perSecond, keys = 600, 50, 20
		buf := open(t, spool.Config{Dir: dir, Mode: spool.Volatile})
		src := new(bridgetest.Source)
		var check bridgetest.Checker
		var up atomic.Bool
		real := bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
			if !up.Load() {
				return bridge.Unavailable(errors.New("away"))
			}
			for _, r := range b.Records {
				var n uint64
				fmt.Sscan(string(r.Data), &n)
				check.Got(string(r.Key), n)
			}
			return nil
		})
		p := pipeline(t, buf, src, real, bridge.QueueConfig{MaxRecords: 1000})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- p.Run(ctx) }()

		n := 0
		publish := func() {
			for range perSecond {
				topic := fmt.Sprintf("t/%d", n%keys)
				check.Sent(topic, uint64(n))
				src.Publish(bridge.Message{Topic: topic, Payload: fmt.Append(nil, n)})
				n++
			}
			time.Sleep(time.Second)
		}
		for range seconds {
			publish()
		}
		require.NoError(t, src.WaitSettled(ctx, n), "acknowledged during the outage")
		s := p.Stats()
		require.LessOrEqual(t, s.Sinks["real"].Queue.Waiting+s.Sinks["real"].Queue.Inflight, 1000+256, "the queue is bounded")
		require.Equal(t, bridge.Disconnected, s.Sinks["real"].Health.State)
		require.EqualValues(t, n, buf.Stats().Pending)

		up.Store(true)
		for range 20 {
			publish()
		}
		require.Zero(t, buf.Stats().Pending)
		cancel()
		require.NoError(t, <-result)
		report := check.Report()
		require.True(t, report.OK(), report.String())
		require.Zero(t, report.Duplicates)
		_, failed, open, twice := src.Counts()
		require.Zero(t, failed+open+twice)
	})
}

// TestRestart stops a pipeline whose real sink is away; the next one delivers.
func TestRestart(t *testing.T) {
	t.Parallel()
	cfg := spool.Config{Dir: t.TempDir(), Mode: spool.Volatile}
	src := new(bridgetest.Source)
	var check bridgetest.Checker
	for i := range 5000 {
		topic := fmt.Sprintf("t/%d", i%50)
		check.Sent(topic, uint64(i))
		src.Publish(bridge.Message{Topic: topic, Payload: fmt.Append(nil, i)})
	}
	away := bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return errors.New("away") })
	buf := open(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := bridge.New(bridge.Config{
		Sources:      map[string]bridge.Source{"mqtt": src, "buffered": buf.Source()},
		Rules:        map[string]bridge.Rule{"collect": toBuffer(), "forward": buf.Forward("real")},
		Sinks:        map[string]bridge.Sink{"buffer": buf.Sink(), "real": away},
		Queue:        bridge.QueueConfig{MaxRecords: 2000},
		DrainTimeout: time.Millisecond,
		Logger:       quiet(),
	})
	require.NoError(t, err)
	result := make(chan error, 1)
	go func() { result <- p.Run(ctx) }()
	require.NoError(t, src.WaitSettled(ctx, 5000))
	cancel()
	<-result // nil, or a drain timeout when something was under way

	buf = open(t, cfg)
	require.EqualValues(t, 5000, buf.Stats().Pending)
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(5000)
	p = pipeline(t, buf, new(bridgetest.Source), bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
		for _, r := range b.Records {
			var n uint64
			fmt.Sscan(string(r.Data), &n)
			check.Got(string(r.Key), n)
		}
		if left.Add(int64(-len(b.Records))) == 0 {
			cancel()
		}
		return nil
	}), bridge.QueueConfig{})
	require.NoError(t, p.Run(ctx))
	report := check.Report()
	require.True(t, report.OK() && report.Duplicates == 0, report.String())
}

// BenchmarkPipeline is a pipeline with a buffer in the middle; an operation is a
// message from the source until the real sink has it.
func BenchmarkPipeline(b *testing.B) {
	for _, mode := range []spool.Mode{spool.Durable, spool.Volatile} {
		b.Run(mode.String(), func(b *testing.B) { benchmarkPipeline(b, mode) })
	}
}

func benchmarkPipeline(b *testing.B, mode spool.Mode) {
	buf := open(b, spool.Config{Dir: b.TempDir(), MaxBytes: 64 << 30, Mode: mode})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var left atomic.Int64
	left.Store(int64(b.N))
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": newTap(b.N), "buffered": buf.Source()},
		Rules:   map[string]bridge.Rule{"collect": toBuffer(), "forward": buf.Forward("real")},
		Sinks: map[string]bridge.Sink{"buffer": buf.Sink(), "real": bridge.SinkFunc(func(_ context.Context, batch *bridge.Batch) error {
			if left.Add(int64(-len(batch.Records))) == 0 {
				cancel()
			}
			return nil
		})},
		Logger: quiet(),
	})
	require.NoError(b, err)
	runtime.GC()
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, p.Run(ctx))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(buf.Stats().Commits), "records/commit")
}

// tap is a source that takes no time: n messages of 180 bytes from 1,000 topics.
type tap struct {
	topics  []string
	payload []byte
	left    int
}

func newTap(n int) *tap {
	s := &tap{payload: make([]byte, 180), left: n}
	for i := range 1000 {
		s.topics = append(s.topics, fmt.Sprintf("devices/%d/data", i))
	}
	return s
}

func (s *tap) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	if s.left == 0 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	n := min(len(dst), s.left)
	for i := range n {
		s.left--
		dst[i] = bridge.Message{Topic: s.topics[s.left%len(s.topics)], Payload: s.payload, Delivery: bridge.NewDelivery(s, 0)}
	}
	return n, nil
}

func (*tap) Done(uint64, bridge.Outcome, error) {}
func (*tap) Close(context.Context) error        { return nil }
