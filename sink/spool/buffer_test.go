package spool_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConfigReportsEverything(t *testing.T) {
	t.Parallel()
	err := spool.Config{MaxBytes: 5, Mode: 7}.Validate()
	for _, field := range []string{"Dir", "MaxBytes", "Mode"} {
		require.ErrorContains(t, err, field+":")
	}
	_, err = spool.Open(spool.Config{})
	require.ErrorContains(t, err, "Dir:")
	require.Equal(t, "durable volatile", spool.Durable.String()+" "+spool.Volatile.String())
}

func TestRecordsKeepAllTheirParts(t *testing.T) {
	t.Parallel()
	buf := open(t, spool.Config{Dir: t.TempDir()})
	want := []bridge.Record{
		{
			Dest: "stream", Key: []byte("k\x00"), HashKey: []byte("123"), Data: []byte("data"), Topic: "t/1", Rule: "r",
			Attrs: []bridge.Attr{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte{}}, {Name: "b"}}, Optional: true,
		},
		{Key: []byte{}, HashKey: []byte{}, Data: []byte{}, Topic: "t/2"},
		{Data: bytes.Repeat([]byte("large"), 100_000), Topic: "t/3"},
	}
	require.NoError(t, buf.Sink().Write(t.Context(), &bridge.Batch{Records: want}))
	rule := buf.Forward("real")
	require.Equal(t, []string{"$sources/buffered"}, rule.Filters())
	for i, m := range take(t, buf.Source(), len(want)) {
		require.Equal(t, spool.Event, m.Event, "no rule for the topic may see the message again")
		require.Equal(t, want[i].Topic, m.Topic)
		require.False(t, m.Received.IsZero())
		var out bridge.Out
		require.NoError(t, rule.Apply(&out, &m))
		w := want[i]
		w.Sink = "real"
		require.Equal(t, []bridge.Record{w}, out.Records())
	}
}

func TestSettledRecordsAreForgottenAndOthersReturn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buf := open(t, spool.Config{Dir: dir})
	sink := buf.Sink()
	for i := range 10 {
		require.NoError(t, sink.Write(t.Context(), records(i*10, i*10+10)))
	}
	for _, m := range take(t, buf.Source(), 100) {
		switch n := number(t, &m); {
		case n < 30:
			m.Delivery.Done(bridge.Stored, nil)
		case n < 40:
			m.Delivery.Done(bridge.Abandoned, errors.New("not delivered"))
		case n >= 90:
			m.Delivery.Done(bridge.Stored, nil)
		}
	}
	require.EqualValues(t, 60, buf.Stats().Pending)
	require.NoError(t, buf.Close())

	// Twice, so that what is settled is known although the file that said so
	// is not the newest any more.
	for range 2 {
		buf = open(t, spool.Config{Dir: dir})
		require.EqualValues(t, 60, buf.Stats().Pending)
		var got []int
		for _, m := range takeAll(t, buf.Source()) {
			got = append(got, number(t, &m))
		}
		require.Equal(t, numbers(30, 90), got)
		require.NoError(t, buf.Close())
	}
}

// TestWhatIsSettledIsNotForgottenWithAFile settles all but one record, whose file
// stays while the later ones, with the marks for it, are removed.
func TestWhatIsSettledIsNotForgottenWithAFile(t *testing.T) {
	t.Parallel()
	cfg := spool.Config{Dir: t.TempDir(), MaxBytes: 4 << 20, Mode: spool.Volatile, MemoryBytes: -1}
	buf := open(t, cfg)
	sink, source := buf.Sink(), buf.Source()
	for round := range 6 {
		for i := range 50 {
			at := round*5000 + i*100
			require.NoError(t, sink.Write(t.Context(), records(at, at+100)))
		}
		for _, m := range take(t, source, 5000) {
			if number(t, &m) != 777 {
				m.Delivery.Done(bridge.Stored, nil)
			}
		}
	}
	require.NoError(t, buf.Close())
	for range 3 {
		buf = open(t, cfg)
		got := takeAll(t, buf.Source())
		require.Less(t, len(got), 150, "a chunk is handed out again, not a file")
		require.True(t, slices.ContainsFunc(got, func(m bridge.Message) bool { return number(t, &m) == 777 }))
		require.NoError(t, buf.Close())
	}
}

func numbers(from, to int) []int {
	var list []int
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

func TestFilesAreRemovedWhenSettled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buf := open(t, spool.Config{Dir: dir, MaxBytes: 4 << 20, Mode: spool.Volatile, MemoryBytes: -1})
	sink, source := buf.Sink(), buf.Source()
	for round := range 8 { // 8 times 2 MB do not fit together
		for i := range 100 {
			require.NoError(t, sink.Write(t.Context(), records(i*100, i*100+100)), "round %d", round)
		}
		require.Greater(t, buf.Stats().Files, 2)
		for _, m := range take(t, source, 10_000) {
			m.Delivery.Done(bridge.Stored, nil)
		}
	}
	require.NoError(t, buf.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 1)
}

func TestQuotaRefusesUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	buf := open(t, spool.Config{Dir: t.TempDir(), MaxBytes: 1 << 20, Mode: spool.Volatile, MemoryBytes: -1})
	sink, source := buf.Sink(), buf.Source()
	written := 0
	var err error
	for ; err == nil; written += 100 {
		require.Less(t, written, 20_000)
		err = sink.Write(t.Context(), records(written, written+100))
	}
	written -= 100
	require.ErrorIs(t, err, spool.ErrFull)
	require.ErrorIs(t, err, bridge.ErrThrottled)
	require.ErrorIs(t, sink.Check(t.Context()), spool.ErrFull)
	require.EqualValues(t, 100, buf.Stats().Refused)
	for i, m := range take(t, source, written) {
		require.Equal(t, i, number(t, &m))
		m.Delivery.Done(bridge.Stored, nil)
	}
	require.NoError(t, sink.Write(t.Context(), records(0, 100)), "there is room at once")
	require.NoError(t, sink.Check(t.Context()))

	b := &bridge.Batch{Records: []bridge.Record{
		{Data: []byte("small")}, {Data: make([]byte, 1<<20)}, {Data: []byte("small")},
	}}
	require.NoError(t, sink.Write(t.Context(), b))
	failed := bridgetest.Failed(b)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[1], spool.ErrTooLarge)
	require.ErrorIs(t, failed[1], bridge.ErrPermanent)
	require.Len(t, take(t, source, 102), 102)
}

func TestOneBufferPerDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, spool.Config{Dir: dir})
	_, err := spool.Open(spool.Config{Dir: dir})
	require.ErrorIs(t, err, spool.ErrLocked)
}

func TestSidesCloseTheBuffer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buf := open(t, spool.Config{Dir: dir})
	sink, source := buf.Sink(), buf.Source()
	require.NoError(t, sink.Write(t.Context(), records(0, 1)))
	require.NoError(t, sink.Close(t.Context()))
	require.NoError(t, sink.Close(t.Context()))
	require.Len(t, take(t, source, 1), 1, "the other side still works")
	require.NoError(t, source.Close(t.Context()))
	require.ErrorIs(t, sink.Write(t.Context(), records(0, 1)), spool.ErrClosed)
	open(t, spool.Config{Dir: dir}) // not locked any more
}

func TestConcurrentWritesShareCommits(t *testing.T) {
	t.Parallel()
	buf := open(t, spool.Config{Dir: t.TempDir()})
	sink := buf.Sink()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range 20 {
				if err := sink.Write(t.Context(), records(i, i+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := buf.Stats()
	require.EqualValues(t, 320, s.Appended)
	require.Less(t, s.Commits, uint64(320))
}

// damage flips bytes of a file at random, so that each part is hit sometimes.
func damage(t *testing.T, path string, rnd *rand.Rand, n int) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for range n {
		data[rnd.IntN(len(data))] ^= byte(1 + rnd.IntN(255))
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestDamageIsSkippedAndCounted(t *testing.T) {
	t.Parallel()
	original := t.TempDir()
	buf := open(t, spool.Config{Dir: original, MaxBytes: 4 << 20, Mode: spool.Volatile, MemoryBytes: -1})
	sink, n := buf.Sink(), 6000
	for i := 0; i < n; i += 100 {
		require.NoError(t, sink.Write(t.Context(), records(i, i+100)))
	}
	require.Greater(t, buf.Stats().Files, 2)
	require.NoError(t, buf.Close())
	files, err := filepath.Glob(filepath.Join(original, "*.seg"))
	require.NoError(t, err)
	intact := 0
	for seed := range uint64(30) {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(original)))
		rnd := rand.New(rand.NewPCG(seed, 0))
		victim := filepath.Join(dir, filepath.Base(files[rnd.IntN(len(files))]))
		if seed%10 == 9 {
			require.NoError(t, os.Truncate(victim, rnd.Int64N(400_000)))
		} else {
			damage(t, victim, rnd, 1+rnd.IntN(30))
		}
		var log bytes.Buffer
		buf := open(t, spool.Config{Dir: dir, MaxBytes: 4 << 20, Mode: spool.Volatile, MemoryBytes: -1, Logger: textLog(&log)})
		last := -1
		got := takeAll(t, buf.Source())
		for _, m := range got {
			n := number(t, &m)
			require.Greater(t, n, last, "seed %d: order", seed)
			require.Equal(t, records(n, n+1).Records[0].Data, m.Payload, "seed %d: damage was handed out", seed)
			last = n
			m.Delivery.Done(bridge.Stored, nil)
		}
		s := buf.Stats()
		require.Zero(t, s.Pending, "seed %d", seed)
		lost := n - len(got)
		require.Equal(t, lost > 0, s.DamagedFiles+s.DamagedRecords > 0, "seed %d: %+v", seed, s)
		require.Equal(t, lost > 0, strings.Contains(log.String(), "damaged"), "seed %d: %s", seed, &log)
		intact += len(got)
		require.NoError(t, buf.Sink().Write(t.Context(), records(0, 1)), "it goes on")
		require.NoError(t, buf.Close())
	}
	require.Greater(t, intact, 30*n*9/10, "damage stays where it is")
}

func TestUnknownFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buf := open(t, spool.Config{Dir: dir})
	require.NoError(t, buf.Sink().Write(t.Context(), records(0, 1)))
	require.NoError(t, buf.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	require.NoError(t, err)
	spool.SetFormat(t, files[0], "2")
	_, err = spool.Open(spool.Config{Dir: dir})
	require.ErrorIs(t, err, spool.ErrFormat)
}

// TestModel compares a buffer, which is opened again at random, with a list.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		m := &model{t: t, cfg: spool.Config{Dir: dir, MaxBytes: 2 << 20, Mode: spool.Volatile, Logger: quiet()}}
		m.cfg.MemoryBytes = rapid.SampledFrom([]int64{-1, 30_000, 1 << 20}).Draw(rt, "memory")
		m.open(rt)
		defer func() { require.NoError(rt, m.buf.Close()) }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append,
			"read":   m.read,
			"settle": m.settle,
			"reopen": func(rt *rapid.T) {
				require.NoError(rt, m.buf.Close())
				m.open(rt)
			},
			"": m.check,
		})
	})
}

type model struct {
	t      *testing.T
	cfg    spool.Config
	buf    *spool.Buffer
	sink   *spool.Sink
	source *spool.Source

	next    int              // number of the next record
	pending map[int]bool     // appended and not settled
	flying  []bridge.Message // read and not settled
	last    int              // read since the buffer was opened
}

func (m *model) open(rt *rapid.T) {
	var err error
	m.buf, err = spool.Open(m.cfg)
	require.NoError(rt, err)
	m.sink, m.source = m.buf.Sink(), m.buf.Source()
	m.flying, m.last = nil, -1
	if m.pending == nil {
		m.pending = make(map[int]bool)
	}
}

func (m *model) append(rt *rapid.T) {
	n := rapid.IntRange(1, 200).Draw(rt, "records")
	err := m.sink.Write(m.t.Context(), records(m.next, m.next+n))
	if err != nil {
		require.ErrorIs(rt, err, spool.ErrFull)
		return
	}
	for i := range n {
		m.pending[m.next+i] = true
	}
	m.next += n
}

func (m *model) read(rt *rapid.T) {
	msgs := make([]bridge.Message, rapid.IntRange(1, 300).Draw(rt, "room"))
	n, err := m.source.Read(unwilling{m.t.Context()}, msgs)
	require.NoError(rt, err)
	for _, msg := range msgs[:n] {
		i := number(m.t, &msg)
		require.Greater(rt, i, m.last)
		for skipped := m.last + 1; skipped < i; skipped++ {
			require.False(rt, m.pending[skipped], "record %d was skipped", skipped)
		}
		m.last = i
		m.flying = append(m.flying, msg)
	}
	if n == 0 {
		for i := m.last + 1; i < m.next; i++ {
			require.False(rt, m.pending[i], "record %d is not handed out", i)
		}
	}
}

func (m *model) settle(rt *rapid.T) {
	if len(m.flying) == 0 {
		return
	}
	at := rapid.IntRange(0, len(m.flying)-1).Draw(rt, "from")
	n := rapid.IntRange(1, len(m.flying)-at).Draw(rt, "count")
	for _, msg := range m.flying[at : at+n] {
		msg.Delivery.Done(bridge.Stored, nil)
		delete(m.pending, number(m.t, &msg))
	}
	m.flying = slices.Delete(m.flying, at, at+n)
}

func (m *model) check(rt *rapid.T) {
	s := m.buf.Stats()
	require.Zero(rt, s.DamagedFiles+s.DamagedRecords+s.FailedCommits)
	require.GreaterOrEqual(rt, int(s.Pending), len(m.pending))
}
