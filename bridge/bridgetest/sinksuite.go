package bridgetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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
	// Fail, when set, makes s fail the record with that data in the next Write
	// that has it, in a way that is not Permanent.
	Fail func(t *testing.T, s bridge.Sink, data string)
	// Block, when set, makes what s writes to answer nothing until release is
	// called.
	Block func(t *testing.T, s bridge.Sink) (release func())
	// Timeout bounds each call of the sink. Default 30 s.
	Timeout time.Duration
	// Leaky says that the sink, or what it talks to, may leave goroutines
	// behind, such as idle connections.
	Leaky bool
}

// The sentences of bridge.Sink that the suite checks.
const (
	sinkReturns    = "bridge.Sink: Write and Close return; a sink must not retry by itself beyond what keeps Write short"
	sinkStores     = "bridge.Sink: when Write returns nil all records that were not failed are stored"
	sinkKeeps      = "bridge.Sink: Write must not keep the batch"
	sinkChanges    = "bridge.Sink: Write must not change what its records refer to"
	sinkOrder      = "bridge.Sink: records of a lane are stored in their order"
	sinkBehind     = "bridge.Sink: what is behind a failed record in its lane must not be stored by the same Write"
	sinkFails      = "bridge.Sink: a record that was not stored is failed by Batch.Fail"
	sinkSoon       = "bridge.Sink: Write must return soon after ctx is done"
	sinkConcurrent = "bridge.Sink: Write is called concurrently for different lanes"
	sinkReceipts   = "bridge.Batch: Receipt says where a record was stored; no two records are in one place"
)

// TestSink checks that a sink keeps the contract of bridge.Sink: records are
// stored whole and in order, nothing of a batch is kept after Write, Writes of
// different lanes run at once, a done context ends Write, and Close leaves
// nothing behind. Run it from a test of your own:
//
//	bridgetest.TestSink(t, bridgetest.SinkSuite{New: …, Stored: …})
func TestSink(t *testing.T, suite SinkSuite) {
	t.Helper()
	if suite.Timeout == 0 {
		suite.Timeout = suiteTimeout
	}
	for _, c := range []struct {
		name string
		run  func(*sinkCase)
	}{
		{"StoresRecords", storesRecords},
		{"KeepsNothingOfTheBatch", keepsNothing},
		{"KeepsOrderInALane", keepsLaneOrder},
		{"StoresNothingBehindAFailure", storesNothingBehind},
		{"WritesLanesAtOnce", writesLanesAtOnce},
		{"EndsWithTheContext", endsWithContext},
		{"EndsWhileBlocked", endsWhileBlocked},
		{"AcceptsAnEmptyBatch", acceptsEmptyBatch},
		{"RunsInAPipeline", sinkRunsInPipeline},
		{"RunsInAProducer", sinkRunsInProducer},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !suite.Leaky {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			}
			s := suite.New(t)
			if o, ok := s.(bridge.Opener); ok && !strings.HasPrefix(c.name, "RunsIn") {
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

// write calls Write with a context that it must keep to.
func (c *sinkCase) write(b *bridge.Batch) error {
	ctx, cancel := context.WithTimeout(c.Context(), c.suite.Timeout)
	defer cancel()
	return within(c.T, 2*c.suite.Timeout, sinkReturns, func() error { return c.sink.Write(ctx, b) })
}

// within calls f, and fails the test with the sentence if it does not return in time.
func within(t *testing.T, d time.Duration, sentence string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		t.Fatalf("a call has not returned after %v: %s", d, sentence)
		return nil
	}
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
		lane, _ := l.Lane(r)
		return lane
	}
	var h uint64 = 14695981039346656037
	for _, b := range r.Key {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

func (c *sinkCase) close() {
	ctx, cancel := context.WithTimeout(context.Background(), c.suite.Timeout)
	defer cancel()
	require.NoError(c, within(c.T, 2*c.suite.Timeout, sinkReturns, func() error { return c.sink.Close(ctx) }))
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
	b := c.batch("a=1", "b="+big, "ü=ü")
	require.NoError(c, c.write(b))
	require.Empty(c, Failed(b))
	if c.suite.NoKeys {
		require.ElementsMatch(c, []string{"1", big, "ü"}, c.data(""), sinkStores)
	} else {
		require.Equal(c, []string{"1"}, c.data("a"), sinkStores)
		require.Equal(c, []string{big}, c.data("b"), sinkStores)
		require.Equal(c, []string{"ü"}, c.data("ü"), sinkStores)
	}
	c.close()
}

func keepsNothing(c *sinkCase) {
	b := c.batch("a=first", "b=second")
	before := slices.Clone(b.Records) // a sink may sort its batch
	var texts []string
	for i := range before {
		texts = append(texts, string(before[i].Key)+"="+string(before[i].Data))
	}
	require.NoError(c, c.write(b))
	for i := range before {
		require.Equal(c, texts[i], string(before[i].Key)+"="+string(before[i].Data), sinkChanges)
		for _, part := range [][]byte{before[i].Key, before[i].Data} { // the pipeline uses the memory again
			copy(part, bytes.Repeat([]byte{'z'}, len(part)))
		}
	}
	clear(b.Records)
	var all []string
	for _, r := range c.suite.Stored(c.T, c.sink) {
		all = append(all, r.Data)
	}
	require.ElementsMatch(c, []string{"first", "second"}, all, sinkKeeps)
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
		b := c.batch(pairs...)
		require.NoError(c, c.write(b))
		require.Empty(c, Failed(b))
	}
	require.Equal(c, want, c.data("k"), sinkOrder)
	c.close()
}

// storesNothingBehind makes a record in the middle of a lane fail, as a service does
// now and then, and writes what has failed again, as a pipeline does.
func storesNothingBehind(c *sinkCase) {
	defer c.close()
	if n := c.limits().LaneRecords; c.suite.Fail == nil || n > 0 && n < 3 {
		return // it cannot be made to, or has no middle
	}
	c.suite.Fail(c.T, c.sink, "2")
	b := c.batch("k=1", "k=2", "k=3", "other=4")
	if err := c.write(b); err == nil {
		require.Contains(c, Failed(b), 1, sinkFails)
		require.NotContains(c, c.data("k"), "3", sinkBehind)
		require.Contains(c, Failed(b), 2, sinkFails)
	}
	var again []string
	for i := range b.Records {
		if r := &b.Records[i]; b.Failed() == 0 || b.Err(r) != nil {
			again = append(again, string(r.Key)+"="+string(r.Data))
		}
	}
	b = c.batch(again...)
	require.NoError(c, c.write(b))
	require.Empty(c, Failed(b))
	var first []string
	for _, data := range c.data("k") {
		if !slices.Contains(first, data) && data != "4" {
			first = append(first, data)
		}
	}
	require.Equal(c, []string{"1", "2", "3"}, first, sinkOrder)
}

func (c *sinkCase) limits() (l bridge.Limits) {
	if x, ok := c.sink.(bridge.Limiter); ok {
		l = x.Limits()
	}
	return l
}

func writesLanesAtOnce(c *sinkCase) {
	ctx, cancel := context.WithTimeout(c.Context(), c.suite.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			for j := range 10 {
				b := c.batch(fmt.Sprintf("key%d=%d.%d", i, i, j))
				errs[i] = errors.Join(errs[i], c.sink.Write(ctx, b))
				for _, err := range Failed(b) {
					errs[i] = errors.Join(errs[i], err)
				}
			}
		})
	}
	require.NoError(c, within(c.T, 2*c.suite.Timeout, sinkConcurrent, func() error { wg.Wait(); return nil }))
	require.NoError(c, errors.Join(errs...), sinkConcurrent)
	require.Len(c, c.suite.Stored(c.T, c.sink), 80, sinkStores)
	if !c.suite.NoKeys {
		require.Equal(c, []string{"3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7", "3.8", "3.9"}, c.data("key3"), sinkOrder)
	}
	c.close()
}

func endsWithContext(c *sinkCase) {
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	b := c.batch("a=1")
	err := within(c.T, c.suite.Timeout, sinkSoon, func() error { return c.sink.Write(ctx, b) })
	if err == nil && b.Failed() == 0 { // then it has to be there
		require.Equal(c, []string{"1"}, c.data("a"), sinkStores)
	}
	c.close()
}

// endsWhileBlocked ends the context of a Write that gets no answer.
func endsWhileBlocked(c *sinkCase) {
	defer c.close()
	if c.suite.Block == nil {
		return
	}
	release := c.suite.Block(c.T, c.sink)
	defer release()
	ctx, cancel := context.WithTimeout(c.Context(), c.suite.Timeout/10)
	defer cancel()
	b := c.batch("a=1")
	err := within(c.T, c.suite.Timeout, sinkSoon, func() error { return c.sink.Write(ctx, b) })
	require.True(c, err != nil || b.Failed() == 1, sinkFails)
}

func acceptsEmptyBatch(c *sinkCase) {
	require.NoError(c, c.write(new(bridge.Batch)))
	require.Empty(c, c.suite.Stored(c.T, c.sink))
	c.close()
}

// sinkRunsInProducer puts records one by one and compares what each was told with
// what is stored. A sink need not give receipts.
func sinkRunsInProducer(c *sinkCase) {
	p, err := bridge.NewProducer(c.Context(), c.sink, bridge.ProducerConfig{})
	require.NoError(c, err)
	var mu sync.Mutex
	var stored []string
	places := make(map[bridge.Receipt]string)
	for i := range 200 {
		data := strconv.Itoa(i)
		p.Go(c.Context(), bridge.Record{Dest: c.suite.Dest, Key: []byte{'a' + byte(i%5)}, Data: []byte(data)}, func(r bridge.Receipt, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				stored = append(stored, data)
			}
			r.Attempts, r.Duplicate = 0, false
			if r != (bridge.Receipt{}) {
				if other, taken := places[r]; taken {
					c.Errorf("%s and %s are both at %+v: %s", other, data, r, sinkReceipts)
				}
				places[r] = data
			}
		})
	}
	require.NoError(c, within(c.T, 4*c.suite.Timeout, sinkReturns, func() error { return p.Close(c.Context()) }))
	require.Len(c, stored, 200)
	var all []string
	for _, r := range c.suite.Stored(c.T, c.sink) {
		all = append(all, r.Data)
	}
	require.Subset(c, all, stored, sinkStores)
}

func sinkRunsInPipeline(c *sinkCase) {
	src := new(Source)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"memory": src},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
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
	require.NoError(c, within(c.T, 4*c.suite.Timeout, sinkReturns, func() error { return p.Run(c.Context()) }))
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
