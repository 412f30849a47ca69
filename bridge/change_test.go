package bridge_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// TestHotChange replaces the rule and the sink again and again while messages
// flow: none may be lost, doubled or reordered, and each is seen by exactly one
// version of the rule.
func TestHotChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &bridgetest.Source{Window: 100}
		slow := func() *bridgetest.Sink {
			return &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
				time.Sleep(3 * time.Millisecond)
				return nil
			}}
		}
		sinks := []*bridgetest.Sink{slow()}
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("t/#")},
			Sinks:   map[string]bridge.Sink{"mem": sinks[0]},
			Workers: 3, ReadBatch: 7, Logger: quiet,
		})
		require.NoError(t, err)
		var c bridgetest.Checker
		const messages = 5000
		for i := range uint64(messages) {
			key := strconv.Itoa(int(i % 10))
			c.Sent(key, i)
			src.Publish(message(key, i))
		}
		src.End()
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20 {
				time.Sleep(2 * time.Millisecond)
				require.NoError(t, p.SetRule("all", keyed("t/+", "t/#")))
			}
		})
		wg.Go(func() {
			for range 10 {
				time.Sleep(5 * time.Millisecond)
				s := slow()
				require.NoError(t, p.SetSink(t.Context(), "mem", s, bridge.QueueConfig{}))
				sinks = append(sinks, s)
			}
		})
		require.NoError(t, p.Run(t.Context()))
		wg.Wait()
		var records []bridgetest.Stored
		for _, s := range sinks {
			records = append(records, s.Records()...)
			require.Empty(t, s.Violations())
			require.True(t, s.Closed())
		}
		report := check(&c, records)
		require.True(t, report.OK(), report)
		require.Zero(t, report.Duplicates)
		acked, failed, open, twice := src.Counts()
		require.Equal(t, [4]int{messages, 0, 0, 0}, [4]int{acked, failed, open, twice})
		require.EqualValues(t, messages, p.Stats().Rules["all"].Passed, "the counters go on")
		require.ErrorIs(t, p.SetRule("all", keyed("#")), bridge.ErrClosed)
		require.ErrorIs(t, p.Run(t.Context()), bridge.ErrClosed)
	})
}

// TestOrderAcrossSinks replaces the sink all the time while many workers have
// small batches: a batch must not go to an earlier sink than the one before it.
func TestOrderAcrossSinks(t *testing.T) {
	t.Parallel()
	const messages = 20_000
	var mu sync.Mutex
	var got []uint64
	sink := bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range b.Records {
			got = append(got, binary.BigEndian.Uint64(b.Records[i].Data))
		}
		return nil
	})
	src := new(bridgetest.Source)
	for i := range uint64(messages) {
		src.Publish(message("k", i))
	}
	src.End()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"all": keyed("#")},
		Sinks:   map[string]bridge.Sink{"mem": sink},
		Workers: 16, ReadBatch: 1, Logger: quiet,
	})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- p.Run(t.Context()) }()
	for err == nil {
		err = p.SetSink(t.Context(), "mem", sink, bridge.QueueConfig{})
		runtime.Gosched()
	}
	require.ErrorIs(t, err, bridge.ErrClosed)
	require.NoError(t, <-done)
	require.Len(t, got, messages)
	require.True(t, slices.IsSorted(got), "out of order")
}

func TestEnableAndRemoveRule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, sink := new(bridgetest.Source), new(bridgetest.Sink)
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("#")},
			Sinks:   map[string]bridge.Sink{"mem": sink},
			Logger:  quiet,
		})
		require.NoError(t, err)
		done := make(chan error)
		go func() { done <- p.Run(t.Context()) }()
		send := func(seq uint64) {
			src.Publish(message("k", seq))
			synctest.Wait()
		}
		send(1)
		require.NoError(t, p.EnableRule("all", false))
		send(2)
		require.Equal(t, bridge.RuleStats{Matched: 1, Passed: 1, Actions: 1, ActionsSuccess: 1}, p.Stats().Rules["all"])
		require.NoError(t, p.EnableRule("all", true))
		send(3)
		require.NoError(t, p.ResetRule("all"))
		require.Equal(t, bridge.RuleStats{Enabled: true}, p.Stats().Rules["all"])
		require.NoError(t, p.EnableSink("mem", false))
		send(5)
		require.Equal(t, bridge.RuleStats{Matched: 1, Passed: 1, Actions: 1, ActionsDiscarded: 1, Enabled: true}, p.Stats().Rules["all"])
		require.False(t, p.Stats().Sinks["mem"].Enabled)
		require.NoError(t, p.SetSink(t.Context(), "mem", sink, bridge.QueueConfig{}))
		send(6)
		require.False(t, p.Stats().Sinks["mem"].Enabled, "what replaces it stays off")
		require.NoError(t, p.EnableSink("mem", true))
		require.NoError(t, p.EnableRule("all", false))
		require.NoError(t, p.SetRule("all", keyed("#")))
		send(7)
		require.False(t, p.Stats().Rules["all"].Enabled, "what replaces it stays off")
		require.ErrorContains(t, p.EnableSink("none", true), `Sinks["none"]: there is no sink`)
		require.NoError(t, p.RemoveRule("all"))
		send(4)
		require.ErrorContains(t, p.RemoveRule("all"), `Rules["all"]: there is no rule`)
		src.End()
		require.NoError(t, <-done)
		var got []uint64
		for _, r := range sink.Records() {
			got = append(got, binary.BigEndian.Uint64([]byte(r.Data)))
		}
		require.Equal(t, []uint64{1, 3}, got)
	})
}

// sharded is a sink whose groups are the first byte of the key, with a bucket of
// tokens each.
type sharded struct {
	bridgetest.Sink
	mu     sync.Mutex
	tokens map[byte]float64
	last   time.Time
	rate   map[byte]float64 // per second; 0: no limit
	begun  time.Time
	denied int // after the first two seconds, in which the pace is learned
}

func (s *sharded) Lane(r *bridge.Record) (lane, group uint64) {
	return maphash.Bytes(seed, r.Key), uint64(r.Key[0])
}

var seed = maphash.MakeSeed()

func (s *sharded) allow(key byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for k, rate := range s.rate {
		s.tokens[k] = min(rate/10, s.tokens[k]+rate*now.Sub(s.last).Seconds())
	}
	s.last = now
	if s.rate[key] == 0 {
		return true
	}
	if s.tokens[key] < 1 {
		if now.Sub(s.begun) > 2*time.Second {
			s.denied++
		}
		return false
	}
	s.tokens[key]--
	return true
}

// TestThrottledGroup checks that one throttled shard is used to its limit with
// few refusals, and delays nobody else.
func TestThrottledGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perShard = 2000
		s := &sharded{tokens: map[byte]float64{}, rate: map[byte]float64{'a': 200}, last: time.Now(), begun: time.Now()}
		s.Max = bridge.Limits{LaneRecords: 1}
		var freeAt, allAt time.Time
		start := time.Now()
		left := map[byte]int{'a': perShard, 'b': perShard, 'c': perShard}
		s.Fault = func(_ int, r *bridge.Record) bridgetest.Fault {
			if !s.allow(r.Key[0]) {
				return bridgetest.Fault{Err: bridge.Throttled(errors.New("rate exceeded"), 0)}
			}
			left[r.Key[0]]--
			if left['b']+left['c'] == 0 && freeAt.IsZero() {
				freeAt = time.Now()
			}
			if left['a'] == 0 {
				allAt = time.Now()
			}
			return bridgetest.Fault{}
		}
		s.Before = func(context.Context, *bridge.Batch) error {
			time.Sleep(20 * time.Millisecond)
			return nil
		}
		src := new(bridgetest.Source)
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("#")},
			Sinks:   map[string]bridge.Sink{"mem": s},
			Logger:  quiet,
		})
		require.NoError(t, err)
		for i := range uint64(perShard) {
			for _, shard := range []string{"a", "b", "c"} {
				src.Publish(message(shard+strconv.Itoa(int(i%500)), i))
			}
		}
		src.End()
		require.NoError(t, p.Run(t.Context()))
		require.Len(t, s.Records(), 3*perShard)
		require.Empty(t, s.Violations())
		// 2,000 records at 200 a second take 10 seconds; the others need four
		// rounds of 500 keys.
		require.Less(t, allAt.Sub(start), 14*time.Second, "the throttled shard is used to its limit")
		require.Less(t, freeAt.Sub(start), 500*time.Millisecond, "the free shards do not wait")
		require.Less(t, s.denied, perShard/10, "refusals are few")
		t.Logf("all %v, free %v, refused %d", allAt.Sub(start), freeAt.Sub(start), s.denied)
	})
}
