package bridge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// TestFullSince follows a queue from empty to full and back.
func TestFullSince(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		writes := make(chan struct{})
		src := new(bridgetest.Source)
		sink := &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error {
			<-writes
			return nil
		}}
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("#")},
			Sinks:   map[string]bridge.Sink{"mem": sink},
			Queue:   bridge.QueueConfig{MaxRecords: 8, BatchSize: 1, InFlight: 1},
			Logger:  quiet,
		})
		require.NoError(t, err)
		done := make(chan error)
		go func() { done <- p.Run(t.Context()) }()
		fullSince := func() time.Time {
			synctest.Wait()
			return p.Stats().Sinks["mem"].Queue.FullSince
		}
		publish := func(n int) {
			for range n {
				src.Publish(message("k", 0))
			}
		}
		publish(8)
		require.Zero(t, fullSince(), "nobody was refused yet")
		time.Sleep(time.Minute)
		full := time.Now()
		publish(1)
		require.Equal(t, full, fullSince())
		time.Sleep(time.Minute)
		for range 2 { // the one that waits comes in, then one is free
			writes <- struct{}{}
			require.Equal(t, full, fullSince(), "a short gap does not count")
		}
		writes <- struct{}{}
		require.Zero(t, fullSince(), "a quarter is free")
		src.End()
		close(writes)
		require.NoError(t, <-done)
	})
}

// TestLastWriteError has a sink fail in both ways, as a whole and in part.
func TestLastWriteError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, failures := new(bridgetest.Source), make(chan error, 1)
		sink := bridge.SinkFunc(func(context.Context, *bridge.Batch) error {
			select {
			case err := <-failures:
				return err
			default:
				return nil
			}
		})
		p, err := bridge.New(bridge.Config{
			Sources: map[string]bridge.Source{"in": src},
			Rules:   map[string]bridge.Rule{"all": keyed("#")},
			Sinks:   map[string]bridge.Sink{"mem": sink},
			Logger:  quiet,
		})
		require.NoError(t, err)
		done := make(chan error)
		go func() { done <- p.Run(t.Context()) }()
		write := func(err error) bridge.SinkStats {
			if err != nil {
				failures <- err
			}
			src.Publish(message("k", 0))
			time.Sleep(time.Minute)
			synctest.Wait()
			return p.Stats().Sinks["mem"]
		}
		s := write(nil)
		require.Zero(t, s.WritesFailed)
		require.Empty(t, s.LastError)

		before := time.Now()
		s = write(errors.New("no route"))
		require.EqualValues(t, 1, s.WritesFailed)
		require.Equal(t, "no route", s.LastError)
		require.WithinRange(t, s.LastErrorAt, before, before.Add(time.Second))
		require.Equal(t, bridge.Connected, s.Health.State, "it has passed; the last error stays")

		s = write(bridge.Permanent(errors.New("refused: " + strings.Repeat("é", 2000))))
		require.EqualValues(t, 2, s.WritesFailed)
		require.True(t, strings.HasPrefix(s.LastError, "refused: é"), s.LastError)
		require.LessOrEqual(t, len(s.LastError), 1000+len("…"))
		require.True(t, strings.HasSuffix(s.LastError, "é…"), s.LastError)
		src.End()
		require.NoError(t, <-done)
	})
}

func TestQueueConfigValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, bridge.QueueConfig{}.Validate())
	err := bridge.QueueConfig{BatchSize: -1, BackoffMin: time.Minute, BackoffMax: time.Second, OnFull: 9, Fallback: "any"}.Validate()
	require.EqualError(t, err, "BatchSize: must not be negative\nBackoffMin: 1m0s is above BackoffMax 1s\nOnFull: unknown policy 9")
}

// lossy is a part that counts what the pipeline cannot see.
type lossy struct{ bridgetest.Sink }

func (*lossy) Counts() map[string]uint64 { return map[string]uint64{"dropped": 7} }

// A part's own counters stand in the statistics, whatever it does when it is asked.
func TestOwnCounters(t *testing.T) {
	t.Parallel()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": new(bridgetest.Source)},
		Sinks:   map[string]bridge.Sink{"out": new(lossy), "ill": &everything{where: "Counts"}}, Logger: quiet,
	})
	require.NoError(t, err)
	s := p.Stats()
	require.Equal(t, map[string]uint64{"dropped": 7}, s.Sinks["out"].Counts)
	require.Nil(t, s.Sinks["ill"].Counts)
	require.Nil(t, s.Sources["in"].Counts)
}
