package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func ExampleProducer() {
	ctx := context.Background()
	sink := new(bridgetest.Sink)
	producer, err := bridge.NewProducer(ctx, sink, bridge.ProducerConfig{})
	if err != nil {
		panic(err)
	}
	fmt.Println(producer.Put(ctx, "device-7", []byte(`{"t":20}`)))
	producer.Go(ctx, bridge.Record{Key: []byte("device-7"), Data: []byte(`{"t":21}`)}, func(r bridge.Receipt, err error) {
		fmt.Println(r.Shard, r.Sequence, r.Attempts, err)
	})
	fmt.Println(producer.Close(ctx))
	// Output:
	// <nil>
	// memory 2 1 <nil>
	// <nil>
}

// PutRecord says where a record was stored. What the sink refuses for good is an
// error that says so, and goes to the dead letters if there are any.
func ExampleProducer_PutRecord() {
	ctx := context.Background()
	sink := &bridgetest.Sink{Fault: func(_ int, r *bridge.Record) bridgetest.Fault {
		if len(r.Data) > 10 {
			return bridgetest.Fault{Err: bridge.Permanent(errors.New("too large"))}
		}
		return bridgetest.Fault{}
	}}
	letters := new(bridgetest.Sink)
	producer, err := bridge.NewProducer(ctx, sink, bridge.ProducerConfig{DeadLetters: letters, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer producer.Close(ctx)
	receipt, err := producer.PutRecord(ctx, bridge.Record{Dest: "other", Key: []byte("k"), Data: []byte("small")})
	fmt.Println(receipt.Sequence, err)
	_, err = producer.PutRecord(ctx, bridge.Record{Key: []byte("k"), Data: []byte("much too large")})
	fmt.Println(err, errors.Is(err, bridge.ErrPermanent))
	fmt.Println(letters.Records()[0].Data, letters.Records()[0].Attrs["error"])
	// Output:
	// 1 <nil>
	// record was dead-lettered: too large true
	// much too large too large
}

// Flush waits for what was put before.
func ExampleProducer_Flush() {
	ctx := context.Background()
	sink := new(bridgetest.Sink)
	producer, err := bridge.NewProducer(ctx, sink, bridge.ProducerConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer producer.Close(ctx)
	for i := range 1000 {
		producer.Go(ctx, bridge.Record{Key: []byte{byte(i)}}, nil) // Stats count what becomes of them
	}
	if err := producer.Flush(ctx); err != nil {
		panic(err)
	}
	fmt.Println(len(sink.Records()), producer.Stats().Sinks["sink"].Ended[bridge.Stored])
	// Output: 1000 1000
}

// produce runs f with a producer in a bubble; the sink must see no breach of its
// contract.
func produce(t *testing.T, sink *bridgetest.Sink, cfg bridge.ProducerConfig, f func(t *testing.T, p *bridge.Producer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg.Logger = quiet
		p, err := bridge.NewProducer(t.Context(), sink, cfg)
		require.NoError(t, err)
		f(t, p)
		if err := p.Close(t.Context()); err != nil {
			require.ErrorIs(t, err, bridge.ErrClosed, "the test has closed it")
		}
		require.Empty(t, sink.Violations())
		require.True(t, sink.Closed())
	})
}

// until returns a Before that blocks until the channel is closed.
func until(ch <-chan struct{}) func(context.Context, *bridge.Batch) error {
	return func(ctx context.Context, _ *bridge.Batch) error {
		select {
		case <-ch:
			return nil
		case <-ctx.Done():
			return bridge.Ambiguous(ctx.Err())
		}
	}
}

func TestProducerPutSaysWhatBecameOfTheRecord(t *testing.T) {
	t.Parallel()
	refused := errors.New("too large")
	for name, c := range map[string]struct {
		sink    *bridgetest.Sink
		cfg     bridge.ProducerConfig
		is      error
		outcome bridge.Outcome
		receipt bridge.Receipt
	}{
		"stored": {sink: new(bridgetest.Sink), receipt: bridge.Receipt{Shard: "memory", Sequence: "1", Attempts: 1}},
		"refused": {
			sink: &bridgetest.Sink{Fault: func(int, *bridge.Record) bridgetest.Fault { return bridgetest.Fault{Err: bridge.Permanent(refused)} }},
			is:   refused, outcome: bridge.Refused,
		},
		"dead-lettered": {
			sink: &bridgetest.Sink{Fault: func(int, *bridge.Record) bridgetest.Fault { return bridgetest.Fault{Err: bridge.Permanent(refused)} }},
			cfg:  bridge.ProducerConfig{DeadLetters: new(bridgetest.Sink)},
			is:   refused, outcome: bridge.DeadLettered,
		},
		"expired": {
			sink: &bridgetest.Sink{Before: func(context.Context, *bridge.Batch) error { return bridge.Unavailable(errors.New("no stream")) }},
			cfg:  bridge.ProducerConfig{Queue: bridge.QueueConfig{RecordTTL: time.Minute}},
			is:   nil, outcome: bridge.Expired,
		},
		"the third time": {
			sink: &bridgetest.Sink{Fault: func(call int, _ *bridge.Record) bridgetest.Fault {
				if call < 3 {
					return bridgetest.Fault{Err: errors.New("not now")}
				}
				return bridgetest.Fault{}
			}},
			receipt: bridge.Receipt{Shard: "memory", Sequence: "1", Attempts: 3},
		},
		"twice": {
			sink: &bridgetest.Sink{Fault: func(call int, _ *bridge.Record) bridgetest.Fault {
				if call == 1 {
					return bridgetest.Fault{Err: bridge.Ambiguous(errors.New("reset")), Store: true}
				}
				return bridgetest.Fault{}
			}},
			receipt: bridge.Receipt{Shard: "memory", Sequence: "2", Attempts: 2, Duplicate: true},
		},
		"a sink that panics, then stores": {
			sink: &bridgetest.Sink{Before: func(_ context.Context, b *bridge.Batch) error {
				if b.Records[0].Attempt == 0 {
					panic("sink")
				}
				return nil
			}},
			receipt: bridge.Receipt{Shard: "memory", Sequence: "1", Attempts: 2, Duplicate: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			produce(t, c.sink, c.cfg, func(t *testing.T, p *bridge.Producer) {
				check := func(receipt bridge.Receipt, err error) {
					require.Equal(t, c.receipt, receipt)
					if c.outcome == bridge.Stored {
						require.NoError(t, err)
						return
					}
					o, ok := errors.AsType[*bridge.OutcomeError](err)
					require.True(t, ok, "%v", err)
					require.Equal(t, c.outcome, o.Outcome)
					if c.is != nil {
						require.ErrorIs(t, err, c.is)
					}
				}
				check(p.PutRecord(t.Context(), bridge.Record{Key: []byte("k"), Data: []byte("1")}))
			})
		})
	}
}

func TestProducerCallbacksComeInTheOrderOfAKey(t *testing.T) {
	t.Parallel()
	sink := &bridgetest.Sink{
		Max: bridge.Limits{LaneRecords: 3},
		Fault: func(call int, r *bridge.Record) bridgetest.Fault {
			switch {
			case call%3 == 0:
				return bridgetest.Fault{Err: errors.New("not now")}
			case strings.HasSuffix(string(r.Data), "7"):
				return bridgetest.Fault{Err: bridge.Permanent(errors.New("seven"))}
			}
			return bridgetest.Fault{}
		},
	}
	produce(t, sink, bridge.ProducerConfig{}, func(t *testing.T, p *bridge.Producer) {
		got := map[string][]int{}
		for i := range 1000 {
			key := []byte(strconv.Itoa(i % 10))
			p.Go(t.Context(), bridge.Record{Key: key, Data: []byte(strconv.Itoa(i))}, func(_ bridge.Receipt, err error) {
				got[strconv.Itoa(i%10)] = append(got[strconv.Itoa(i%10)], i)
				if i%10 == 7 {
					require.ErrorIs(t, err, bridge.ErrPermanent)
				} else {
					require.NoError(t, err)
				}
			})
			copy(key, "x") // it may be used again
		}
		require.NoError(t, p.Flush(t.Context()))
		for key, list := range got {
			require.Len(t, list, 100)
			require.IsIncreasing(t, list, key)
		}
		require.Len(t, got, 10)
	})
}

func TestProducerWaitsForRoomOrFails(t *testing.T) {
	t.Parallel()
	for _, policy := range []bridge.FullPolicy{bridge.Block, bridge.DropNewest} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			sink := new(bridgetest.Sink)
			cfg := bridge.ProducerConfig{Queue: bridge.QueueConfig{MaxRecords: 4, OnFull: policy}}
			produce(t, sink, cfg, func(t *testing.T, p *bridge.Producer) {
				release := make(chan struct{})
				sink.Before = until(release)
				for range 4 {
					p.Go(t.Context(), bridge.Record{Key: []byte("k")}, nil)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := p.Put(ctx, "k", []byte("late"))
				if policy == bridge.DropNewest {
					require.ErrorIs(t, err, bridge.ErrFull)
				} else {
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
				close(release)
				require.NoError(t, p.Flush(t.Context()))
				require.NoError(t, p.Put(t.Context(), "k", []byte("in time")))
				require.Len(t, sink.Records(), 5, "who could not be queued is not stored")
			})
		})
	}
}

func TestProducerKeepsTheRecordOfACallerThatLeaves(t *testing.T) {
	t.Parallel()
	sink := new(bridgetest.Sink)
	produce(t, sink, bridge.ProducerConfig{}, func(t *testing.T, p *bridge.Producer) {
		release := make(chan struct{})
		sink.Before = until(release)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Put(ctx, "k", []byte("1"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "may still be stored")
		require.ErrorIs(t, p.Put(ctx, "k", []byte("2")), context.DeadlineExceeded, "it is not even queued")
		close(release)
		require.NoError(t, p.Flush(t.Context()))
		require.Len(t, sink.Records(), 1)
	})
}

func TestProducerCloseEndsEverything(t *testing.T) {
	t.Parallel()
	sink := &bridgetest.Sink{Before: until(nil)}
	cfg := bridge.ProducerConfig{Queue: bridge.QueueConfig{MaxRecords: 3}}
	produce(t, sink, cfg, func(t *testing.T, p *bridge.Producer) {
		var mu sync.Mutex
		var errs []error
		add := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
		for i := range 5 { // three are queued, two wait for room
			go func() { add(p.Put(t.Context(), strconv.Itoa(i), nil)) }()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			time.Sleep(time.Second)
			p.Go(t.Context(), bridge.Record{}, func(_ bridge.Receipt, err error) { add(err) })
		}()
		err := p.Close(ctx)
		require.ErrorIs(t, err, bridge.ErrDrainTimeout)
		require.EqualError(t, err, "drain timed out: 3 records were not stored")
		require.Equal(t, "the producer is closed", p.Health().Reason)
		synctest.Wait()
		require.Len(t, errs, 6)
		closed, abandoned := 0, 0
		for _, err := range errs {
			if errors.Is(err, bridge.ErrClosed) {
				closed++
			} else if o, ok := errors.AsType[*bridge.OutcomeError](err); ok && o.Outcome == bridge.Abandoned {
				require.ErrorIs(t, err, bridge.ErrDrainTimeout)
				abandoned++
			}
		}
		require.Equal(t, []int{3, 3}, []int{closed, abandoned})
		require.ErrorIs(t, p.Close(t.Context()), bridge.ErrClosed)
		require.ErrorIs(t, p.Put(t.Context(), "k", nil), bridge.ErrClosed)
		require.NoError(t, p.Flush(t.Context()), "nothing is left to wait for")
	})
}

func TestProducerFlushDoesNotWaitForWhatComesAfter(t *testing.T) {
	t.Parallel()
	sink := &bridgetest.Sink{Max: bridge.Limits{LaneFill: 1 << 20, BatchTime: time.Hour, Lanes: 10, Records: 500}}
	produce(t, sink, bridge.ProducerConfig{}, func(t *testing.T, p *bridge.Producer) {
		release := make(chan struct{})
		sink.Before = func(ctx context.Context, b *bridge.Batch) error {
			if string(b.Records[0].Key) == "later" {
				return until(release)(ctx, b)
			}
			return nil
		}
		start, called := time.Now(), false
		p.Go(t.Context(), bridge.Record{Key: []byte("now")}, func(bridge.Receipt, error) {
			time.Sleep(time.Second)
			called = true
		})
		flushed := make(chan error)
		go func() { flushed <- p.Flush(t.Context()) }()
		synctest.Wait()
		p.Go(t.Context(), bridge.Record{Key: []byte("later")}, nil)
		require.NoError(t, <-flushed)
		require.True(t, called)
		require.Equal(t, time.Second, time.Since(start), "nobody waits until the aggregate is full")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.Flush(ctx), context.DeadlineExceeded)
		close(release)
		require.NoError(t, p.Flush(t.Context()))
	})
}

// TestProducerCallbacks puts from callbacks, panics in one, and lets one be slow.
func TestProducerCallbacks(t *testing.T) {
	t.Parallel()
	sink := new(bridgetest.Sink)
	cfg := bridge.ProducerConfig{Queue: bridge.QueueConfig{MaxRecords: 10}}
	produce(t, sink, cfg, func(t *testing.T, p *bridge.Producer) {
		start, n := time.Now(), 0
		for i := range 30 {
			p.Go(t.Context(), bridge.Record{Key: []byte{byte(i)}}, func(bridge.Receipt, error) {
				n++
				require.NoError(t, p.Put(t.Context(), "from a callback", nil))
				time.Sleep(time.Minute)
				panic("callback")
			})
		}
		require.GreaterOrEqual(t, time.Since(start), 10*time.Minute, "Go waits for callbacks")
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, 30, n)
		require.Len(t, sink.Records(), 60)
	})
}

func TestProducerRefusesMistakes(t *testing.T) {
	t.Parallel()
	for path, cfg := range map[string]bridge.ProducerConfig{
		"Queue.Fallback":            {Queue: bridge.QueueConfig{Fallback: "x"}},
		"Queue.MaxBytes":            {Queue: bridge.QueueConfig{MaxBytes: -1}},
		"DeadLetters":               {DeadLetters: (*bridgetest.Sink)(nil)},
		"DeadLettersQueue.Fallback": {DeadLettersQueue: bridge.QueueConfig{Fallback: "x"}},
		"Name":                      {Name: "dead letters"},
	} {
		sink := new(bridgetest.Sink)
		_, err := bridge.NewProducer(t.Context(), sink, cfg)
		require.True(t, sink.Closed(), "a sink that does not come into service is closed")
		field, ok := errors.AsType[*bridge.FieldError](err)
		require.True(t, ok, "%s: %v", path, err)
		require.Equal(t, path, field.Path)
	}
	_, err := bridge.NewProducer(t.Context(), nil, bridge.ProducerConfig{})
	require.ErrorContains(t, err, "Sink: is nil")
	sink := new(bridgetest.Sink)
	_, err = bridge.NewProducer(t.Context(), sink, bridge.ProducerConfig{DeadLetters: sink})
	require.ErrorContains(t, err, "DeadLetters: is nil, or the sink itself")
	require.Empty(t, sink.Violations())

	bad := &opener{err: errors.New("no such table")}
	_, err = bridge.NewProducer(t.Context(), bad, bridge.ProducerConfig{Name: "db", Logger: quiet})
	require.ErrorContains(t, err, `sink "db": no such table`)
	require.True(t, bad.Closed())
}

type opener struct {
	bridgetest.Sink
	err error
}

func (o *opener) Open(context.Context) error { return o.err }

// TestProducerFollowsRecords has a tracer see records, and their order kept.
func TestProducerFollowsRecords(t *testing.T) {
	t.Parallel()
	produce(t, new(bridgetest.Sink), bridge.ProducerConfig{Queue: bridge.QueueConfig{MaxRecords: 1}}, func(t *testing.T, p *bridge.Producer) {
		tracer := new(countingTracer)
		stop := p.Trace(tracer)
		defer stop()
		receipt, err := p.PutRecord(t.Context(), bridge.Record{Key: []byte("k"), Data: []byte("d"), Attrs: []bridge.Attr{{Name: "traceparent", Value: []byte("00-1")}}})
		require.NoError(t, err)
		require.Equal(t, 1, receipt.Attempts)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, p.Put(ctx, "k", nil))
		synctest.Wait()
		require.Equal(t, []string{"message k d 00-1", "record d", "write 1", "end stored", "settled stored"}, tracer.seen)
	})
}

type countingTracer struct {
	mu   sync.Mutex
	seen []string
}

func (c *countingTracer) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf(format, args...))
}

func (c *countingTracer) Trace(m *bridge.Message, _ []string) bridge.Trace {
	c.add("message %s %s %s", m.ClientID, m.Payload, m.Props.User[0].Value)
	return c
}
func (c *countingTracer) Rule(string) func(step, text, result string) { return nil }
func (c *countingTracer) RuleDone(string, []bridge.Record, error)     {}
func (c *countingTracer) Settled(o bridge.Outcome, _ error)           { c.add("settled %v", o) }
func (c *countingTracer) Record(r *bridge.Record) bridge.RecordTrace {
	c.add("record %s", r.Data)
	return c
}

func (c *countingTracer) Write(_ string, attempt int, _, _, _ time.Time, _ error) {
	c.add("write %d", attempt)
}
func (c *countingTracer) Fallback(string, error)        {}
func (c *countingTracer) End(o bridge.Outcome, _ error) { c.add("end %v", o) }
