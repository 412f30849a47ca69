package bridge_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// checked is a sink whose check always succeeds.
type checked struct{ bridgetest.Sink }

func (*checked) Check(context.Context) error { return nil }

// windowed is a source that tells how full its window is.
type windowed struct{ *bridgetest.Source }

func (w windowed) Window() (unsettled, limit int) {
	acked, failed, open, _ := w.Counts()
	_ = acked + failed
	return open, 100
}

// A sink with work and no success is not connected, whatever its check says, and a
// source whose window is full says which sink holds it. Both are logged when they
// begin and when they end, once.
func TestHealthMeansProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		away.Store(true)
		sink := new(checked)
		sink.Fault = func(int, *bridge.Record) bridgetest.Fault {
			if away.Load() {
				return bridgetest.Fault{Err: errors.New("connection reset")}
			}
			return bridgetest.Fault{}
		}
		log, lines := logTo()
		src := &bridgetest.Source{Window: 100}
		r := run(t, bridge.Config{
			Sources: map[string]bridge.Source{"in": windowed{src}}, Sinks: map[string]bridge.Sink{"out": sink},
			CheckInterval: time.Second, Logger: log,
		})
		r.src = src
		<-r.Ready()
		time.Sleep(5 * time.Second)
		require.Equal(t, bridge.Health{State: bridge.Connected, Since: r.Health().Since}, r.Health())
		r.publish(100, 5)
		time.Sleep(time.Minute)
		s := r.Stats()
		require.Equal(t, bridge.Disconnected, s.Sinks["out"].Health.State)
		require.Contains(t, s.Sinks["out"].Health.Reason, "connection reset")
		require.Equal(t, bridge.Connected, s.Sources["in"].Health.State)
		require.Regexp(t, `^all 100 messages that may be unsettled are; sink "out" has held the oldest for (59s|1m0s): nothing was stored for [0-9ms]+: connection reset`, s.Sources["in"].Health.Reason)
		require.WithinDuration(t, time.Now().Add(-time.Minute), s.Sinks["out"].Queue.Oldest, time.Second)
		h := r.Health()
		require.Equal(t, bridge.Disconnected, h.State)
		require.Contains(t, h.Reason, `sink "out": `)
		away.Store(false)
		time.Sleep(time.Minute)
		require.Equal(t, bridge.Connected, r.Health().State, r.Health().Reason)
		require.Empty(t, r.Health().Reason)
		require.NoError(t, r.end())
		require.Equal(t, bridge.Disconnected, r.Health().State)
		for text, n := range map[string]int{
			"sink is disconnected": 1, "sink is connected": 2, // the first is at the start
			`source is connected" source=in reason=`: 1,
		} {
			require.Equal(t, n, count(lines.String(), text), "%s in %s", text, lines)
		}
	})
}

func count(text, part string) (n int) {
	for i := 0; i+len(part) <= len(text); i++ {
		if text[i:i+len(part)] == part {
			n++
		}
	}
	return n
}

// Before it has begun and after it has ended a pipeline is neither ready nor
// healthy.
func TestReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &opened{SinkFunc: stores, openFor: time.Second}
		r := run(t, bridge.Config{Sinks: map[string]bridge.Sink{"out": slow}})
		synctest.Wait()
		select {
		case <-r.Ready():
			require.Fail(t, "ready before the sink is open")
		default:
		}
		time.Sleep(2 * time.Second)
		<-r.Ready()
		require.NoError(t, r.end())
		<-r.Done()
	})
}

// Of two sources that share a queue the one that floods it leaves room for the
// other.
func TestSourcesShareAQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		flood, calm := new(bridgetest.Source), new(bridgetest.Source)
		sink := &bridgetest.Sink{Max: bridge.Limits{LaneRecords: 1}, Before: func(context.Context, *bridge.Batch) error {
			time.Sleep(20 * time.Millisecond)
			return nil
		}}
		r := run(t, bridge.Config{
			Sources: map[string]bridge.Source{"flood": flood, "calm": calm}, Sinks: map[string]bridge.Sink{"out": sink},
			Queue: bridge.QueueConfig{MaxRecords: 1000},
		})
		for i := range uint64(10_000) {
			flood.Publish(message("hot", i)) // one key: 50 a second at most
		}
		time.Sleep(time.Second)
		for i := range uint64(1000) {
			calm.Publish(message(strconv.Itoa(int(i%50)), i))
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
		acked, _, _, _ := calm.Counts()
		require.Equal(t, 1000, acked)
		r.stop()
		<-r.done
	})
}
