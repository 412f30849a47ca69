package kinesis

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		``:                            "\n",
		`{"a":1}`:                     "{\"a\":1}\n",
		"{\"a\":1}\n":                 "{\"a\":1}\n",
		"{\r\n \"a\": \"b\\nc\"\r\n}": "{   \"a\": \"b\\nc\"  }\n",
		"text\r\n":                    "text\n",
		"a\rb":                        "a\rb\n",
		"two\nlines":                  "",
		"{\"a\":1}\n{\"b\":2}":        "",
	} {
		got, err := appendLine([]byte("before "), []byte(data))
		if want == "" {
			require.ErrorIs(t, err, errNoLine, data)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "before "+want, string(got))
	}
}

// TestLines packs lanes, without a record that is no line.
func TestLines(t *testing.T) {
	t.Parallel()
	f := new(fake)
	var got []Receipt
	s := f.sink(t, Config{Stream: "s", Pack: Lines, OnReceipt: func(r []Receipt) { got = append(got, r...) }})
	b := batchOf(s, "a=1", "a=two\nlines", "a=3", "b={\n}", "c=", "a2=7")
	failed := failures(t, s, b)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[1], bridge.ErrPermanent)
	require.ErrorContains(t, failed[1], "newline")
	require.Equal(t, []putEntry{
		{[]byte("1\n3\n"), "a", ""}, {[]byte("{ }\n"), "b", ""}, {[]byte("\n"), "c", ""}, {[]byte("7\n"), "a2", ""},
	}, f.stored)
	require.Len(t, got, 5)
	require.Equal(t, []int{2, 1}, []int{got[1].Index, got[1].SubSequence})

	l := s.Limits()
	require.Equal(t, MaxEntries, l.Lanes)
	require.Equal(t, PayloadUnit, l.LaneBytes)
	require.Equal(t, aggregateTime, l.BatchTime)
}

// TestLinesOfDifferentShards has records of one key with hash keys of their own,
// which may belong to different shards.
func TestLinesOfDifferentShards(t *testing.T) {
	t.Parallel()
	for ordering, stored := range map[Ordering]int{Strict: 1, Relaxed: 3} {
		f := new(fake)
		s := f.sink(t, Config{Stream: "s", Pack: Lines, Ordering: ordering})
		b := new(bridge.Batch)
		for i, hash := range []string{"1", "1", "2", "1"} {
			b.Add(bridge.Record{Key: []byte("k"), HashKey: []byte(hash), Data: fmt.Append(nil, i)})
		}
		failed := failures(t, s, b)
		require.Len(t, f.stored, stored)
		require.Equal(t, putEntry{[]byte("0\n1\n"), "k", "1"}, f.stored[0])
		require.Equal(t, ordering == Strict, len(failed) == 2, "those that must wait")
	}
}

func TestLinesAreCut(t *testing.T) {
	t.Parallel()
	for ordering, stored := range map[Ordering]int{Strict: 1, Relaxed: 20} {
		f := new(fake)
		s := f.sink(t, Config{Stream: "s", Pack: Lines, Ordering: ordering, AggregateBytes: 1 << 10, MaxRecordBytes: 2 << 10})
		b := new(bridge.Batch)
		for range 100 {
			b.Add(bridge.Record{Key: []byte("k"), Data: make([]byte, 199)})
		}
		failed := failures(t, s, b)
		require.Len(t, f.stored, stored)
		for _, e := range f.stored {
			require.LessOrEqual(t, len(e.Data)+1, 2<<10)
		}
		for i := range failed {
			require.GreaterOrEqual(t, i, 10, "what comes first is stored")
		}
	}
}

func TestLinesTooLong(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", Pack: Lines, MaxRecordBytes: 100})
	failed := failures(t, s, batchOf(s, "a=1", "a="+repeat("x", 99), "a=3", "a="+repeat("y", 98)))
	require.Len(t, failed, 2)
	require.ErrorIs(t, failed[1], bridge.ErrPermanent)
	require.NotErrorIs(t, failed[3], bridge.ErrPermanent, "it fits by itself")
	require.Equal(t, []putEntry{{[]byte("1\n3\n"), "a", ""}}, f.stored)
}

func TestBadLineIsIsolated(t *testing.T) {
	t.Parallel()
	f := &fake{put: picky(true)}
	s := f.sink(t, Config{Stream: "s", Pack: Lines})
	failed := failures(t, s, batchOf(s, "a=1", "a=2", "a=bad", "a=3", "a=4"))
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[2], bridge.ErrPermanent)
	require.Equal(t, "1234", strings.ReplaceAll(strings.Join(userData(f.stored), ""), "\n", ""))
}

// TestCompressedLines compresses what is packed, not each line, for a library-less
// consumer has to find the lines again.
func TestCompressedLines(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s", Pack: Lines, Compression: Gzip, MaxRecordBytes: 1 << 10})
	require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a="+repeat("1", 400), "a="+repeat("2", 400), "b="+repeat("3", 9000))))
	require.Len(t, f.stored, 2)
	r, err := gzip.NewReader(bytes.NewReader(f.stored[0].Data))
	require.NoError(t, err)
	plain, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, repeat("1", 400)+"\n"+repeat("2", 400)+"\n", string(plain))
}

func TestUnpackLines(t *testing.T) {
	t.Parallel()
	record := func(data string) types.Record {
		return types.Record{Data: []byte(data), PartitionKey: aws.String("k"), SequenceNumber: aws.String("7")}
	}
	line := func(data string, sub int) UserRecord {
		return UserRecord{PartitionKey: "k", Data: []byte(data), SequenceNumber: "7", SubSequence: sub, Aggregated: true}
	}
	require.Equal(t, []UserRecord{line("a", 0), line("", 1), line("c", 2)}, slices.Collect(UnpackLines(record("a\n\nc\n"))))
	require.Equal(t, []UserRecord{line("a", 0), line("b", 1)}, slices.Collect(UnpackLines(record("a\nb"))))
	require.Equal(t, []UserRecord{{PartitionKey: "k", Data: []byte("plain"), SequenceNumber: "7"}}, slices.Collect(UnpackLines(record("plain"))))
	require.Equal(t, []UserRecord{line("a", 0), line("b", 0)}, slices.Collect(UnpackLines(record("a\n"), record("b\n"))))
	require.Empty(t, slices.Collect(UnpackLines()))
}

func TestPackingTexts(t *testing.T) {
	t.Parallel()
	for _, p := range []Packing{NoPacking, Lines} {
		var back Packing
		require.NoError(t, back.UnmarshalText([]byte(p.String())))
		require.Equal(t, p, back)
	}
	require.Error(t, new(Packing).UnmarshalText([]byte("kpl")))
	require.ErrorContains(t, Config{Pack: Lines, Aggregate: true}.Validate(), "exclude each other")
	require.ErrorContains(t, Config{Pack: 7}.Validate(), "Config.Pack: ")
}
