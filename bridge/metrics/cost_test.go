//go:build unix

package metrics_test

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/metrics"
	"github.com/sluiceio/sluice/bridge/metrics/histograms"
)

// endless is a source of n messages of 1,000 clients.
type endless struct {
	msgs []bridge.Message
	left int
}

func newEndless(n int) *endless {
	s := &endless{left: n}
	for i := range 1000 {
		s.msgs = append(s.msgs, bridge.Message{Topic: "t/" + strconv.Itoa(i), ClientID: strconv.Itoa(i), Payload: make([]byte, 200)})
	}
	return s
}

func (s *endless) Read(_ context.Context, dst []bridge.Message) (int, error) {
	n, now := min(len(dst), s.left), time.Now()
	for i := range n {
		dst[i] = s.msgs[s.left%len(s.msgs)]
		dst[i].Received = now
		s.left--
	}
	if s.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (*endless) Close(context.Context) error { return nil }

func newPipeline(tb testing.TB, messages int) *bridge.Pipeline {
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mem": newEndless(messages)},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: out.Keep(append(out.AvailableBuffer(), m.ClientID...)), Data: m.Payload})
			return nil
		}, "t/#")},
		Sinks:  map[string]bridge.Sink{"null": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
		Queue:  bridge.QueueConfig{MaxRecords: 10_000},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(tb, err)
	return p
}

func newReader(tb testing.TB, p *bridge.Pipeline) metric.Reader {
	reader := metric.NewManualReader(metric.WithProducer(histograms.New(p)))
	_, err := metrics.Register(p, metric.NewMeterProvider(metric.WithReader(reader)).Meter("bench"), metrics.Options{PerShard: true})
	require.NoError(tb, err)
	return reader
}

// cpu is the processor time that the process has used.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPipeline is the cost of a message with and without metrics and rates
// that are collected once a second; on a machine that does other things too, look
// at the processor time. Run it with -benchtime 5000000x or more.
func BenchmarkPipeline(b *testing.B) {
	b.Run("metrics=off", func(b *testing.B) {
		p := newPipeline(b, b.N)
		run(b, p)
	})
	b.Run("metrics=on", func(b *testing.B) {
		p := newPipeline(b, b.N)
		reader, rates := newReader(b, p), metrics.NewRates(p)
		ctx, stop := context.WithCancel(b.Context())
		var others sync.WaitGroup
		others.Go(func() { rates.Run(ctx) })
		others.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				var all metricdata.ResourceMetrics
				if err := reader.Collect(b.Context(), &all); err != nil {
					b.Error(err)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
		run(b, p)
		stop()
		others.Wait()
	})
}

func run(b *testing.B, p *bridge.Pipeline) {
	b.ReportAllocs()
	start := cpu(b)
	require.NoError(b, p.Run(b.Context()))
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N), "cpu-ns/op")
}

// BenchmarkCollect is the cost of reading all metrics once.
func BenchmarkCollect(b *testing.B) {
	reader := newReader(b, newPipeline(b, 1))
	for b.Loop() {
		var all metricdata.ResourceMetrics
		require.NoError(b, reader.Collect(b.Context(), &all))
	}
}
