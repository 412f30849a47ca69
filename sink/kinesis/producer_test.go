package kinesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// counting is a null that answers for as many entries as a request has.
type counting struct {
	mu      sync.Mutex
	replies map[int][]byte
	body    []byte
}

func (c *counting) Do(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body := bytes.NewBuffer(c.body[:0])
	if _, err := body.ReadFrom(r.Body); err != nil {
		return nil, err
	}
	_ = r.Body.Close()
	c.body = body.Bytes()
	n := bytes.Count(c.body, []byte(`"PartitionKey"`))
	reply, ok := c.replies[n]
	if !ok {
		reply = []byte(results(n, nil).body)
		c.replies[n] = reply
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(reply)), Request: r,
	}, nil
}

// BenchmarkProducer confirms records of 200 bytes with 5,000 keys one by one, with
// an endpoint that costs nothing. Run it with -cpu 1.
func BenchmarkProducer(b *testing.B) {
	for name, cfg := range map[string]Config{
		"plain": {}, "aggregated": {Aggregate: true},
	} {
		b.Run(name, func(b *testing.B) {
			c := &counting{replies: map[int][]byte{}}
			cfg.Client, cfg.Stream = clientOf(c), "s"
			s, err := New(cfg)
			require.NoError(b, err)
			st := s.streams.byDefault
			st.asked.Store(true)
			st.due.Store(1 << 62)
			p, err := bridge.NewProducer(b.Context(), s, bridge.ProducerConfig{
				CheckInterval: -1, Logger: slog.New(slog.DiscardHandler), Queue: bridge.QueueConfig{MaxRecords: 20_000},
			})
			require.NoError(b, err)
			keys := make([][]byte, 5000)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "device-%06d", i)
			}
			data := bytes.Repeat([]byte("x"), 200)
			confirmed := 0
			done := func(_ bridge.Receipt, err error) {
				if err == nil {
					confirmed++
				}
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				p.Go(b.Context(), bridge.Record{Key: keys[n%len(keys)], Data: data}, done)
				n++
			}
			require.NoError(b, p.Close(b.Context()))
			require.Equal(b, n, confirmed)
		})
	}
}

// TestProducerTellsWhereRecordsAre compares receipts with what the stream holds.
func TestProducerTellsWhereRecordsAre(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{"plain": {}, "aggregated": {Aggregate: true}, "lines": {Pack: Lines}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 4}}})
			awsConfig := server.AWSConfig()
			cfg.AWS, cfg.Stream = &awsConfig, "s"
			p, err := NewProducer(t.Context(), cfg, bridge.ProducerConfig{})
			require.NoError(t, err)
			var mu sync.Mutex
			at := map[string]bridge.Receipt{}
			for i := range 500 {
				data := strconv.Itoa(i)
				p.Go(t.Context(), bridge.Record{Key: []byte{'a' + byte(i%7)}, Data: []byte(data)}, func(r bridge.Receipt, err error) {
					mu.Lock()
					defer mu.Unlock()
					require.NoError(t, err)
					at[data] = r
				})
			}
			require.NoError(t, p.Close(t.Context()))
			require.Len(t, at, 500)
			found := 0
			for _, r := range server.Records("s") {
				raw := types.Record{PartitionKey: &r.PartitionKey, SequenceNumber: &r.SequenceNumber, Data: r.Data}
				parts := Deaggregate(raw)
				if cfg.Pack == Lines {
					parts = UnpackLines(raw)
				}
				for u := range parts {
					require.Equal(t, bridge.Receipt{Shard: r.ShardID, Sequence: u.SequenceNumber, SubSequence: u.SubSequence, Attempts: 1}, at[string(bytes.TrimSpace(u.Data))])
					found++
				}
			}
			require.Equal(t, 500, found)
		})
	}
}

// TestProducerAnswersAgreeWithTheStream puts from 64 goroutines while the endpoint
// fails in every way that it knows. What Put calls stored is there, in the order of
// its key and once unless the receipt says otherwise; what it calls refused is not.
func TestProducerAnswersAgreeWithTheStream(t *testing.T) {
	t.Parallel()
	faults := map[string][]kinesistest.Fault{
		"refusals":  {{Kind: kinesistest.FailRecord, Code: "ProvisionedThroughputExceededException", Rate: 0.3}, {Kind: kinesistest.FailRecord, Rate: 0.1}},
		"resets":    {{Kind: kinesistest.ResetAfter, Rate: 0.1}, {Kind: kinesistest.ResetBefore, Rate: 0.1}},
		"throttles": {{Kind: kinesistest.FailCall, Code: "LimitExceededException", Rate: 0.3}},
		"splits":    {{Kind: kinesistest.SplitShard, Skip: 50, Times: 3}, {Kind: kinesistest.FailCallAfter, Rate: 0.1}},
		"replies":   {{Kind: kinesistest.Truncate, Rate: 0.1}, {Kind: kinesistest.DropResults, Rate: 0.1}},
	}
	for name, list := range faults {
		for _, cfg := range []Config{{}, {Aggregate: true}} {
			t.Run(fmt.Sprintf("%s/aggregated=%t", name, cfg.Aggregate), func(t *testing.T) {
				t.Parallel()
				server := kinesistest.Start(t, kinesistest.Config{
					NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 4}}, Faults: kinesistest.Plan{Seed: 1, Faults: list},
				})
				awsConfig := server.AWSConfig()
				cfg.AWS, cfg.Stream = &awsConfig, "s"
				p, err := NewProducer(t.Context(), cfg, bridge.ProducerConfig{Queue: bridge.QueueConfig{
					BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, ResumeInterval: 5 * time.Millisecond,
				}})
				require.NoError(t, err)
				putAll(t, server, p)
			})
		}
	}
}

// large reports whether a record is larger than the stream takes.
func large(i, j int) bool { return i%16 == 0 && j == 7 }

// putAll puts records from each of 64 goroutines, some with a context that ends,
// and compares the answers with the stream.
func putAll(t *testing.T, server *kinesistest.Server, p *bridge.Producer) {
	type answer struct {
		receipt bridge.Receipt
		err     error
	}
	puts := 50
	if testing.Short() || raceEnabled {
		puts = 15
	}
	answers := make([]map[string]answer, 64)
	var all sync.WaitGroup
	for i := range answers {
		answers[i] = make(map[string]answer)
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for j := range puts {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if rnd.IntN(20) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(2000))*time.Microsecond)
				}
				rec := bridge.Record{Key: fmt.Appendf(nil, "key%d", i), Data: fmt.Appendf(nil, "%d:%d", i, j)}
				if large(i, j) {
					rec.Data = make([]byte, 2<<20)
				}
				receipt, err := p.PutRecord(ctx, rec)
				cancel()
				answers[i][fmt.Sprintf("%d:%d", i, j)] = answer{receipt, err}
			}
		})
	}
	all.Wait()
	require.NoError(t, p.Close(t.Context()))

	held := make(map[string]int)
	order := make(map[string][]string)
	for _, r := range server.UserRecords("s") {
		if held[string(r.Data)]++; held[string(r.Data)] == 1 {
			order[r.PartitionKey] = append(order[r.PartitionKey], string(r.Data))
		}
	}
	for i := range answers {
		var want []string
		for j := range puts {
			data := fmt.Sprintf("%d:%d", i, j)
			a := answers[i][data]
			switch {
			case a.err == nil:
				require.Positive(t, held[data], "%s is said to be stored", data)
				if held[data] > 1 {
					require.True(t, a.receipt.Duplicate, "%s is there %d times", data, held[data])
				}
			case errors.Is(a.err, context.DeadlineExceeded): // it may be there or not
			default:
				require.True(t, large(i, j), "%v", a.err)
				require.ErrorIs(t, a.err, bridge.ErrPermanent, "it is too large")
				require.Zero(t, held[data])
			}
			if held[data] > 0 {
				want = append(want, data)
			}
		}
		require.Equal(t, want, order[fmt.Sprint("key", i)], "the order of a key")
	}
}
