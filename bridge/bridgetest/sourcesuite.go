package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	// Leaky says that the source, or what it talks to, may leave goroutines
	// behind.
	Leaky bool
}

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
	for _, c := range []struct {
		name string
		run  func(*sourceCase)
	}{
		{"ReadsInOrder", readsInOrder},
		{"FillsNoMoreThanAsked", fillsNoMore},
		{"KeepsPayloadsUntilSettled", keepsPayloads},
		{"SettlesInAnyOrder", settlesInAnyOrder},
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
	ctx, cancel := context.WithTimeout(c.Context(), suiteTimeout)
	defer cancel()
	var all []bridge.Message
	dst := make([]bridge.Message, size)
	for len(all) < n {
		got, err := c.source.Read(ctx, dst)
		require.LessOrEqual(c, got, len(dst))
		all = append(all, dst[:got]...)
		if err != nil {
			require.ErrorIs(c, err, io.EOF, "after %d messages", len(all))
			break
		}
		require.Positive(c, got, "Read returned nothing and no error")
		clear(dst) // the pipeline uses it again
	}
	require.Len(c, all, n)
	return all
}

func (c *sourceCase) inOrder(msgs []bridge.Message) {
	for i, m := range msgs {
		require.Equal(c, payload(i), string(m.Payload))
		require.Equal(c, c.suite.Topic, m.Topic)
		require.False(c, m.Received.IsZero(), "Received is not set")
	}
}

func (c *sourceCase) close() {
	ctx, cancel := context.WithTimeout(context.Background(), suiteTimeout)
	defer cancel()
	require.NoError(c, c.source.Close(ctx))
}

func readsInOrder(c *sourceCase) {
	c.publish(50)
	msgs := c.read(50, 16)
	c.inOrder(msgs)
	settleAll(msgs)
	c.acked(50)
	c.close()
}

func settleAll(msgs []bridge.Message) {
	for _, m := range msgs {
		m.Delivery.Done(nil)
	}
}

// acked waits until the upstream knows that n messages are done.
func (c *sourceCase) acked(n int) {
	if c.suite.Acked == nil {
		return
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(suiteTimeout)
	for {
		got := c.suite.Acked(c.T, c.source)
		require.LessOrEqual(c, got, n, "more is acknowledged than was settled")
		if got == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.Fatalf("%d of %d settled messages were acknowledged", got, n)
		}
	}
}

func fillsNoMore(c *sourceCase) {
	c.publish(5)
	msgs := c.read(5, 1)
	c.inOrder(msgs)
	settleAll(msgs)
	c.close()
}

func keepsPayloads(c *sourceCase) {
	c.publish(60)
	msgs := c.read(60, 7)
	c.inOrder(msgs) // only now, with nothing settled
	settleAll(msgs)
	c.close()
}

func settlesInAnyOrder(c *sourceCase) {
	c.publish(30)
	msgs := c.read(30, 30)
	for i := range msgs {
		msgs[len(msgs)-1-i].Delivery.Done(nil)
	}
	c.acked(30)
	c.close()
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
			require.ErrorIs(c, err, context.Canceled)
		case <-time.After(suiteTimeout):
			c.Fatal("Read did not return after its context was done")
		}
	}
	c.close()
}

func settlesAfterClose(c *sourceCase) {
	c.publish(4)
	msgs := c.read(4, 4)
	msgs[0].Delivery.Done(nil)
	msgs[1].Delivery.Done(errors.New("not delivered"))
	c.close()
	msgs[2].Delivery.Done(nil)
	msgs[3].Delivery.Done(errors.New("not delivered"))
}

func sourceRunsInPipeline(c *sourceCase) {
	const n = 200
	sink := new(Sink)
	ctx, cancel := context.WithTimeout(c.Context(), suiteTimeout)
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
		Rules: map[string]bridge.Rule{"all": bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
			out.Add(bridge.Record{Data: m.Payload})
			return nil
		}, "#", "$sources/tested")},
		Sinks: map[string]bridge.Sink{"memory": sink},
		Queue: bridge.QueueConfig{InFlight: 1},
	})
	require.NoError(c, err)
	if c.suite.Finite {
		c.publish(n)
	} else {
		go c.publish(n)
	}
	require.NoError(c, p.Run(ctx))
	records := sink.Records()
	require.Len(c, records, n)
	for i, r := range records {
		require.Equal(c, payload(i), r.Data)
	}
}
