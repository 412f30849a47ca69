package kinesis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// null takes every request and answers that all of its records were stored.
type null struct{ reply []byte }

func newNull(n int) *null { return &null{reply: []byte(results(n, nil).body)} }

func (n *null) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(n.reply)), Request: r,
	}, nil
}

func (n *null) client() *sdk.Client { return clientOf(n) }

func clientOf(h sdk.HTTPClient) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: "us-east-1", HTTPClient: h,
		Credentials: aws.NewCredentialsCache(testCredentials()),
	})
}

// sink returns a Sink that knows its stream and decodes no reply.
func (n *null) sink(tb testing.TB, cfg Config) *Sink {
	tb.Helper()
	cfg.Client, cfg.Stream = n.client(), "s"
	s, err := New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close(context.Background())) })
	st := s.streams.byDefault
	st.asked.Store(true)
	st.due.Store(1 << 62)
	st.sampled.Store(1 << 62)
	return s
}

// readings makes n records of 200 bytes, with keys of their own, in one lane each
// or, aggregated, in that of their slot.
func readings(s *Sink, n int) *bridge.Batch {
	b := new(bridge.Batch)
	data := bytes.Repeat([]byte("x"), 200)
	for i := range n {
		r := bridge.Record{Key: fmt.Appendf(nil, "device-%06d", i), Data: data}
		if s.cfg.Aggregate {
			r.HashKey = []byte("1") // all in one slot
		}
		r.Lane, _ = s.Lane(&r)
		b.Add(r)
	}
	return b
}

func entriesOf(b *bridge.Batch) []types.PutRecordsRequestEntry {
	out := make([]types.PutRecordsRequestEntry, len(b.Records))
	for i, r := range b.Records {
		out[i] = types.PutRecordsRequestEntry{Data: r.Data, PartitionKey: aws.String(string(r.Key))}
	}
	return out
}

// BenchmarkPutRecords compares a request of 500 records of 200 bytes with what
// the SDK needs for it. The budget is 0.45 of its time and 300 allocations.
func BenchmarkPutRecords(b *testing.B) {
	n := newNull(500)
	b.Run("sdk", func(b *testing.B) {
		s := n.sink(b, Config{})
		client := n.client()
		in := &sdk.PutRecordsInput{Records: entriesOf(readings(s, 500)), StreamName: aws.String("s")}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.PutRecords(b.Context(), in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sink", func(b *testing.B) {
		s := n.sink(b, Config{})
		batch := readings(s, 500)
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("aggregated", func(b *testing.B) {
		s := newNull(1).sink(b, Config{Aggregate: true, AggregateBytes: 1 << 20})
		batch := readings(s, 500)
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLane measures what each record costs before it is queued.
func BenchmarkLane(b *testing.B) {
	for _, aggregate := range []bool{false, true} {
		b.Run(fmt.Sprintf("aggregate=%t", aggregate), func(b *testing.B) {
			s := newNull(1).sink(b, Config{Aggregate: aggregate})
			r := &bridge.Record{Key: []byte("device-000001")}
			b.ReportAllocs()
			for b.Loop() {
				s.Lane(r)
			}
		})
	}
}

func TestAllocationsOfAPut(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := newNull(500).sink(t, Config{})
	batch := readings(s, 500)
	ctx := t.Context()
	require.LessOrEqual(t, testing.AllocsPerRun(20, func() { _ = s.Write(ctx, batch) }), 300.0)

	// Each further record of an aggregate costs nothing.
	s = newNull(1).sink(t, Config{Aggregate: true})
	few, many := readings(s, 10), readings(s, 100)
	ofFew := testing.AllocsPerRun(20, func() { _ = s.Write(ctx, few) })
	ofMany := testing.AllocsPerRun(20, func() { _ = s.Write(ctx, many) })
	require.InDelta(t, ofFew, ofMany, 2)

	for _, aggregate := range []bool{false, true} {
		s := newNull(1).sink(t, Config{Aggregate: aggregate})
		require.Zero(t, testing.AllocsPerRun(100, func() {
			s.Lane(&few.Records[0])
		}))
	}
}
