package kinesis

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

func ExampleDedup() {
	var dedup Dedup
	fromGetRecords := []types.Record{
		{Data: []byte(`{"t":20,"sluice_id":"7-1"}` + "\n" + `{"t":21,"sluice_id":"7-2"}` + "\n")},
		{Data: []byte(`{"t":21,"sluice_id":"7-2"}` + "\n" + `{"t":22,"sluice_id":"7-3"}` + "\n")},
	}
	for r := range dedup.First(UnpackLines(fromGetRecords...)) {
		fmt.Println(string(r.Data))
	}
	// Output:
	// {"t":20,"sluice_id":"7-1"}
	// {"t":21,"sluice_id":"7-2"}
	// {"t":22,"sluice_id":"7-3"}
}

// TestDedupAgainstModel compares Dedup with a list that is searched.
func TestDedupAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := &Dedup{Window: rapid.IntRange(1, 40).Draw(t, "window")}
		var model []string
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 60), 0, 400).Draw(t, "ids") {
			id := strconv.Itoa(n)
			want := slices.Contains(model, id)
			if got := d.Seen(id); got != want {
				t.Fatalf("Seen(%s) = %t, %v is remembered", id, got, model)
			}
			if !want {
				model = append(model, id)
			}
			if len(model) > d.Window {
				model = model[1:]
			}
			taken := 0
			for _, at := range d.table {
				if at != 0 {
					taken++
				}
			}
			if taken != len(model) {
				t.Fatalf("%d places are taken for %d IDs", taken, len(model))
			}
		}
	})
	require.False(t, new(Dedup).Seen(""))
	d := new(Dedup)
	d.Seen("")
	require.False(t, d.Seen(""), "what has no ID is never seen")
}

func TestDedupTakesSixteenBytesARecord(t *testing.T) {
	const window = 1 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := &Dedup{Window: window}
	for i := range 2 * window {
		d.Seen(strconv.Itoa(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(16*window))
	require.True(t, d.Seen(strconv.Itoa(window)))
	require.False(t, d.Seen(strconv.Itoa(window-1)))
}

// TestIDsAreReadBack stores records with IDs in every framing.
func TestIDsAreReadBack(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"plain": {}, "aggregated": {Aggregate: true}, "lines": {Pack: Lines},
		"relaxed": {Aggregate: true, Ordering: Relaxed, AggregateBytes: 1024},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s"}}})
			awsConfig := server.AWSConfig()
			cfg.AWS, cfg.Stream, cfg.IDs = &awsConfig, "s", true
			p, err := NewProducer(t.Context(), cfg, bridge.ProducerConfig{IDs: true, Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			for i := range 100 {
				p.Go(t.Context(), bridge.Record{Key: []byte{'k', byte('0' + i%3)}, Data: fmt.Appendf(nil, `{"n":%d}`, i)}, func(_ bridge.Receipt, err error) { require.NoError(t, err) })
			}
			own := bridge.Attr{Name: bridge.IDAttr, Value: []byte(`"own"`)}
			_, err = p.PutRecord(t.Context(), bridge.Record{Key: []byte("k"), Data: []byte(`{ }`), Attrs: []bridge.Attr{own}})
			require.NoError(t, err)
			if !cfg.Aggregate {
				require.NoError(t, p.Put(t.Context(), "k", []byte(`["no object"]`)))
				require.ErrorContains(t, p.Put(t.Context(), "k", []byte(`{"sluice_id":"mine"}`)), "a member sluice_id of its own")
			}
			for _, id := range []string{string(make([]byte, 101)), "\xff"} {
				_, err = p.PutRecord(t.Context(), bridge.Record{Key: []byte("k"), Attrs: []bridge.Attr{{Name: bridge.IDAttr, Value: []byte(id)}}})
				require.ErrorIs(t, err, bridge.ErrPermanent)
			}
			require.NoError(t, p.Close(t.Context()))
			ids := map[string]int{}
			for r := range read(server) {
				ids[r.ID]++
			}
			require.Equal(t, 1, ids[`"own"`])
			if !cfg.Aggregate {
				require.Equal(t, 1, ids[""])
				delete(ids, "")
			}
			require.Len(t, ids, 101)
		})
	}
}

// read yields what a consumer that takes everything apart reads.
func read(server *kinesistest.Server) func(yield func(UserRecord) bool) {
	return func(yield func(UserRecord) bool) {
		for _, r := range server.Records("s") {
			raw := types.Record{PartitionKey: &r.PartitionKey, SequenceNumber: &r.SequenceNumber, Data: r.Data}
			for u := range Deaggregate(raw) {
				if u.Aggregated {
					if !yield(u) {
						return
					}
					continue
				}
				for u := range UnpackLines(raw) {
					if !yield(u) {
						return
					}
				}
			}
		}
	}
}

// TestEffectivelyOnce moves a log to a stream through producers that are killed a
// hundred times, with a thousand requests whose outcome is not known. Each producer
// begins where the last confirmed one of all stood, as one that follows a broker
// does. Behind Dedup everything is there once and in order.
func TestEffectivelyOnce(t *testing.T) {
	t.Parallel()
	messages, kills := 1_000_000, 100
	if testing.Short() || raceEnabled {
		messages, kills = 50_000, 10
	}
	server := kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 2}}})
	unknown := func(seed uint64) {
		require.NoError(t, server.SetFaults(kinesistest.Plan{Seed: seed, Faults: []kinesistest.Fault{
			{Kind: kinesistest.ResetAfter, Op: "PutRecords", Rate: 0.2},
			{Kind: kinesistest.FailCallAfter, Op: "PutRecords", Rate: 0.2},
		}}))
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	confirmed, ambiguous := 0, 0
	for kill := 0; confirmed < messages; kill++ {
		unknown(uint64(kill))
		until := confirmed + rnd.IntN(2*messages/kills+1)
		if kill >= kills {
			until = messages
		}
		confirmed += produceLog(t, server, confirmed, min(until, messages), kill < kills, &ambiguous)
	}
	first := make([]int, 8) // next message of each key
	for i := range first {
		first[i] = i
	}
	twice, total, dedup := 0, 0, Dedup{Window: 100_000}
	for r := range read(server) {
		if dedup.Seen(r.ID) {
			twice++
			continue
		}
		n, err := strconv.Atoi(string(r.Data))
		require.NoError(t, err)
		if n != first[n%8] {
			require.Equal(t, first[n%8], n, "of key %d", n%8)
		}
		first[n%8] += 8
		total++
	}
	require.Equal(t, messages, total)
	require.Positive(t, twice)
	t.Logf("%d messages, %d stored twice, %d ambiguous records", total, twice, ambiguous)
}

// produceLog puts the messages from up to until, and returns how many of them are
// confirmed in a row. A producer that is killed ends with records on their way.
func produceLog(t *testing.T, server *kinesistest.Server, from, until int, kill bool, ambiguous *int) int {
	awsConfig := server.AWSConfig()
	p, err := NewProducer(t.Context(), Config{AWS: &awsConfig, Stream: "s", Aggregate: true, IDs: true, Logger: slog.New(slog.DiscardHandler)},
		bridge.ProducerConfig{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Queue: bridge.QueueConfig{
			MaxRecords: 20_000, BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, BatchTime: 5 * time.Millisecond,
		}})
	require.NoError(t, err)
	var mu sync.Mutex
	done := make([]bool, until-from)
	for n := from; n < until; n++ {
		p.Go(t.Context(), bridge.Record{
			Key: []byte{'0' + byte(n%8)}, Data: strconv.AppendInt(nil, int64(n), 10),
			Attrs: []bridge.Attr{{Name: bridge.IDAttr, Value: strconv.AppendInt(nil, int64(n), 10)}},
		}, func(_ bridge.Receipt, err error) {
			mu.Lock()
			defer mu.Unlock()
			done[n-from] = err == nil
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	if kill {
		cancel()
	}
	err = p.Close(ctx)
	cancel()
	if !kill {
		require.NoError(t, err)
	}
	*ambiguous += int(p.Stats().Sinks["kinesis"].Ambiguous)
	mu.Lock()
	defer mu.Unlock()
	if i := slices.Index(done, false); i >= 0 {
		return i
	}
	return len(done)
}
