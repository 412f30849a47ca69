package bridgetest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemorySink(t *testing.T) {
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New:    func(*testing.T) bridge.Sink { return new(bridgetest.Sink) },
		Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored { return s.(*bridgetest.Sink).Records() },
		Fail: func(_ *testing.T, s bridge.Sink, data string) {
			failed := false
			s.(*bridgetest.Sink).Fault = func(_ int, r *bridge.Record) (f bridgetest.Fault) {
				if string(r.Data) == data && !failed {
					f.Err, failed = errors.New("failed"), true
				}
				return f
			}
		},
		Block: func(_ *testing.T, s bridge.Sink) func() {
			s.(*bridgetest.Sink).Before = func(ctx context.Context, _ *bridge.Batch) error { <-ctx.Done(); return ctx.Err() }
			return func() {}
		},
	})
}

func TestMemorySource(t *testing.T) {
	bridgetest.TestSource(t, bridgetest.SourceSuite{
		New: func(*testing.T) bridge.Source { return new(bridgetest.Source) },
		Publish: func(_ *testing.T, s bridge.Source, msgs []bridge.Message) {
			s.(*bridgetest.Source).Publish(msgs...)
		},
		Acked: func(_ *testing.T, s bridge.Source) int {
			acked, _, _, _ := s.(*bridgetest.Source).Counts()
			return acked
		},
	})
}

func TestRuleSuite(t *testing.T) {
	bridgetest.TestRule(t, bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
		if len(m.Payload) == 0 {
			return errors.New("empty")
		}
		out.Add(bridge.Record{Key: out.Keep(append(out.AvailableBuffer(), m.Topic...)), Data: m.Payload})
		return nil
	}, "#"), bridge.Message{Topic: "a", Payload: []byte("1")}, bridge.Message{Topic: "b"})
}

func TestCheckerFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	var c bridgetest.Checker
	for i := range uint64(6) {
		c.Sent("k", i)
	}
	for _, seq := range []uint64{0, 2, 1, 1, 9, 4} {
		c.Got("k", seq)
	}
	r := c.Report()
	require.False(t, r.OK())
	require.Equal(t, [5]int{6, 2, 1, 1, 1}, [5]int{r.Sent, r.Lost, r.Duplicates, r.Reordered, r.Unknown})
	require.Contains(t, r.String(), `key "k": 3 is lost`)
}

func TestSinkSeesContractBroken(t *testing.T) {
	t.Parallel()
	var s bridgetest.Sink
	b := &bridge.Batch{Records: []bridge.Record{{Lane: 1}, {Lane: 2}, {Lane: 1}}}
	require.NoError(t, s.Write(t.Context(), b))
	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Write(t.Context(), &bridge.Batch{}))
	require.Equal(t, []string{"a lane's records do not stand together in a batch", "Write after Close"}, s.Violations())
}
