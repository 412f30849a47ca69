package bridge

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestBatchMemoryIsNotShared(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b Batch
		for range 2 {
			var kept, want [][]byte
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 30_000), 0, 40).Draw(t, "sizes") {
				text := bytes.Repeat([]byte{byte(len(kept))}, n)
				kept = append(kept, b.Keep(append(b.AvailableBuffer(), text...)))
				want = append(want, text)
			}
			for i := range kept {
				require.True(t, bytes.Equal(want[i], kept[i]), "buffer %d", i)
				require.Equal(t, len(kept[i]), cap(kept[i]))
			}
			b.Reset()
		}
	})
}

func TestBatchDoesNotAllocate(t *testing.T) {
	var b Batch
	data := make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 200 {
			attrs := b.Attrs(1)
			attrs[0] = Attr{"name", data}
			b.Add(Record{Key: b.Keep(append(b.AvailableBuffer(), data...)), Attrs: attrs})
		}
		b.Reset()
	}))
}

func TestMarks(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for mark, err := range map[error]error{
		ErrPermanent:   Permanent(cause),
		ErrThrottled:   Throttled(cause, 0),
		ErrUnavailable: Unavailable(cause),
		ErrAmbiguous:   Ambiguous(cause),
	} {
		require.ErrorIs(t, err, mark)
		require.ErrorIs(t, err, cause)
		require.Equal(t, "cause", err.Error())
	}
	require.NoError(t, Permanent(nil))
	var b *BatchError
	require.NoError(t, b.ErrorOrNil())
	failed := new(BatchError)
	failed.Fail(3, cause)
	failed.Fail(1, Permanent(cause))
	require.Equal(t, 1, failed.Failed[0].Index, "ordered by index")
	require.ErrorIs(t, failed.ErrorOrNil(), ErrPermanent)
}

func TestTimersFireInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h timers
		live := map[*timed]bool{}
		for _, n := range rapid.SliceOfN(rapid.IntRange(-20, 100), 1, 200).Draw(t, "ops") {
			if n < 0 {
				for x := range live {
					h.remove(x)
					delete(live, x)
					break
				}
				continue
			}
			x := &timed{due: time.Duration(n)}
			h.add(x)
			live[x] = true
		}
		last := time.Duration(-1)
		for len(h) > 0 {
			x := h[0]
			require.GreaterOrEqual(t, x.due, last)
			require.True(t, live[x])
			last = x.due
			h.remove(x)
			require.False(t, x.pending())
		}
	})
}

func TestNodePoolClasses(t *testing.T) {
	t.Parallel()
	p := nodePool{limit: 1 << 20}
	for _, size := range []int{0, 1, 64, 65, 1000, 65_536, 65_537, 1 << 20} {
		n := p.get(&Record{Key: make([]byte, 0), Data: make([]byte, size)}, nil, false)
		var r Record
		n.record(&r, 7)
		require.Len(t, r.Data, size)
		require.NotNil(t, r.Key)
		require.Nil(t, r.HashKey)
		require.Nil(t, r.Attrs)
		require.Equal(t, uint64(7), r.Lane)
		require.Equal(t, r.Size(), n.size())
		require.GreaterOrEqual(t, cap(n.buf), size)
		p.put(n)
	}
	require.LessOrEqual(t, p.bytes, p.limit)
	again := p.get(&Record{Data: make([]byte, 60)}, nil, false)
	require.Nil(t, again.delivery.acker)
	var r Record
	again.record(&r, 0)
	require.Nil(t, r.Key)
}

func TestNodeHoldsAllOfARecord(t *testing.T) { // not parallel: it counts allocations
	p := nodePool{limit: 1 << 20}
	want := Record{
		Sink: "s", Dest: "d", Key: []byte("key"), HashKey: []byte("12"), Data: []byte("data"),
		Attrs:    []Attr{{"a", []byte("1")}, {"nil", nil}, {"empty", []byte{}}},
		Optional: true, Topic: "t", Rule: "r", Attempt: 3,
	}
	n := p.get(&want, []byte("payload"), true)
	var got Record
	n.record(&got, want.Lane)
	require.Equal(t, want, got)
	require.Equal(t, want.Size(), n.size())
	require.Equal(t, "payload", string(n.payload()))

	p.put(n)
	plain := Record{Data: []byte("x")}
	again := p.get(&plain, nil, false)
	require.Same(t, n, again)
	again.record(&got, 0)
	require.Equal(t, plain, got, "nothing is left of the record before")
	require.Nil(t, again.payload())
	p.put(again)

	allocs := testing.AllocsPerRun(100, func() { p.put(p.get(&want, []byte("payload"), true)) })
	require.Zero(t, allocs)
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h Histogram
	require.Zero(t, h.Quantile(0.5))
	for i := range 1000 {
		h.add(time.Duration(i) * 1000 * 1000)
	}
	require.InDelta(t, 500e6, float64(h.Quantile(0.5)), 30e6)
	require.Equal(t, 999*time.Millisecond, h.Quantile(1))
}

func TestLaneTableLikeMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var table laneTable
		want := map[uint64]*lane{}
		ids := rapid.Uint64Range(0, rapid.SampledFrom([]uint64{10, 300, 1 << 60}).Draw(t, "range"))
		for _, id := range rapid.SliceOfN(ids, 0, 500).Draw(t, "ids") {
			require.Same(t, want[id], table.get(id))
			if want[id] != nil {
				table.remove(id)
				delete(want, id)
				continue
			}
			want[id] = &lane{id: id}
			table.add(want[id])
		}
		require.Equal(t, len(want), table.len)
		n := 0
		for l := range table.all() {
			require.Same(t, want[l.id], l)
			n++
		}
		require.Equal(t, len(want), n)
		for id := range want {
			table.remove(id)
		}
		require.LessOrEqual(t, len(table.slots), idleLaneTable)
	})
}
