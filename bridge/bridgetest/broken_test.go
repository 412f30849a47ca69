package bridgetest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// brokenSink is a sink in memory whose Write is another.
type brokenSink struct {
	bridgetest.Sink
	write func(s *brokenSink, ctx context.Context, b *bridge.Batch) error

	mu    sync.Mutex
	kept  []bridge.Record
	fail  string
	block chan struct{}
}

func (s *brokenSink) Write(ctx context.Context, b *bridge.Batch) error {
	s.mu.Lock()
	block := s.block
	s.mu.Unlock()
	if block != nil {
		<-block // whatever ctx says
	}
	return s.write(s, ctx, b)
}

// stored are the records that were kept, with what their memory holds now.
func (s *brokenSink) stored() (list []bridgetest.Stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.kept {
		list = append(list, bridgetest.Stored{Key: string(r.Key), Data: string(r.Data)})
	}
	return append(list, s.Records()...)
}

func (s *brokenSink) failsNow(r *bridge.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == "" || string(r.Data) != s.fail {
		return false
	}
	s.fail = ""
	return true
}

func testSink(t *testing.T, write func(s *brokenSink, ctx context.Context, b *bridge.Batch) error) {
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New:    func(*testing.T) bridge.Sink { return &brokenSink{write: write} },
		Stored: func(_ *testing.T, s bridge.Sink) []bridgetest.Stored { return s.(*brokenSink).stored() },
		Fail:   func(_ *testing.T, s bridge.Sink, data string) { s.(*brokenSink).fail = data },
		Block: func(_ *testing.T, s bridge.Sink) func() {
			b := s.(*brokenSink)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.block = make(chan struct{})
			return func() { close(b.block) }
		},
		Timeout: 500 * time.Millisecond, Leaky: true,
	})
}

// brokenSource is a source in memory with another Read and other deliveries.
type brokenSource struct {
	bridgetest.Source
	read   func(s *brokenSource, ctx context.Context, dst []bridge.Message) (int, error)
	settle func(d bridge.Delivery, o bridge.Outcome, err error)

	mu         sync.Mutex
	deliveries []bridge.Delivery
	last       []byte
}

func (s *brokenSource) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	n, err := s.read(s, ctx, dst)
	for i := range dst[:max(0, min(n, len(dst)))] {
		if s.settle == nil {
			break
		}
		s.mu.Lock()
		s.deliveries = append(s.deliveries, dst[i].Delivery)
		dst[i].Delivery = bridge.NewDelivery(s, uint64(len(s.deliveries)-1))
		s.mu.Unlock()
	}
	return n, err
}

func (s *brokenSource) Done(seq uint64, o bridge.Outcome, err error) {
	s.mu.Lock()
	d := s.deliveries[seq]
	s.mu.Unlock()
	s.settle(d, o, err)
}

func (s *brokenSource) plain(ctx context.Context, dst []bridge.Message) (int, error) {
	return s.Source.Read(ctx, dst)
}

func testSource(t *testing.T, s *brokenSource) {
	read, settle := s.read, s.settle
	if read == nil {
		read = (*brokenSource).plain
	}
	bridgetest.TestSource(t, bridgetest.SourceSuite{
		New: func(*testing.T) bridge.Source { return &brokenSource{read: read, settle: settle} },
		Publish: func(_ *testing.T, s bridge.Source, msgs []bridge.Message) {
			s.(*brokenSource).Publish(msgs...)
		},
		Acked: func(_ *testing.T, s bridge.Source) int {
			acked, _, _, _ := s.(*brokenSource).Counts()
			return acked
		},
		Timeout: 500 * time.Millisecond, Leaky: true,
	})
}

func testRule(t *testing.T, apply func(out *bridge.Out, m *bridge.Message) error) {
	bridgetest.TestRule(t, bridge.RuleFunc(apply, "#"),
		bridge.Message{Topic: "a", Payload: []byte("first")}, bridge.Message{Topic: "b", Payload: []byte("other")})
}

// broken are parts that break a sentence of their contract, which is the second
// field, or part of it.
var broken = map[string]struct {
	test     func(t *testing.T)
	sentence string
}{
	"sink does not store": {func(t *testing.T) {
		testSink(t, func(*brokenSink, context.Context, *bridge.Batch) error { return nil })
	}, "when Write returns nil all records that were not failed are stored"},
	"sink drops what it should fail": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, ctx context.Context, b *bridge.Batch) error {
			b.Records = slices.DeleteFunc(b.Records, func(r bridge.Record) bool { return s.failsNow(&r) })
			return s.Sink.Write(ctx, b)
		})
	}, "a record that was not stored is failed by Batch.Fail"},
	"sink stores behind a failed record": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, ctx context.Context, b *bridge.Batch) error {
			for i := range b.Records {
				if r := &b.Records[i]; s.failsNow(r) {
					b.Fail(r, errors.New("failed"))
				} else if err := s.Sink.Write(ctx, b.Part(b.Records[i:i+1])); err != nil {
					return err
				}
			}
			return nil
		})
	}, "what is behind a failed record in its lane must not be stored"},
	"sink reverses a lane": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, ctx context.Context, b *bridge.Batch) error {
			slices.Reverse(b.Records)
			return s.Sink.Write(ctx, b)
		})
	}, "records of a lane are stored in their order"},
	"sink keeps buffers": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, _ context.Context, b *bridge.Batch) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.kept = append(s.kept, b.Records...)
			return nil
		})
	}, "Write must not keep the batch"},
	"sink changes its records": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, ctx context.Context, b *bridge.Batch) error {
			err := s.Sink.Write(ctx, b)
			for i := range b.Records {
				copy(b.Records[i].Key, bytes.ToUpper(b.Records[i].Key))
			}
			return err
		})
	}, "Write must not change what its records refer to"},
	"sink ignores its context": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, ctx context.Context, b *bridge.Batch) error { return s.Sink.Write(ctx, b) })
	}, "Write must return soon after ctx is done"},

	"sink gives two records one place": {func(t *testing.T) {
		testSink(t, func(s *brokenSink, ctx context.Context, b *bridge.Batch) error {
			err := s.Sink.Write(ctx, b)
			for i := range b.Records {
				b.Receipt(&b.Records[i], bridge.Receipt{Shard: "s", Sequence: "1"})
			}
			return err
		})
	}, "no two records are in one place"},

	"rule changes the payload": {func(t *testing.T) {
		testRule(t, func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Data: bytes.Clone(m.Payload)})
			m.Payload[0] = 'X'
			return nil
		})
	}, "Apply must not change what m refers to"},
	"rule keeps the payload": {func() func(t *testing.T) {
		var mu sync.Mutex
		cache := make(map[string][]byte)
		return func(t *testing.T) {
			testRule(t, func(out *bridge.Out, m *bridge.Message) error {
				mu.Lock()
				defer mu.Unlock()
				if cache[m.Topic] == nil {
					cache[m.Topic] = m.Payload
				}
				out.Add(bridge.Record{Data: cache[m.Topic]})
				return nil
			})
		}
	}(), "must not keep m or out"},
	"rule keeps its Out": {func() func(t *testing.T) {
		var mu sync.Mutex
		var kept *bridge.Out
		return func(t *testing.T) {
			testRule(t, func(out *bridge.Out, m *bridge.Message) error {
				mu.Lock()
				defer mu.Unlock()
				if kept != nil {
					kept.Add(bridge.Record{Data: []byte("late")})
				}
				kept = out
				out.Add(bridge.Record{Data: bytes.Clone(m.Payload)})
				return nil
			})
		}
	}(), "Apply must not keep out"},
	"rule uses memory that it has not kept": {func(t *testing.T) {
		testRule(t, func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Data: append(out.AvailableBuffer(), m.Payload...)})
			return nil
		})
	}, "Out.Keep"},

	"source returns more than asked": {func(t *testing.T) {
		testSource(t, &brokenSource{read: func(s *brokenSource, ctx context.Context, dst []bridge.Message) (int, error) {
			n, err := s.plain(ctx, dst)
			return n + 1, err
		}})
	}, "at most len(dst)"},
	"source fills beyond dst": {func(t *testing.T) {
		testSource(t, &brokenSource{read: func(s *brokenSource, ctx context.Context, dst []bridge.Message) (int, error) {
			if cap(dst) > len(dst) {
				dst[:cap(dst)][len(dst)].Topic = "beyond"
			}
			return s.plain(ctx, dst)
		}})
	}, "at most len(dst)"},
	"source returns nothing": {func(t *testing.T) {
		testSource(t, &brokenSource{read: func(*brokenSource, context.Context, []bridge.Message) (int, error) { return 0, nil }})
	}, "Read blocks until there is at least one message"},
	"source ignores its context": {func(t *testing.T) {
		testSource(t, &brokenSource{read: func(s *brokenSource, _ context.Context, dst []bridge.Message) (int, error) {
			return s.plain(context.Background(), dst)
		}})
	}, "or ctx is done"},
	"source reuses memory": {func(t *testing.T) {
		testSource(t, &brokenSource{read: func(s *brokenSource, ctx context.Context, dst []bridge.Message) (int, error) {
			n, err := s.plain(ctx, dst)
			s.last = slices.Grow(s.last[:0], 100)
			for i := range dst[:n] {
				dst[i].Payload = append(s.last[:0], dst[i].Payload...)
			}
			return n, err
		}})
	}, "must stay unchanged until Delivery is settled"},
	"source acknowledges early": {func(t *testing.T) {
		testSource(t, &brokenSource{
			read: func(s *brokenSource, ctx context.Context, dst []bridge.Message) (int, error) {
				n, err := s.plain(ctx, dst)
				for i := range dst[:n] {
					dst[i].Delivery.Done(bridge.Stored, nil)
				}
				return n, err
			},
			settle: func(bridge.Delivery, bridge.Outcome, error) {},
		})
	}, "acknowledged when its Delivery is settled, and not before"},
	"source acknowledges never": {func(t *testing.T) {
		testSource(t, &brokenSource{settle: func(bridge.Delivery, bridge.Outcome, error) {}})
	}, "settling a Delivery acknowledges its message"},
	"source acknowledges what is abandoned": {func(t *testing.T) {
		testSource(t, &brokenSource{settle: func(d bridge.Delivery, _ bridge.Outcome, err error) { d.Done(bridge.Stored, err) }})
	}, "unless the outcome is Settled the source must not acknowledge"},
	"source blocks in Done": {func(t *testing.T) {
		var once sync.Once // it is enough, and takes less time
		testSource(t, &brokenSource{settle: func(d bridge.Delivery, o bridge.Outcome, err error) {
			once.Do(func() { time.Sleep(2 * time.Second) })
			d.Done(o, err)
		}})
	}, "Done must not block"},
}

// TestSuitesFindBrokenParts runs the suites with parts that break their contract.
// Each must fail and say which sentence was broken. As a test that fails cannot be
// run by one that does not, each is run by a process of its own.
func TestSuitesFindBrokenParts(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	for name, part := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestBrokenPart$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), "BROKEN_PART="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite has found nothing:\n%s", out)
			require.Contains(t, strings.Join(strings.Fields(string(out)), " "), part.sentence)
			require.NotContains(t, string(out), "panic:")
		})
	}
}

// TestBrokenPart is what TestSuitesFindBrokenParts runs; by itself it has nothing to
// do.
func TestBrokenPart(t *testing.T) {
	if part, ok := broken[os.Getenv("BROKEN_PART")]; ok {
		part.test(t)
	}
}
