package bridgetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
)

// SinkSuite tells TestSink how to make the sink that it tests.
type SinkSuite struct {
	// New returns a new, empty sink. The suite opens and closes it.
	New func(t *testing.T) bridge.Sink
	// Stored returns what the sink has stored so far, as a consumer reads it;
	// only Key and Data need to be set. Records of one key must stand in the
	// order in which they can be read.
	Stored func(t *testing.T, s bridge.Sink) []Stored
	// Dest is the Dest of the suite's records.
	Dest string
	// NoKeys says that the sink does not store keys.
	NoKeys bool
	// Leaky says that the sink, or what it talks to, may leave goroutines
	// behind, such as idle connections.
	Leaky bool
}

// TestSink checks that a sink keeps the contract of bridge.Sink: records are
// stored whole and in order, nothing of a batch is kept after Write, Writes of
// different lanes run at once, a done context ends Write, and Close leaves
// nothing behind. Run it from a test of your own:
//
//	bridgetest.TestSink(t, bridgetest.SinkSuite{New: …, Stored: …})
func TestSink(t *testing.T, suite SinkSuite) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*sinkCase)
	}{
		{"StoresRecords", storesRecords},
		{"KeepsNothingOfTheBatch", keepsNothing},
		{"KeepsOrderInALane", keepsLaneOrder},
		{"WritesLanesAtOnce", writesLanesAtOnce},
		{"EndsWithTheContext", endsWithContext},
		{"AcceptsAnEmptyBatch", acceptsEmptyBatch},
		{"RunsInAPipeline", sinkRunsInPipeline},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !suite.Leaky {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			}
			s := suite.New(t)
			if o, ok := s.(bridge.Opener); ok && c.name != "RunsInAPipeline" {
				require.NoError(t, o.Open(t.Context()))
			}
			c.run(&sinkCase{t, suite, s})
		})
	}
}

type sinkCase struct {
	*testing.T
	suite SinkSuite
	sink  bridge.Sink
}

// batch makes a batch of records key=data, with lanes as the pipeline sets them.
func (c *sinkCase) batch(pairs ...string) *bridge.Batch {
	b := new(bridge.Batch)
	for _, p := range pairs {
		key, data, _ := strings.Cut(p, "=")
		r := bridge.Record{Dest: c.suite.Dest, Key: []byte(key), Data: []byte(data)}
		r.Lane = c.lane(&r)
		b.Add(r)
	}
	return b
}

func (c *sinkCase) lane(r *bridge.Record) uint64 {
	if l, ok := c.sink.(bridge.Laner); ok {
		return l.Lane(r)
	}
	var h uint64 = 14695981039346656037
	for _, b := range r.Key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

func (c *sinkCase) close() {
	require.NoError(c, c.sink.Close(context.Background()))
}

// data returns what was stored with a key, in order, or all of it.
func (c *sinkCase) data(key string) (list []string) {
	for _, r := range c.suite.Stored(c.T, c.sink) {
		if r.Key == key || c.suite.NoKeys {
			list = append(list, r.Data)
		}
	}
	return list
}

func storesRecords(c *sinkCase) {
	big := strings.Repeat("x", 20_000)
	require.NoError(c, c.sink.Write(c.Context(), c.batch("a=1", "b="+big, "ü=ü")))
	if c.suite.NoKeys {
		require.ElementsMatch(c, []string{"1", big, "ü"}, c.data(""))
	} else {
		require.Equal(c, []string{"1"}, c.data("a"))
		require.Equal(c, []string{big}, c.data("b"))
		require.Equal(c, []string{"ü"}, c.data("ü"))
	}
	c.close()
}

func keepsNothing(c *sinkCase) {
	b := c.batch("a=first", "b=second")
	require.NoError(c, c.sink.Write(c.Context(), b))
	for i := range b.Records { // the pipeline uses the memory again
		copy(b.Records[i].Key, bytes.Repeat([]byte{'z'}, 10))
		copy(b.Records[i].Data, bytes.Repeat([]byte{'z'}, 10))
	}
	b.Reset()
	var all []string
	for _, r := range c.suite.Stored(c.T, c.sink) {
		all = append(all, r.Data)
	}
	require.ElementsMatch(c, []string{"first", "second"}, all)
	c.close()
}

func keepsLaneOrder(c *sinkCase) {
	limits := c.limits()
	var want []string
	for i := range 5 {
		var pairs []string
		for j := range 4 {
			if limits.LaneRecords > 0 && j >= limits.LaneRecords {
				break
			}
			want = append(want, fmt.Sprint(i, ".", j))
			pairs = append(pairs, "k="+want[len(want)-1])
		}
		require.NoError(c, c.sink.Write(c.Context(), c.batch(pairs...)))
	}
	require.Equal(c, want, c.data("k"))
	c.close()
}

func (c *sinkCase) limits() (l bridge.Limits) {
	if x, ok := c.sink.(bridge.Limiter); ok {
		l = x.Limits()
	}
	return l
}

func writesLanesAtOnce(c *sinkCase) {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for j := range 10 {
				errs[i] = errors.Join(errs[i], c.sink.Write(c.Context(), c.batch(fmt.Sprintf("key%d=%d.%d", i, i, j))))
			}
		})
	}
	wg.Wait()
	require.NoError(c, errors.Join(errs...))
	require.Len(c, c.suite.Stored(c.T, c.sink), 80)
	if !c.suite.NoKeys {
		require.Equal(c, []string{"3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9"}, c.data("key3"))
	}
	c.close()
}

func endsWithContext(c *sinkCase) {
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	done := make(chan error, 1)
	go func() { done <- c.sink.Write(ctx, c.batch("a=1")) }()
	select {
	case err := <-done:
		if err == nil { // then it has to be there
			require.Equal(c, []string{"1"}, c.data("a"))
		}
	case <-time.After(30 * time.Second):
		c.Fatal("Write did not return after its context was done")
	}
	c.close()
}

func acceptsEmptyBatch(c *sinkCase) {
	require.NoError(c, c.sink.Write(c.Context(), new(bridge.Batch)))
	require.Empty(c, c.suite.Stored(c.T, c.sink))
	c.close()
}

func sinkRunsInPipeline(c *sinkCase) {
	src := new(Source)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"memory": src},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
			out.Add(bridge.Record{Dest: c.suite.Dest, Key: []byte(m.ClientID), Data: m.Payload})
			return nil
		}, "#")},
		Sinks: map[string]bridge.Sink{"tested": c.sink},
	})
	require.NoError(c, err)
	want := map[string][]string{}
	for i := range 500 {
		key, data := fmt.Sprint("key", i%7), strconv.Itoa(i)
		want[key] = append(want[key], data)
		src.Publish(bridge.Message{Topic: "t", ClientID: key, Payload: []byte(data)})
	}
	src.End()
	require.NoError(c, p.Run(c.Context()))
	acked, failed, open, twice := src.Counts()
	require.Equal(c, [4]int{500, 0, 0, 0}, [4]int{acked, failed, open, twice})
	if c.suite.NoKeys {
		require.Len(c, c.data(""), 500)
		return
	}
	for key, data := range want {
		require.Equal(c, data, c.data(key))
	}
}
