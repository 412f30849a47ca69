package broker

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
)

func testInbox(length, window int) *inbox {
	return newInbox(length, 1<<20, &Limits{PublisherMessages: window, PublisherBytes: 1000 * window})
}

// put pushes a message that is as large as its publisher's window allows.
func put(in *inbox, p *publisher, topic string) error {
	const cost = 1000
	return in.push(p, &bridge.Message{Topic: topic, Delivery: bridge.NewDelivery(p, cost)}, cost, nil)
}

func takeTopics(in *inbox, n int) (topics []string, msgs []bridge.Message) {
	msgs = make([]bridge.Message, n)
	k, _ := in.take(msgs)
	for _, m := range msgs[:k] {
		topics = append(topics, m.Topic)
	}
	return topics, msgs[:k]
}

// TestInboxTakesTurns: what one publisher has queued does not delay another's.
func TestInboxTakesTurns(t *testing.T) {
	t.Parallel()
	in := testInbox(100, 100)
	a, b, c := in.join(identity{id: "a"}), in.join(identity{id: "b"}), in.join(identity{id: "c"})
	for i := range 5 {
		require.NoError(t, put(in, a, fmt.Sprint("a", i)))
	}
	require.NoError(t, put(in, b, "b0"))
	require.NoError(t, put(in, c, "c0"))
	require.NoError(t, put(in, c, "c1"))
	got, _ := takeTopics(in, 4)
	require.Equal(t, []string{"a0", "b0", "c0", "a1"}, got)
	require.NoError(t, put(in, b, "b1"))
	got, _ = takeTopics(in, 10)
	require.Equal(t, []string{"c1", "a2", "b1", "a3", "a4"}, got)
}

// TestInboxWindow: a message counts until it is settled, in whatever order, and
// whether its publisher is still there or not.
func TestInboxWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := testInbox(100, 2)
		p := in.join(identity{id: "a"})
		require.NoError(t, put(in, p, "0"))
		require.NoError(t, put(in, p, "1"))
		third := make(chan error, 1)
		go func() { third <- put(in, p, "2") }()
		_, msgs := takeTopics(in, 10)
		synctest.Wait()
		require.Empty(t, third, "taken is not settled")
		msgs[1].Delivery.Done(bridge.Stored, nil)
		require.NoError(t, <-third)

		in.leave(p)
		again := in.join(identity{id: "a"})
		require.Same(t, p, again, "a new connection does not start anew")
		_, more := takeTopics(in, 10)
		msgs[0].Delivery.Done(bridge.Abandoned, io.EOF)
		more[0].Delivery.Done(bridge.Stored, nil)
		require.Zero(t, in.unsettled)
		in.leave(again)
		require.Empty(t, in.publishers)

		// One that is larger than the window is taken alone.
		p = in.join(identity{id: "b"})
		require.NoError(t, in.push(p, &bridge.Message{}, 5000, nil))
		require.False(t, in.tryPush(p, &bridge.Message{}, 1))
	})
}

// TestInboxAbandon: a push ends with its connection, and those behind it go on.
func TestInboxAbandon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in := testInbox(100, 1)
		p := in.join(identity{id: "a"})
		require.NoError(t, put(in, p, "0"))
		gone := make(chan struct{})
		ended, second := make(chan error, 1), make(chan error, 1)
		go func() { ended <- in.push(p, &bridge.Message{Topic: "lost"}, 1, gone) }()
		synctest.Wait()
		go func() { second <- put(in, p, "2") }()
		synctest.Wait()
		require.Equal(t, 2, in.heldBack)
		close(gone)
		require.ErrorIs(t, <-ended, errGone)
		_, msgs := takeTopics(in, 1)
		msgs[0].Delivery.Done(bridge.Stored, nil)
		require.NoError(t, <-second)
		require.Zero(t, in.heldBack)

		go func() { second <- put(in, p, "3") }()
		synctest.Wait()
		require.Equal(t, 1, in.close())
		require.ErrorIs(t, <-second, errClosing)
		require.ErrorIs(t, put(in, p, "4"), errClosing)
	})
}

// TestInboxByRandomSteps: whatever happens, each publisher's messages keep their
// order, no bound is exceeded, and nobody waits who would fit.
func TestInboxByRandomSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)) // evenly, as rapid does not
		steps := make([]int, rapid.IntRange(1, 80).Draw(rt, "steps"))
		for i := range steps {
			steps[i] = random.IntN(1 << 16)
		}
		length, window := rapid.IntRange(1, 6).Draw(rt, "length"), rapid.IntRange(1, 4).Draw(rt, "window")
		synctest.Test(t, func(*testing.T) { inboxSteps(rt, steps, length, window) })
	})
}

func inboxSteps(t *rapid.T, steps []int, length, window int) {
	in := testInbox(length, window)
	defer in.close()
	const publishers = 3
	var pubs [publishers]*publisher
	var sent, seen [publishers]int
	busy := make([]chan struct{}, publishers) // closed when the publisher's last push has ended
	var open []bridge.Message
	for i := range pubs {
		pubs[i] = in.join(identity{id: fmt.Sprint(i)})
		busy[i] = make(chan struct{})
		close(busy[i])
	}
	for _, step := range steps {
		i := step / 4 % publishers
		switch step % 4 {
		case 0, 1:
			select {
			case <-busy[i]:
			default:
				continue // it waits
			}
			done, topic := make(chan struct{}), fmt.Sprint(i, " ", sent[i])
			busy[i] = done
			sent[i]++
			go func() {
				defer close(done)
				_ = put(in, pubs[i], topic)
			}()
		case 2:
			topics, msgs := takeTopics(in, 1+step/16%4)
			for _, topic := range topics {
				var from, number int
				_, err := fmt.Sscan(topic, &from, &number)
				require.NoError(t, err)
				require.Equal(t, seen[from], number, "order")
				seen[from]++
			}
			open = append(open, msgs...)
		case 3:
			if len(open) > 0 {
				k := step / 16 % len(open)
				open[k].Delivery.Done(bridge.Stored, nil)
				open = append(open[:k], open[k+1:]...)
			}
		}
		synctest.Wait()
		in.mu.Lock()
		require.LessOrEqual(t, in.n, length+publishers-1)
		total := 0
		for _, p := range pubs {
			require.LessOrEqual(t, p.open, window)
			if len(p.waiting) > 0 {
				require.False(t, in.fits(p, p.waiting[0].cost), "it waits and fits")
			}
			require.Equal(t, 1000*p.open, p.openCost)
			total += p.open
		}
		require.Equal(t, in.unsettled, total)
		require.Equal(t, 1000*in.n, in.bytes)
		in.mu.Unlock()
	}
}
