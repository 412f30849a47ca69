package firehose_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/firehose"
)

func TestLanes(t *testing.T) {
	t.Parallel()
	_, s := sink(t, firehose.Config{Stream: "s"})
	type place struct{ lane, group uint64 }
	at := func(dest, key string) (p place) {
		p.lane, p.group = s.Lane(&bridge.Record{Dest: dest, Key: []byte(key)})
		return p
	}
	require.Equal(t, at("", "a"), at("s", "a"), "the default stream by its name")
	require.NotEqual(t, at("", "a").lane, at("", "b").lane)
	require.Equal(t, at("", "a").group, at("", "b").group)
	require.NotEqual(t, at("", "a").lane, at("other", "a").lane)
	require.NotEqual(t, at("", "a").group, at("other", "a").group)

	lanes := map[uint64]bool{}
	for range 1000 {
		p := at("", "")
		lanes[p.lane] = true
		require.Equal(t, at("", "a").group, p.group)
	}
	require.Len(t, lanes, 1000, "without a key there is no order")
}

// deliver runs a pipeline that makes a record of each message, with the topic for its
// key, and returns the sink's figures when all are settled.
func deliver(t *testing.T, s *firehose.Sink, msgs []bridge.Message) bridge.SinkStats {
	t.Helper()
	src := new(bridgetest.Source)
	src.Publish(msgs...)
	src.End()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: []byte(strings.TrimPrefix(m.Topic, "t/")), Data: m.Payload})
			return nil
		}, "t/#")},
		Sinks:         map[string]bridge.Sink{"firehose": s},
		Queue:         bridge.QueueConfig{InFlight: 4, BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond},
		CheckInterval: -1,
		Logger:        slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	_, failed, open, twice := src.Counts()
	require.Zero(t, failed+open+twice)
	return p.Stats().Sinks["firehose"]
}

// Records without a key fill requests, although a request has one record of a key
// only.
func TestRecordsWithoutKeyShareRequests(t *testing.T) {
	t.Parallel()
	for key, most := range map[string]int{"": firehose.MaxRecords, "k": 1} {
		srv, s := sink(t, firehose.Config{Stream: "s"})
		largest := 0
		srv.refuse = func(_ http.ResponseWriter, r *request) bool {
			largest = max(largest, len(r.Records))
			return false
		}
		msgs := make([]bridge.Message, 1000)
		for i := range msgs {
			msgs[i] = bridge.Message{Topic: "t/" + key, Payload: strconv.AppendInt(nil, int64(i), 10)}
		}
		stats := deliver(t, s, msgs)
		require.EqualValues(t, len(msgs), stats.Ended[bridge.Stored])
		require.Len(t, srv.stored["s"], len(msgs))
		require.LessOrEqual(t, largest, most)
		if key == "" {
			require.Less(t, srv.requests, len(msgs)/10, "%d", largest)
		} else {
			require.Len(t, msgs, srv.requests)
		}
	}
}

// Whatever a reply says of some of its records, those of a key are stored in their
// order, and none is left out but what is refused for good.
func TestOrderUnderPartialFailures(t *testing.T) {
	t.Parallel()
	const keys = 20
	rng := rand.New(rand.NewPCG(1, 2))
	srv, s := sink(t, firehose.Config{Stream: "s"})
	srv.answer = func(data string) string {
		switch n := rng.IntN(10); {
		case strings.HasSuffix(data, " bad"):
			return "ValidationException"
		case n == 0:
			return "ServiceUnavailableException"
		case n == 1:
			return "InternalFailure"
		}
		return ""
	}
	var check bridgetest.Checker
	bad := 0
	msgs := make([]bridge.Message, 1000)
	for i := range msgs {
		key := fmt.Sprint("k", i%keys)
		data := fmt.Sprint(key, " ", i)
		if i%17 == 0 {
			data += " bad"
			bad++
		} else {
			check.Sent(key, uint64(i))
		}
		msgs[i] = bridge.Message{Topic: "t/" + key, Payload: []byte(data)}
	}
	stats := deliver(t, s, msgs)
	for _, data := range srv.stored["s"] {
		key, number, _ := strings.Cut(data, " ")
		i, err := strconv.ParseUint(number, 10, 64)
		require.NoError(t, err, "%q is not to be stored", data)
		check.Got(key, i)
	}
	report := check.Report()
	require.True(t, report.OK(), report)
	require.Zero(t, report.Duplicates, "what was refused was not stored")
	require.EqualValues(t, bad, stats.Ended[bridge.Refused])
	require.Positive(t, stats.Throttled)
	require.Positive(t, stats.Ambiguous)
}
