package kinesis

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func TestWriteStoresEveryRecord(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s"})
	require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1", `k"\`+"\x01é=2", "b=")))
	require.Len(t, f.requests, 1)
	require.Equal(t, "s", f.requests[0].StreamName)
	require.Equal(t, []putEntry{
		{[]byte("1"), "a", ""}, {[]byte("2"), "k\"\\\x01é", ""}, {[]byte{}, "b", ""},
	}, f.stored)
}

func TestWriteReportsEachRecordsOutcome(t *testing.T) {
	t.Parallel()
	f := &fake{put: func(r putRequest) answer {
		if len(r.Records) == 0 {
			return answer{}
		}
		return results(5, map[int]string{
			1: "ProvisionedThroughputExceededException", 2: "InternalFailure", 4: "KMSThrottlingException",
		})
	}}
	s := f.sink(t, Config{Stream: "s"})
	failed := failures(t, s, batchOf(s, "a=1", "b=2", "c=3", "d=4", "e=5"))
	require.Len(t, failed, 3)
	require.ErrorIs(t, failed[1], bridge.ErrThrottled)
	require.ErrorIs(t, failed[2], bridge.ErrAmbiguous)
	require.ErrorIs(t, failed[4], bridge.ErrThrottled)
	var e *Error
	require.ErrorAs(t, failed[1], &e)
	require.Equal(t, "shardId-000000000007", e.Shard)
	require.Equal(t, "req-1", e.RequestID)
	require.Equal(t, "s", e.Stream)
}

func TestWriteToSeveralStreams(t *testing.T) {
	t.Parallel()
	const other = "arn:aws:kinesis:us-east-1:123456789012:stream/other"
	f := &fake{put: func(r putRequest) answer {
		if r.StreamName == "missing" {
			return fail(400, "ResourceNotFoundException", "Stream missing under account 1 not found.")
		}
		return answer{}
	}}
	s := f.sink(t, Config{Stream: "s"})
	b := batchOf(s, "a=1", "missing/b=2", "x y/c=3", "s/d=4")
	b.Add(bridge.Record{Dest: other, Key: []byte("e")})
	failed := failures(t, s, b)
	require.Len(t, failed, 2)
	require.ErrorIs(t, failed[1], bridge.ErrUnavailable)
	require.ErrorContains(t, failed[1], "there is no such stream in region us-east-1")
	require.ErrorIs(t, failed[2], bridge.ErrPermanent)
	require.ElementsMatch(t, []string{"a", "d", "e"}, f.keys())
	require.Len(t, f.requests, 3, "one request per stream, s by name and by default being the same")

	none := f.sink(t, Config{})
	require.ErrorIs(t, failures(t, none, batchOf(none, "a=1"))[0], bridge.ErrPermanent)
}

// TestALaneIsOneEntry: some records of a lane name the stream, others leave it to
// the sink. In two entries, of which the first is refused, they would be out of
// order.
func TestALaneIsOneEntry(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", Aggregate: true})
	require.Empty(t, failures(t, s, batchOf(s, "k=1", "s/k=2", "k=3")))
	require.Len(t, f.stored, 1)
}

func TestWriteSplitsRequests(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", MaxRequestBytes: 1 << 20})
	b := new(bridge.Batch)
	for i := range 1203 {
		b.Add(bridge.Record{Key: fmt.Appendf(nil, "%d", i)})
	}
	for i := range 5 {
		b.Add(bridge.Record{Key: fmt.Appendf(nil, "big%d", i), Data: make([]byte, 400<<10)})
	}
	require.NoError(t, bridgetest.Write(t.Context(), s, b))
	var sizes []int
	for _, r := range f.requests {
		sizes = append(sizes, len(r.Records))
	}
	require.Equal(t, []int{500, 500, 205, 2, 1}, sizes)
}

// TestNothingMoreAfterAFailure sends no second request when the first one was
// not answered: it would only take time.
func TestNothingMoreAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer      answer
		first, rest error
	}{
		"ambiguous":   {fail(500, "InternalFailure", "x"), bridge.ErrAmbiguous, nil},
		"unavailable": {fail(400, "ResourceNotFoundException", "x"), bridge.ErrUnavailable, bridge.ErrUnavailable},
		"throttled":   {fail(400, "LimitExceededException", "x"), bridge.ErrThrottled, bridge.ErrThrottled},
	} {
		f := &fake{put: func(putRequest) answer { return tc.answer }}
		s := f.sink(t, Config{Stream: "s"})
		b := new(bridge.Batch)
		for i := range MaxEntries + 1 {
			b.Add(bridge.Record{Key: fmt.Append(nil, i)})
		}
		failed := failures(t, s, b)
		require.Len(t, f.requests, 1, name)
		require.Len(t, failed, MaxEntries+1, name)
		require.ErrorIs(t, failed[0], tc.first, name)
		if tc.rest != nil {
			require.ErrorIs(t, failed[MaxEntries], tc.rest, name)
		}
		require.NotErrorIs(t, failed[MaxEntries], bridge.ErrAmbiguous, name)
	}
}

func TestWriteChecksRecords(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s"})
	require.NoError(t, s.Open(t.Context()))
	b := batchOf(s, "ok=1", "=empty", repeat("é", 257)+"=x", repeat("é", 256)+"=x", "\xff=x")
	b.Add(bridge.Record{Key: []byte("big"), Data: make([]byte, 1<<20-2)})
	b.Add(bridge.Record{Key: []byte("big"), Data: make([]byte, 1<<20-3)})
	b.Add(bridge.Record{Key: []byte("h"), HashKey: []byte("340282366920938463463374607431768211455")})
	b.Add(bridge.Record{Key: []byte("h"), HashKey: []byte("340282366920938463463374607431768211456")})
	b.Add(bridge.Record{Key: []byte("h"), HashKey: []byte("007")})
	failed := failures(t, s, b)
	for i, want := range map[int]string{
		1: "partition key is empty", 2: "more than 256 characters", 4: "not valid UTF-8",
		5: "have 1048577 bytes, the stream takes at most 1048576",
		8: "explicit hash key", 9: "explicit hash key",
	} {
		require.ErrorIs(t, failed[i], bridge.ErrPermanent, i)
		require.ErrorContains(t, failed[i], want, i)
	}
	require.Len(t, failed, 6)
	require.Len(t, f.stored, 4)
}

func TestRequestFailures(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset by peer")
	for name, tc := range map[string]struct {
		answer answer
		whole  bool
		mark   error // nil: none of the marks
		text   string
	}{
		"throttled":      {fail(400, "LimitExceededException", "slow down"), false, bridge.ErrThrottled, "slow down"},
		"kms throttled":  {fail(400, "KMSThrottlingException", "slow down"), false, bridge.ErrThrottled, ""},
		"internal":       {fail(500, "InternalFailure", "oops"), false, bridge.ErrAmbiguous, "oops"},
		"bad gateway":    {answer{status: 502, body: "<html>"}, false, bridge.ErrAmbiguous, ""},
		"reset":          {answer{err: reset}, false, bridge.ErrAmbiguous, "reset"},
		"cut reply":      {answer{body: `{"FailedRecordCount":1,"Rec`}, false, bridge.ErrAmbiguous, ""},
		"missing result": {results(1, nil), false, bridge.ErrAmbiguous, "1 outcomes for 2 records"},
		"refused":        {answer{unsent: errors.New("dial: no")}, true, nil, "dial: no"},
		"denied":         {fail(400, "AccessDeniedException", "no"), false, bridge.ErrUnavailable, "do not allow kinesis:PutRecords"},
		"kms":            {fail(400, "KMSAccessDeniedException", "no"), false, bridge.ErrUnavailable, "encryption key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{put: func(putRequest) answer { return tc.answer }}
			s := f.sink(t, Config{Stream: "s"})
			b := batchOf(s, "a=1", "b=2")
			err := s.Write(t.Context(), b)
			if tc.whole {
				require.Zero(t, b.Failed())
			} else {
				require.NoError(t, err)
				require.Len(t, bridgetest.Failed(b), 2)
				err = b.Err(&b.Records[1])
			}
			require.ErrorContains(t, err, tc.text)
			for _, mark := range []error{bridge.ErrThrottled, bridge.ErrAmbiguous, bridge.ErrUnavailable, bridge.ErrPermanent} {
				require.Equal(t, tc.mark != nil && errors.Is(mark, tc.mark), errors.Is(err, mark), mark)
			}
			require.Len(t, f.requests, f.calls["PutRecords"]-boolInt(tc.answer.unsent != nil))
			require.Equal(t, 1, f.calls["PutRecords"], "the SDK must not retry puts")
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
