package kinesis

import (
	"context"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/kpl"
)

func TestHashText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := hash{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		n := new(big.Int).Add(new(big.Int).Lsh(new(big.Int).SetUint64(h.hi), 64), new(big.Int).SetUint64(h.lo))
		text := h.append(nil)
		if string(text) != n.String() {
			t.Fatalf("%s, want %s", text, n)
		}
		if back, ok := parseHash(text); !ok || back != h {
			t.Fatalf("%v, %t, want %v", back, ok, h)
		}
	})
	for _, bad := range []string{
		"", "00", "01", "-1", "+1", "1 ", "1a", "340282366920938463463374607431768211456",
		"999999999999999999999999999999999999999", "1000000000000000000000000000000000000000",
	} {
		_, ok := parseHash(bad)
		require.False(t, ok, bad)
	}
	zero, ok := parseHash("0")
	require.True(t, ok)
	require.Equal(t, hash{}, zero)
}

func FuzzParseHash(f *testing.F) {
	f.Add("340282366920938463463374607431768211455")
	f.Fuzz(func(t *testing.T, text string) {
		h, ok := parseHash(text)
		n, isNumber := new(big.Int).SetString(text, 10)
		valid := isNumber && n.String() == text && n.Sign() >= 0 && n.BitLen() <= 128
		require.Equal(t, valid, ok, text)
		if ok {
			require.Equal(t, text, string(h.append(nil)))
		}
	})
}

// TestSlots checks that a slot's hash key lies in the slot, so that keys go to
// about the same shards as without aggregation.
func TestSlots(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 64, 1024, maxSlots} {
		s := newSlots(n)
		for i := range n {
			require.Equal(t, i, s.of(s.hashes[i]))
			h, ok := parseHash(s.hashKeys[i])
			require.True(t, ok)
			require.Equal(t, s.hashes[i], h)
		}
		require.Equal(t, 0, s.of(hash{}))
		require.Equal(t, n-1, s.of(hash{^uint64(0), ^uint64(0)}))
	}
}

func TestLanes(t *testing.T) {
	t.Parallel()
	f := new(fake)
	plain := f.sink(t, Config{Stream: "s"})
	lane := func(s *Sink, dest, key, hashKey string) uint64 {
		l, _ := s.Lane(&bridge.Record{Dest: dest, Key: []byte(key), HashKey: []byte(hashKey)})
		return l
	}
	require.Equal(t, lane(plain, "", "a", ""), lane(plain, "s", "a", ""), "the default stream by its name")
	require.NotEqual(t, lane(plain, "", "a", ""), lane(plain, "", "b", ""))
	require.NotEqual(t, lane(plain, "", "a", ""), lane(plain, "other", "a", ""))
	require.Equal(t, lane(plain, "", "a", ""), lane(plain, "", "a", "7"), "order is by key")
	require.Equal(t, bridge.Limits{Requires: bridge.Target{Key: true}, Records: 500, Bytes: 10 << 20, LaneRecords: 1}, plain.Limits())

	aggregated := f.sink(t, Config{Stream: "s", Aggregate: true})
	lanes := map[uint64]bool{}
	for i := range 5000 {
		lanes[lane(aggregated, "", fmt.Sprint(i), "")] = true
	}
	require.Len(t, lanes, 64)
	require.NotEqual(t, lane(aggregated, "", "a", ""), lane(aggregated, "other", "a", ""))
	require.Equal(t, lane(aggregated, "", "a", "0"), lane(aggregated, "", "b", "1"), "the hash key chooses the slot")
}

// TestAggregatesFitTheirUnit hands out records as the pipeline does, by Limits,
// and checks that each lane's run becomes one entry within a payload unit, with
// the slot's hash key on the container and on all that is in it.
func TestAggregatesFitTheirUnit(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", Aggregate: true, Slots: 4})
	limits := s.Limits()
	rapid.Check(t, func(t *rapid.T) {
		f.stored, f.requests = nil, nil
		b := new(bridge.Batch)
		want := map[string]string{}
		bytes := map[uint64]int{}
		byLane := map[uint64][]bridge.Record{}
		for i := range rapid.IntRange(1, 600).Draw(t, "n") {
			key := fmt.Sprintf("%0*d", rapid.IntRange(1, 64).Draw(t, "key"), i%50)
			r := bridge.Record{Key: []byte(key), Data: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i*37%700))}
			r.Lane, _ = s.Lane(&r)
			if bytes[r.Lane] += r.Size() + limits.Overhead; bytes[r.Lane] > limits.LaneBytes {
				continue
			}
			byLane[r.Lane] = append(byLane[r.Lane], r)
			want[string(r.Data)] = key
		}
		for _, records := range byLane {
			for _, r := range records {
				b.Add(r)
			}
		}
		if err := bridgetest.Write(context.Background(), s, b); err != nil {
			t.Fatal(err)
		}
		if len(f.stored) != len(byLane) {
			t.Fatalf("%d entries for %d lanes", len(f.stored), len(byLane))
		}
		for _, e := range f.stored {
			if size := len(e.Data) + len(e.PartitionKey); size > PayloadUnit {
				t.Fatalf("an entry of %d bytes", size)
			}
			h, ok := parseHash(e.ExplicitHashKey)
			if !ok || s.slots.hashes[s.slots.of(h)] != h {
				t.Fatalf("hash key %q is not that of a slot", e.ExplicitHashKey)
			}
			parts, ok := kpl.Decode(nil, e.Data)
			if !ok {
				parts = []kpl.Record{{Key: []byte(e.PartitionKey), HashKey: []byte(e.ExplicitHashKey), Data: e.Data}}
			}
			for _, p := range parts {
				if want[string(p.Data)] != string(p.Key) || string(p.HashKey) != e.ExplicitHashKey {
					t.Fatalf("%s %s %s", p.Key, p.HashKey, p.Data)
				}
				delete(want, string(p.Data))
			}
		}
		if len(want) > 0 {
			t.Fatalf("lost: %v", want)
		}
	})
}

// TestRelaxedAggregates cuts what is given of a lane into units.
func TestRelaxedAggregates(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", Aggregate: true, Ordering: Relaxed, Slots: 1})
	require.Zero(t, s.Limits().LaneBytes)
	require.NoError(t, bridgetest.Write(t.Context(), s, readings(s, 500)))
	require.Len(t, f.stored, 5)
	for _, e := range f.stored {
		require.LessOrEqual(t, len(e.Data)+len(e.PartitionKey), PayloadUnit)
	}
}

// TestLanesOfOtherCallers writes records whose lanes were never set.
func TestLanesOfOtherCallers(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", Aggregate: true})
	b := new(bridge.Batch)
	for i := range 100 {
		b.Add(bridge.Record{Key: fmt.Append(nil, i)})
	}
	require.NoError(t, bridgetest.Write(t.Context(), s, b))
	for _, e := range f.stored {
		h, _ := parseHash(e.ExplicitHashKey)
		parts, _ := kpl.Decode(nil, e.Data)
		for _, p := range parts {
			require.Equal(t, s.slots.of(h), s.slots.of(hashOf(p.Key)))
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s"})
	groupIn := func(dest string, hashKey hash) uint64 {
		_, g := s.Lane(&bridge.Record{Dest: dest, Key: []byte("k"), HashKey: hashKey.append(nil)})
		return g
	}
	group := func(hashKey hash) uint64 { return groupIn("", hashKey) }
	a, b, c := hash{hi: 1}, hash{hi: 1<<63 - 1}, hash{hi: 1 << 63}
	require.NotEqual(t, group(a), group(b), "unknown shards: by the first bits")
	s.streams.byDefault.setShards(newShardMap(shardsAt(0, 1<<63)))
	require.Equal(t, group(a), group(b))
	require.NotEqual(t, group(a), group(c))
	require.NotEqual(t, group(a), groupIn("other", a))
	require.Zero(t, groupIn("not a stream", a))
}

// Credentials that may only put see the shards in the replies.
func TestGroupsFromReplies(t *testing.T) {
	t.Parallel()
	for _, aggregate := range []bool{false, true} {
		t.Run(fmt.Sprint("aggregate ", aggregate), func(t *testing.T) {
			t.Parallel()
			f := &fake{call: func(string) answer { return fail(400, "AccessDeniedException", "no") }}
			f.put = func(in putRequest) answer {
				var list []string
				for _, e := range in.Records {
					h := hashOf([]byte(e.PartitionKey))
					if e.ExplicitHashKey != "" {
						h, _ = parseHash(e.ExplicitHashKey)
					}
					list = append(list, fmt.Sprintf(`{"SequenceNumber":"1","ShardId":"shardId-%012d"}`, h.hi>>62))
				}
				return answer{body: fmt.Sprintf(`{"FailedRecordCount":0,"Records":[%s]}`, strings.Join(list, ","))}
			}
			s := f.sink(t, Config{Stream: "s", Aggregate: aggregate})
			groups := func() map[uint64]bool {
				all := make(map[uint64]bool)
				for i := range 1000 {
					_, g := s.Lane(&bridge.Record{Key: strconv.AppendInt(nil, int64(i), 10)})
					all[g] = true
				}
				return all
			}
			require.Greater(t, len(groups()), 60)
			for i := range 4 {
				var records []string
				for j := range 500 {
					records = append(records, fmt.Sprint(500*i+j, "=data"))
				}
				s.streams.byDefault.sampled.Store(0) // the next reply is decoded
				require.Empty(t, failures(t, s, batchOf(s, records...)))
			}
			require.Len(t, groups(), 4)
		})
	}
}

// shardsAt makes shards that start where told and end where the next one starts.
func shardsAt(starts ...uint64) (list []types.Shard) {
	for i, start := range starts {
		end := hash{^uint64(0), ^uint64(0)}
		if i+1 < len(starts) {
			end = hash{starts[i+1] - 1, ^uint64(0)}
		}
		list = append(list, types.Shard{
			ShardId: aws.String(fmt.Sprintf("shardId-%012d", i)),
			HashKeyRange: &types.HashKeyRange{
				StartingHashKey: aws.String(string(hash{hi: start}.append(nil))), EndingHashKey: aws.String(string(end.append(nil))),
			},
			SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1")},
		})
	}
	return list
}

func TestShardMap(t *testing.T) {
	t.Parallel()
	list := shardsAt(0, 1<<62, 1<<63)
	closed := shardsAt(0)[0]
	closed.ShardId = aws.String("shardId-000000000099")
	closed.SequenceNumberRange.EndingSequenceNumber = aws.String("2")
	m := newShardMap(append([]types.Shard{{}, closed, list[2]}, list[:2]...))
	require.Len(t, m.shards, 3)
	for h, want := range map[hash]string{
		{}: idOf(list, 0), {1<<62 - 1, ^uint64(0)}: idOf(list, 0), {1 << 62, 0}: idOf(list, 1),
		{1<<63 - 1, ^uint64(0)}: idOf(list, 1), {1 << 63, 0}: idOf(list, 2), {^uint64(0), ^uint64(0)}: idOf(list, 2),
	} {
		require.Equal(t, want, m.find(h).id)
	}
	require.Nil(t, newShardMap(list[1:2]).find(hash{}))
	require.Nil(t, newShardMap(list[1:2]).find(hash{hi: 1 << 63}))
	require.Nil(t, newShardMap(nil).find(hash{}))
}

func idOf(list []types.Shard, i int) string { return *list[i].ShardId }

// TestOneEntryPerLane gives a lane more than fits into a Kinesis record: what does
// not fit must wait, whether the rest is stored or not.
func TestOneEntryPerLane(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"bounded":    {MaxRecordBytes: 300},
		"compressed": {MaxRecordBytes: 300, Compression: Gzip},
	} {
		f := new(fake)
		cfg.Stream, cfg.Aggregate, cfg.Slots = "s", true, 1
		s := f.sink(t, cfg)
		var records []string
		for i := range 50 {
			records = append(records, fmt.Sprintf("k%d=%d", i%3, i))
		}
		b := batchOf(s, records...)
		written := 0
		for n := 0; len(b.Records) > 0; n++ {
			require.Less(t, n, 50, name)
			failed := failures(t, s, b)
			require.Len(t, f.requests[n].Records, 1, name)
			done := len(b.Records) - len(failed)
			require.Positive(t, done, name)
			for i, err := range failed {
				require.GreaterOrEqual(t, i, done, name)
				require.ErrorContains(t, err, "waits for a record before it")
				for _, mark := range []error{bridge.ErrThrottled, bridge.ErrAmbiguous, bridge.ErrUnavailable, bridge.ErrPermanent} {
					require.NotErrorIs(t, err, mark)
				}
			}
			written += done
			b.Records = b.Records[done:]
		}
		require.Equal(t, 50, written, name)
		require.Len(t, userData(f.stored), 50, name)
		require.LessOrEqual(t, s.Limits().LaneBytes, 300, name)
	}
	for _, most := range []int{1, 100, 1000} {
		l := new(fake).sink(t, Config{Stream: "s", Aggregate: true, MaxRecordBytes: most}).Limits()
		require.Positive(t, l.LaneBytes, "0 would be no limit")
		require.LessOrEqual(t, l.LaneBytes, most)
	}
}
