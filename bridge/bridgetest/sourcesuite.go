package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
)

// SourceSuite tells TestSource how to make the source that it tests.
type SourceSuite struct {
	// New returns a new source without messages. The suite opens and closes it.
	New func(t *testing.T) bridge.Source
	// Publish makes the upstream of s hold messages with these topics and
	// payloads, in this order. It need not wait until s has them.
	Publish func(t *testing.T, s bridge.Source, msgs []bridge.Message)
	// Topic is the topic of the suite's messages. Default "test/topic".
	Topic string
	// Acked, when set, returns how many messages the upstream regards as
	// done; the suite waits until it is as many as were settled well.
	Acked func(t *testing.T, s bridge.Source) int
	// Finite says that the source reports io.EOF once what Publish gave it
	// before the first Read has been read.
	Finite bool
	// Timeout bounds each call of the source, and the wait for what Acked
	// returns. Default 30 s.
	Timeout time.Duration
	// Leaky says that the source, or what it talks to, may leave goroutines
	// behind.
	Leaky bool
}

// The sentences of bridge.Source and bridge.Acker that the suite checks.
const (
	sourceBlocks  = "bridge.Source: Read blocks until there is at least one message or ctx is done"
	sourceFills   = "bridge.Source: Read returns how many messages it stored, at most len(dst)"
	sourceOrder   = "bridge.Source: Read hands out messages in order of receipt"
	sourceKeeps   = "bridge.Message: what its fields refer to must stay unchanged until Delivery is settled"
	sourceDone    = "bridge.Acker: Done must not block"
	sourceEarly   = "bridge.Acker: a message is acknowledged when its Delivery is settled, and not before"
	sourceUnacked = "bridge.Acker: unless the outcome is Settled the source must not acknowledge the message"
	sourceAcks    = "bridge.Source: settling a Delivery acknowledges its message"
	sourceCloses  = "bridge.Source: Close passes on acknowledgements, and returns"
	sourceNoOp    = "bridge.Source: settling a Delivery after Close is a no-op"
)

// suiteTimeout ends a case that waits for what does not come.
const suiteTimeout = 30 * time.Second

// TestSource checks that a source keeps the contract of bridge.Source: messages
// come whole and in order, never more than asked for, and stay valid until they
// are settled; settling works in any order and after Close; a done context ends
// Read; and Close leaves nothing behind.
func TestSource(t *testing.T, suite SourceSuite) {
	t.Helper()
	if suite.Topic == "" {
		suite.Topic = "test/topic"
	}
	if suite.Timeout == 0 {
		suite.Timeout = suiteTimeout
	}
	for _, c := range []struct {
		name string
		run  func(*sourceCase)
	}{
		{"ReadsInOrder", readsInOrder},
		{"FillsNoMoreThanAsked", fillsNoMore},
		{"KeepsPayloadsUntilSettled", keepsPayloads},
		{"SettlesInAnyOrder", settlesInAnyOrder},
		{"LeavesAbandonedMessages", leavesAbandoned},
		{"EndsWithTheContext", readEndsWithContext},
		{"IgnoresSettlingAfterClose", settlesAfterClose},
		{"RunsInAPipeline", sourceRunsInPipeline},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !suite.Leaky {
				defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			}
			s := suite.New(t)
			if o, ok := s.(bridge.Opener); ok && c.name != "RunsInAPipeline" {
				require.NoError(t, o.Open(t.Context()))
			}
			c.run(&sourceCase{t, suite, s})
		})
	}
}

type sourceCase struct {
	*testing.T
	suite  SourceSuite
	source bridge.Source
}

func payload(i int) string { return fmt.Sprintf("message %d", i) }

func (c *sourceCase) publish(n int) {
	msgs := make([]bridge.Message, n)
	for i := range msgs {
		msgs[i] = bridge.Message{Topic: c.suite.Topic, Payload: []byte(payload(i)), QoS: 1}
	}
	c.suite.Publish(c.T, c.source, msgs)
}

// read reads until it has n messages, size at a time.
func (c *sourceCase) read(n, size int) []bridge.Message {
	ctx, cancel := context.WithTimeout(c.Context(), c.suite.Timeout)
	defer cancel()
	var all []bridge.Message
	dst := make([]bridge.Message, size, size+1)
	for len(all) < n {
		got := 0
		err := within(c.T, 2*c.suite.Timeout, sourceBlocks, func() (err error) {
			got, err = c.source.Read(ctx, dst)
			return err
		})
		require.GreaterOrEqual(c, got, 0, sourceFills)
		require.LessOrEqual(c, got, len(dst), sourceFills)
		require.Zero(c, dst[: size+1 : size+1][size], sourceFills)
		all = append(all, dst[:got]...)
		if err != nil {
			require.ErrorIs(c, err, io.EOF, "after %d messages", len(all))
			break
		}
		require.Positive(c, got, "Read returned nothing and no error: %s", sourceBlocks)
		clear(dst) // the pipeline uses it again
	}
	require.Len(c, all, n)
	return all
}

// inOrder checks that the messages are those that were published; the sentence says
// why they must be.
func (c *sourceCase) inOrder(msgs []bridge.Message, sentence string) {
	for i, m := range msgs {
		require.Equal(c, payload(i), string(m.Payload), sentence)
		require.Equal(c, c.suite.Topic, m.Topic)
		require.False(c, m.Received.IsZero(), "Received is not set")
	}
}

func (c *sourceCase) close() {
	ctx, cancel := context.WithTimeout(context.Background(), c.suite.Timeout)
	defer cancel()
	require.NoError(c, within(c.T, 2*c.suite.Timeout, sourceCloses, func() error { return c.source.Close(ctx) }))
}

func readsInOrder(c *sourceCase) {
	c.publish(50)
	msgs := c.read(50, 16)
	c.inOrder(msgs, sourceOrder)
	if c.suite.Acked != nil {
		require.Zero(c, c.suite.Acked(c.T, c.source), sourceEarly)
	}
	c.settleAll(msgs)
	c.acked(50)
	c.close()
}

func (c *sourceCase) settleAll(msgs []bridge.Message) {
	for _, m := range msgs {
		c.settle(m, bridge.Stored, nil)
	}
}

// settle settles a message, which must take no time.
func (c *sourceCase) settle(m bridge.Message, o bridge.Outcome, err error) {
	_ = within(c.T, c.suite.Timeout, sourceDone, func() error { m.Delivery.Done(o, err); return nil })
}

// acked waits until the upstream knows that n messages are done.
func (c *sourceCase) acked(n int) { c.ackedOnly(n, sourceEarly) }

// ackedOnly is acked with the sentence that is broken if there are more.
func (c *sourceCase) ackedOnly(n int, sentence string) {
	if c.suite.Acked == nil {
		return
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(c.suite.Timeout)
	for {
		got := c.suite.Acked(c.T, c.source)
		require.LessOrEqual(c, got, n, "more is acknowledged than was settled: %s", sentence)
		if got == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.Fatalf("%d of %d settled messages were acknowledged: %s", got, n, sourceAcks)
		}
	}
}

func fillsNoMore(c *sourceCase) {
	c.publish(5)
	msgs := c.read(5, 1)
	c.inOrder(msgs, sourceOrder)
	c.settleAll(msgs)
	c.close()
}

func keepsPayloads(c *sourceCase) {
	c.publish(60)
	msgs := c.read(60, 7)
	c.inOrder(msgs, sourceKeeps) // only now, with nothing settled
	c.settleAll(msgs)
	c.close()
}

func settlesInAnyOrder(c *sourceCase) {
	c.publish(30)
	msgs := c.read(30, 30)
	for i := range msgs {
		c.settle(msgs[len(msgs)-1-i], bridge.Stored, nil)
	}
	c.acked(30)
	c.close()
}

// leavesAbandoned settles the last messages as Abandoned, which must stay with the
// upstream.
func leavesAbandoned(c *sourceCase) {
	c.publish(10)
	msgs := c.read(10, 10)
	for _, m := range msgs[6:] {
		c.settle(m, bridge.Abandoned, errors.New("not delivered"))
	}
	c.settleAll(msgs[:6])
	c.ackedOnly(6, sourceUnacked)
	c.close()
	if c.suite.Acked != nil {
		require.Equal(c, 6, c.suite.Acked(c.T, c.source), sourceUnacked)
	}
}

func readEndsWithContext(c *sourceCase) {
	if !c.suite.Finite {
		ctx, cancel := context.WithCancel(c.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.source.Read(ctx, make([]bridge.Message, 1))
			done <- err
		}()
		cancel()
		select {
		case err := <-done:
			require.ErrorIs(c, err, context.Canceled, sourceBlocks)
		case <-time.After(c.suite.Timeout):
			c.Fatalf("Read did not return after its context was done: %s", sourceBlocks)
		}
	}
	c.close()
}

func settlesAfterClose(c *sourceCase) {
	c.publish(4)
	msgs := c.read(4, 4)
	c.settle(msgs[0], bridge.Stored, nil)
	c.settle(msgs[1], bridge.Abandoned, errors.New("not delivered"))
	c.close()
	late := func(m bridge.Message, o bridge.Outcome) error {
		require.NotPanics(c, func() { m.Delivery.Done(o, errors.New("not delivered")) }, sourceNoOp)
		return nil
	}
	_ = within(c.T, c.suite.Timeout, sourceNoOp, func() error {
		return errors.Join(late(msgs[2], bridge.Stored), late(msgs[3], bridge.Abandoned))
	})
}

func sourceRunsInPipeline(c *sourceCase) {
	const n = 200
	sink := new(Sink)
	ctx, cancel := context.WithTimeout(c.Context(), c.suite.Timeout)
	defer cancel()
	stored := 0
	sink.After = func(_ context.Context, b *bridge.Batch) error {
		if stored += len(b.Records); stored == n {
			cancel()
		}
		return nil
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"tested": c.source},
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Data: m.Payload})
			return nil
		}, "#", "$sources/tested")},
		Sinks: map[string]bridge.Sink{"memory": sink},
		Queue: bridge.QueueConfig{InFlight: 1},
	})
	require.NoError(c, err)
	var publishing sync.WaitGroup
	if c.suite.Finite {
		c.publish(n)
	} else {
		publishing.Go(func() { c.publish(n) })
	}
	require.NoError(c, within(c.T, 4*c.suite.Timeout+time.Minute, sourceBlocks, func() error { return p.Run(ctx) }))
	publishing.Wait() // the last message may have been stored before Publish knows that it was taken
	records := sink.Records()
	require.Len(c, records, n)
	for i, r := range records {
		require.Equal(c, payload(i), r.Data)
	}
}
