package kinesis

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/kpl"
)

// picky refuses requests that hold a record with "bad" in its data, like the
// service refuses requests for a record that is too large. It says which one, or
// not.
func picky(says bool) func(putRequest) answer {
	return func(r putRequest) answer {
		var bad []string
		for i, e := range r.Records {
			if strings.Contains(string(e.Data), "bad") {
				bad = append(bad, fmt.Sprintf("Value at 'records.%d.member.data' failed to satisfy constraint", i+1))
			}
		}
		switch {
		case len(bad) == 0:
			return answer{}
		case says:
			return fail(400, "ValidationException", fmt.Sprintf("%d validation errors detected: ", len(bad))+strings.Join(bad, "; "))
		default:
			return fail(400, "InvalidArgumentException", "something is wrong somewhere")
		}
	}
}

func TestBadRecordsAreIsolated(t *testing.T) {
	t.Parallel()
	for _, says := range []bool{true, false} {
		t.Run(fmt.Sprintf("says=%t", says), func(t *testing.T) {
			t.Parallel()
			f := &fake{put: picky(says)}
			s := f.sink(t, Config{Stream: "s"})
			var records []string
			for i := range 100 {
				data := "good"
				if i == 0 || i == 42 || i == 43 || i == 99 {
					data = "bad"
				}
				records = append(records, fmt.Sprintf("k%d=%s", i, data))
			}
			failed := failures(t, s.Write(t.Context(), batchOf(s, records...)))
			require.Len(t, failed, 4)
			for _, i := range []int{0, 42, 43, 99} {
				require.ErrorIs(t, failed[i], bridge.ErrPermanent)
			}
			require.Len(t, f.stored, 96)
			if says {
				require.Len(t, f.requests, 3, "the whole, and what stands between the bad ones")
			}
		})
	}
}

func TestMisleadingMemberIsBisected(t *testing.T) {
	t.Parallel()
	f := &fake{put: func(r putRequest) answer {
		if len(r.Records) > 1 {
			return fail(400, "ValidationException", "Value at 'records.99.member.data' failed")
		}
		return answer{}
	}}
	s := f.sink(t, Config{Stream: "s"})
	require.NoError(t, s.Write(t.Context(), batchOf(s, "a=1", "b=2", "c=3")))
	require.Len(t, f.stored, 3)
}

func TestBadRecordOfAnAggregateIsIsolated(t *testing.T) {
	t.Parallel()
	f := &fake{put: picky(true)}
	s := f.sink(t, Config{Stream: "s", Aggregate: true, Slots: 1})
	failed := failures(t, s.Write(t.Context(), batchOf(s, "a=1", "a=2", "b=bad", "a=3", "a=4")))
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[2], bridge.ErrPermanent)
	require.Equal(t, []string{"1", "2", "3", "4"}, userData(f.stored))
}

// TestIsolationKeepsOrder fails a part of a refused aggregate for another
// reason: what stands behind it in the lane must not be stored.
func TestIsolationKeepsOrder(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.put = func(r putRequest) answer {
		if len(r.Records) == 1 && slices.Equal(userData(r.Records), []string{"1", "2"}) {
			return results(1, map[int]string{0: "ProvisionedThroughputExceededException"})
		}
		return picky(true)(r)
	}
	s := f.sink(t, Config{Stream: "s", Aggregate: true, Slots: 1})
	failed := failures(t, s.Write(t.Context(), batchOf(s, "a=1", "a=2", "b=bad", "a=3", "a=4")))
	require.Len(t, failed, 5)
	require.ErrorIs(t, failed[4], bridge.ErrThrottled)
	require.Empty(t, f.stored)
}

// userData is what entries hold, in order.
func userData(entries []putEntry) (data []string) {
	for _, e := range entries {
		parts, ok := kpl.Decode(nil, e.Data)
		if !ok {
			data = append(data, string(e.Data))
		}
		for _, p := range parts {
			data = append(data, string(p.Data))
		}
	}
	return data
}
