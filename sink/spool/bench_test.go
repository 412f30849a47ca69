package spool_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// BenchmarkWrite appends batches of 500 records of 200 bytes; an operation is a
// record.
func BenchmarkWrite(b *testing.B) {
	for _, bm := range []struct {
		name    string
		mode    spool.Mode
		writers int
	}{
		{"durable/writers=1", spool.Durable, 1},
		{"durable/writers=8", spool.Durable, 8},
		{"volatile/writers=1", spool.Volatile, 1},
	} {
		b.Run(bm.name, func(b *testing.B) {
			buf, err := spool.Open(spool.Config{Dir: b.TempDir(), Mode: bm.mode, MaxBytes: 64 << 30, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(b, err)
			defer func() { require.NoError(b, buf.Close()) }()
			sink := buf.Sink()
			var batch bridge.Batch
			for range 500 {
				batch.Add(bridge.Record{Key: []byte("device-1234"), Data: bytes.Repeat([]byte("x"), 189), Topic: "t/1", Rule: "r"})
			}
			b.SetBytes(200)
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			per := b.N/500/bm.writers + 1
			for range bm.writers {
				wg.Go(func() {
					for range per {
						if err := sink.Write(b.Context(), &batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(per*bm.writers*500)/b.Elapsed().Seconds(), "records/s")
			s := buf.Stats()
			b.ReportMetric(float64(s.Bytes)/float64(s.Appended), "disk-B/record")
		})
	}
}

// BenchmarkThrough appends, reads, forwards and settles; an operation is a record.
func BenchmarkThrough(b *testing.B) {
	buf, err := spool.Open(spool.Config{Dir: b.TempDir(), MaxBytes: 64 << 30, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	defer func() { require.NoError(b, buf.Close()) }()
	sink, source, forward := buf.Sink(), buf.Source(), buf.Forward("real")
	var batch bridge.Batch
	for range 500 {
		batch.Add(bridge.Record{Key: []byte("device-1234"), Data: bytes.Repeat([]byte("x"), 189), Topic: "t/1", Rule: "r"})
	}
	b.SetBytes(200)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N/500 + 1 {
			if err := sink.Write(context.Background(), &batch); err != nil {
				panic(err)
			}
		}
	}()
	var out bridge.Out
	msgs := make([]bridge.Message, 256)
	for done := 0; done < b.N; {
		n, err := source.Read(b.Context(), msgs)
		require.NoError(b, err)
		for i := range msgs[:n] {
			require.NoError(b, forward.Apply(&out, &msgs[i]))
			msgs[i].Delivery.Done(bridge.Stored, nil)
		}
		out.Reset()
		done += n
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
