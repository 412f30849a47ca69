package mqtt

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"pgregory.net/rapid"
)

func testWindow(limit int) (*window, *outbox) {
	out := newOutbox()
	w := newWindow(limit, &counters{}, newBudget(1<<30))
	w.resume(out, false, func() {})
	return w, out
}

// add takes in a QoS 1 message.
func (w *window) add(id uint16) (seq uint64, full <-chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.admit(w.epoch, &item{publish: publish{id: id, qos: 1}})
	return a.seq, a.full, a.err
}

// ids returns the packet identifiers of the acknowledgements in out.
func ids(out *outbox) []int {
	var ids []int
	for b := out.buf; len(b) > 0; b = b[4:] {
		ids = append(ids, int(b[2])<<8|int(b[3]))
	}
	return ids
}

// TestWindowOrder settles in random order and checks against a simple model.
func TestWindowOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 300).Draw(t, "limit")
		w, out := testWindow(limit)
		var order []uint64 // held, oldest first
		state := map[uint64]error{}
		open := map[uint64]bool{}
		var want []int
		boom := errors.New("boom")
		for range rapid.IntRange(1, 500).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") || len(order) == 0 {
				seq, full, err := w.add(uint16(len(state) + 1))
				if err != nil || (full != nil) != (len(order) == limit) {
					t.Fatalf("add: %v %v with %d of %d", full, err, len(order), limit)
				}
				if full == nil {
					order = append(order, seq)
					open[seq] = true
					state[seq] = nil
				}
				continue
			}
			seq := rapid.SampledFrom(order).Draw(t, "seq")
			var err error
			if rapid.IntRange(0, 50).Draw(t, "fail") == 0 {
				err = boom
			}
			if open[seq] {
				open[seq], state[seq] = false, err
			}
			o := bridge.Stored
			if err != nil {
				o = bridge.Abandoned
			}
			w.Done(seq, o, err)
			for len(order) > 0 && !open[order[0]] && state[order[0]] == nil {
				want = append(want, int(order[0]))
				order = order[1:]
			}
		}
		got := ids(out)
		if len(got) != len(want) {
			t.Fatalf("acknowledged %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("acknowledged %v, want %v", got, want)
			}
		}
	})
}

func TestSuspendedWindowDoesNothing(t *testing.T) {
	w, out := testWindow(10)
	seq, _, _ := w.add(1)
	w.suspend()
	w.Done(seq, bridge.Stored, nil)
	require.Empty(t, ids(out))
}

func TestWindowFull(t *testing.T) {
	w, out := testWindow(65535)
	for i := range 65535 {
		_, full, err := w.add(uint16(i + 1))
		require.True(t, full == nil && err == nil)
	}
	_, full, err := w.add(1)
	require.NoError(t, err)
	require.NotNil(t, full)
	for seq := uint64(65535); seq > 1; seq-- {
		w.Done(seq, bridge.Stored, nil)
	}
	require.Empty(t, ids(out))
	w.Done(1, bridge.Stored, nil)
	require.Len(t, ids(out), 65535)
	<-full
}

func TestWindowDoesNotAllocate(t *testing.T) {
	w, out := testWindow(1000)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		out.buf = out.buf[:0]
		var seqs [100]uint64
		for i := range seqs {
			seqs[i], _, _ = w.add(uint16(i + 1))
		}
		for _, s := range seqs {
			w.Done(s, bridge.Stored, nil)
		}
	}))
}

func TestOutboxKeepsOrder(t *testing.T) {
	out := newOutbox()
	var got bytes.Buffer
	done := make(chan error)
	go func() { done <- out.run(&got) }()
	for i := range 1000 {
		out.Lock()
		out.append4(0x40, 2, byte(i>>8), byte(i))
		out.Unlock()
	}
	out.close()
	require.NoError(t, <-done)
	require.Equal(t, 4000, got.Len())
	for i := range 1000 {
		require.Equal(t, i, int(got.Bytes()[4*i+2])<<8|int(got.Bytes()[4*i+3]))
	}
	out.Lock()
	_, err := out.Write([]byte("late"))
	out.Unlock()
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// BenchmarkWindow settles with 65,535 messages in flight.
func BenchmarkWindow(b *testing.B) {
	w, out := testWindow(65535)
	for i := range 65534 {
		_, _, _ = w.add(uint16(i + 1))
	}
	next := uint64(1)
	for b.Loop() {
		_, _, _ = w.add(1)
		w.Done(next, bridge.Stored, nil)
		next++
		out.buf = out.buf[:0]
	}
}
