package kinesis

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/internal/awsconn"
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
			failed := failures(t, s, batchOf(s, records...))
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
	require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1", "b=2", "c=3")))
	require.Len(t, f.stored, 3)
}

func TestBadRecordOfAnAggregateIsIsolated(t *testing.T) {
	t.Parallel()
	f := &fake{put: picky(true)}
	s := f.sink(t, Config{Stream: "s", Aggregate: true, Slots: 1})
	failed := failures(t, s, batchOf(s, "a=1", "a=2", "b=bad", "a=3", "a=4"))
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
	failed := failures(t, s, batchOf(s, "a=1", "a=2", "b=bad", "a=3", "a=4"))
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

// poisoned refuses requests with a record that has "poison" in its data, for a
// reason that nobody knows.
func poisoned(status int, body string) func(putRequest) answer {
	return func(r putRequest) answer {
		for _, e := range r.Records {
			if strings.Contains(string(e.Data), "poison") {
				return answer{status: status, body: body}
			}
		}
		return answer{}
	}
}

// TestUnknownRefusalsAreIsolated has a record that the service, or something on
// the way, refuses with an answer that nobody knows: it is given up, the others are
// stored.
func TestUnknownRefusalsAreIsolated(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(putRequest) answer{
		"400":      poisoned(400, `{"__type":"BrandNewException","message":"no"}`),
		"403":      poisoned(403, `{"__type":"ContentRefusedException","message":"no"}`),
		"418":      poisoned(418, `{"__type":"com.amazonaws.kinesis#TeapotException"}`),
		"422":      poisoned(422, ``),
		"firewall": poisoned(403, `<html>Request blocked</html>`),
		"no type":  poisoned(400, `{"message":"Bad Request"}`),
	} {
		for _, at := range []int{0, 42, 99} {
			for _, aggregate := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s at %d, aggregate=%t", name, at, aggregate), func(t *testing.T) {
					t.Parallel()
					f := &fake{put: put}
					s := f.sink(t, quiet(Config{Stream: "s", Aggregate: aggregate}))
					var records []string
					for i := range 100 {
						data := "good"
						if i == at {
							data = "poison"
						}
						records = append(records, fmt.Sprintf("k%d=%s", i, data))
					}
					b := batchOf(s, records...)
					slices.SortStableFunc(b.Records, func(x, y bridge.Record) int { return cmp.Compare(x.Lane, y.Lane) })
					var permanent []string
					for n := 0; len(b.Records) > 0; n++ { // as the pipeline does
						require.Less(t, n, awsconn.Certain+2)
						for i := range b.Records {
							b.Records[i].Attempt = n
						}
						// Others go on, which shows that it is not the endpoint.
						require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "other=other")))
						failed := failures(t, s, b)
						var rest []bridge.Record
						for i, err := range failed {
							if errors.Is(err, bridge.ErrPermanent) {
								permanent = append(permanent, string(b.Records[i].Data))
								continue
							}
							require.NotErrorIs(t, err, bridge.ErrUnavailable, "it would stop the others")
							rest = append(rest, b.Records[i])
						}
						b.Records = rest
					}
					require.Equal(t, []string{"poison"}, permanent)
					stored := slices.DeleteFunc(userData(f.stored), func(data string) bool { return data == "other" })
					require.Len(t, stored, 99)
				})
			}
		}
	}
}

// TestUnknownRefusalInAReply has one record refused, in a reply that takes the others,
// with a code that nobody knows: it is not given up, and delays no other record.
func TestUnknownRefusalInAReply(t *testing.T) {
	t.Parallel()
	for _, aggregate := range []bool{false, true} {
		f := &fake{put: func(r putRequest) answer {
			failed := map[int]string{}
			for i, e := range r.Records {
				if slices.Contains(userData([]putEntry{e}), "poison") {
					failed[i] = "BrandNewException"
				}
			}
			if len(failed) == 0 {
				return answer{}
			}
			return results(len(r.Records), failed)
		}}
		s := f.sink(t, quiet(Config{Stream: "s", Aggregate: aggregate}))
		b := batchOf(s, "a=1", "b=poison", "c=3")
		slices.SortStableFunc(b.Records, func(x, y bridge.Record) int { return cmp.Compare(x.Lane, y.Lane) })
		at := slices.IndexFunc(b.Records, func(r bridge.Record) bool { return string(r.Data) == "poison" })
		for range 20 {
			failed := failures(t, s, b)
			require.Len(t, failed, 1)
			require.ErrorContains(t, failed[at], "BrandNewException")
			require.NotErrorIs(t, failed[at], bridge.ErrPermanent)
			require.NotErrorIs(t, failed[at], bridge.ErrUnavailable)
		}
		f.put = nil // it was told what the code means
		require.Empty(t, failures(t, s, b))
	}
}

// TestUnknownRefusalOfEverything gives up no record when all are refused: the
// reason may be anything. It also does not ask for each of them.
func TestUnknownRefusalOfEverything(t *testing.T) {
	t.Parallel()
	for _, aggregate := range []bool{false, true} {
		f := &fake{put: func(putRequest) answer { return fail(400, "BrandNewException", "no") }}
		s := f.sink(t, quiet(Config{Stream: "s", Aggregate: aggregate}))
		for range 16 {
			b := new(bridge.Batch)
			for i := range 600 {
				b.Add(bridge.Record{Key: fmt.Append(nil, i)})
			}
			before := len(f.requests)
			failed := failures(t, s, b)
			require.Len(t, failed, 600)
			for _, err := range failed {
				require.NotErrorIs(t, err, bridge.ErrPermanent)
				require.NotErrorIs(t, err, bridge.ErrUnavailable)
				require.ErrorContains(t, err, "BrandNewException")
			}
			require.LessOrEqual(t, len(f.requests)-before, 2*awsconn.MaxRefusals)
		}
		f.put = nil
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
		require.Len(t, f.stored, 1)
	}
}

// TestUnknownRefusalOfOneByOne sends the poison by itself each time: it is given
// up when it was refused several times and others were accepted in between, and not
// before.
func TestUnknownRefusalOfOneByOne(t *testing.T) {
	t.Parallel()
	f := &fake{put: poisoned(400, `{"__type":"BrandNewException"}`)}
	s := f.sink(t, quiet(Config{Stream: "s"}))
	write := func(record string, attempt int) error {
		b := batchOf(s, record)
		b.Records[0].Attempt = attempt
		return bridgetest.Write(t.Context(), s, b)
	}
	attempt := 0
	for range 3 * awsconn.Certain { // nothing else is accepted
		err := write("a=poison", attempt)
		require.NotErrorIs(t, err, bridge.ErrPermanent)
		require.NotErrorIs(t, err, bridge.ErrUnavailable)
		attempt++
	}
	for range awsconn.Certain - 2 {
		require.NoError(t, write("b=1", 0))
		require.NotErrorIs(t, write("a=poison", attempt), bridge.ErrPermanent)
		attempt++
	}
	for range 3 * awsconn.Certain { // others that hold the same, once each
		require.NoError(t, write("b=1", 0))
		require.NotErrorIs(t, write("c=poison", 0), bridge.ErrPermanent)
	}
	require.ErrorIs(t, write("a=poison", attempt), bridge.ErrPermanent)
	require.NotErrorIs(t, write("a=poison", 0), bridge.ErrPermanent, "another one")
}

// gateway takes requests whose bodies are up to a limit.
func gateway(limit int, refusal answer) func(putRequest) answer {
	return func(r putRequest) answer {
		size := 0
		for _, e := range r.Records {
			size += len(e.Data) + len(e.PartitionKey)
		}
		if size > limit {
			return refusal
		}
		return answer{}
	}
}

// TestRequestsTooLarge meets limits of requests that are smaller than the
// documented one, and learns them.
func TestRequestsTooLarge(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]answer{
		"proxy":   {status: 413, body: "<html>413 Request Entity Too Large</html>"},
		"service": fail(413, "RequestEntityTooLargeException", "too large"),
		"5 MB":    fail(400, "InvalidArgumentException", "Records size exceeds 5 MB limit"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit := 200 << 10
			f := &fake{put: gateway(limit, refusal)}
			s := f.sink(t, quiet(Config{Stream: "s"}))
			refusedBy := func() (refused int) {
				before, stored := len(f.requests), len(f.stored)
				b := new(bridge.Batch)
				for i := range 50 {
					b.Add(bridge.Record{Key: fmt.Append(nil, i), Data: make([]byte, 20<<10)})
				}
				require.NoError(t, bridgetest.Write(t.Context(), s, b))
				require.Len(t, f.stored, stored+50)
				accepted := 0
				for _, r := range f.requests[before:] {
					if gateway(limit, refusal)(r) == (answer{}) {
						accepted++
					}
				}
				return len(f.requests) - before - accepted
			}
			require.Positive(t, refusedBy())
			for range 16 {
				refusedBy()
			}
			for range 16 {
				require.Zero(t, refusedBy(), "it is learned")
			}
		})
	}
}

// TestRecordTooLargeForAProxy keeps a record that only something on the way
// refuses, and holds up no other.
func TestRecordTooLargeForAProxy(t *testing.T) {
	t.Parallel()
	for _, aggregate := range []bool{false, true} {
		f := &fake{put: gateway(500, answer{status: 413})}
		s := f.sink(t, quiet(Config{Stream: "s", Aggregate: aggregate}))
		b := batchOf(s, "a=1", "large="+repeat("x", 600), "c=3")
		slices.SortStableFunc(b.Records, func(x, y bridge.Record) int { return cmp.Compare(x.Lane, y.Lane) })
		large := slices.IndexFunc(b.Records, func(r bridge.Record) bool { return string(r.Key) == "large" })
		failed := failures(t, s, b)
		require.Len(t, failed, 1)
		for _, mark := range []error{bridge.ErrPermanent, bridge.ErrUnavailable, bridge.ErrAmbiguous} {
			require.NotErrorIs(t, failed[large], mark)
		}
		require.ErrorContains(t, failed[large], "MaxRecordBytes")
		require.Len(t, f.stored, 2)
		f.put = nil // the proxy was changed
		require.NoError(t, bridgetest.Write(t.Context(), s, b))
	}
}
