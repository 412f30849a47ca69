package kpl

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

// The vectors were made with the reference implementation for Node.js,
// aws-kinesis-agg 4.2.8.
const (
	goldenKeys = "f3899ac20a056465762d310a056465762d321a0908001a0568656c6c6f1a0908011a05776f726c641a0908001a05616761696e" +
		"cdbb3f4ec26019aa8f96129e3989ea91"
	goldenHashKey = "f3899ac20a056465762d310a056465762d32120531323334351a0b080010001a0568656c6c6f1a0b080110001a05776f726c64" +
		"1a0b080010001a05616761696ea29c6d8bc9c54f1dde0f7d03a9400bb9"
)

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		hashKey []byte
		want    string
	}{
		{"keys only", nil, goldenKeys},
		{"shared hash key", []byte("12345"), goldenHashKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e Encoder
			e.Reset(tc.hashKey)
			e.Add([]byte("dev-1"), []byte("hello"), nil)
			e.Add([]byte("dev-2"), []byte("world"), nil)
			require.Equal(t, len(tc.want)/2-2-len("\x08\x00")-2-len("again")-hashIndexSize(tc.hashKey), e.Size())
			require.Equal(t, len(tc.want)/2, e.SizeWith([]byte("dev-1"), []byte("again"), nil))
			e.Add([]byte("dev-1"), []byte("again"), nil)

			got := e.Append(nil)
			require.Equal(t, tc.want, hex.EncodeToString(got))
			require.Len(t, got, e.Size())

			records, ok := Decode(nil, got)
			require.True(t, ok)
			require.Equal(t, []Record{
				{Key: []byte("dev-1"), HashKey: tc.hashKey, Data: []byte("hello")},
				{Key: []byte("dev-2"), HashKey: tc.hashKey, Data: []byte("world")},
				{Key: []byte("dev-1"), HashKey: tc.hashKey, Data: []byte("again")},
			}, records)
		})
	}
}

func hashIndexSize(hashKey []byte) int {
	if hashKey == nil {
		return 0
	}
	return 2
}

// oracle encodes with protobuf's own wire package.
func oracle(hashKey []byte, records []Record) []byte {
	var tables, body []byte
	index := map[string]int{}
	for _, r := range records {
		if _, ok := index[string(r.Key)]; !ok {
			index[string(r.Key)] = len(index)
			tables = protowire.AppendTag(tables, 1, protowire.BytesType)
			tables = protowire.AppendBytes(tables, r.Key)
		}
		var m []byte
		m = protowire.AppendTag(m, 1, protowire.VarintType)
		m = protowire.AppendVarint(m, uint64(index[string(r.Key)]))
		if hashKey != nil {
			m = protowire.AppendTag(m, 2, protowire.VarintType)
			m = protowire.AppendVarint(m, 0)
		}
		m = protowire.AppendTag(m, 3, protowire.BytesType)
		m = protowire.AppendBytes(m, r.Data)
		if r.ID != nil {
			tag := protowire.AppendTag(nil, 1, protowire.BytesType)
			tag = protowire.AppendString(tag, "id")
			tag = protowire.AppendTag(tag, 2, protowire.BytesType)
			tag = protowire.AppendBytes(tag, r.ID)
			m = protowire.AppendTag(m, 4, protowire.BytesType)
			m = protowire.AppendBytes(m, tag)
		}
		body = protowire.AppendTag(body, 3, protowire.BytesType)
		body = protowire.AppendBytes(body, m)
	}
	if hashKey != nil {
		tables = protowire.AppendTag(tables, 2, protowire.BytesType)
		tables = protowire.AppendBytes(tables, hashKey)
	}
	return frame(append(tables, body...))
}

func frame(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte(magic), message...), sum[:]...)
}

func TestEncoderAgainstOracle(t *testing.T) {
	t.Parallel()
	var e Encoder // reused: nothing may be left over from one aggregate to the next
	rapid.Check(t, func(t *rapid.T) {
		var hashKey []byte
		if rapid.Bool().Draw(t, "hash key") {
			hashKey = []byte(rapid.StringMatching(`[1-9][0-9]{0,38}`).Draw(t, "hashKey"))
		}
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 400).Draw(t, "keys")
		n := rapid.IntRange(0, 500).Draw(t, "n")
		var records []Record
		e.Reset(hashKey)
		keyAndData, overhead := 0, 0
		for i := range n {
			r := Record{Key: keys[(i*7)%len(keys)], HashKey: hashKey, Data: bytes.Repeat([]byte{byte(i)}, (i*i)%200)}
			if i%3 > 0 {
				r.ID = bytes.Repeat([]byte("i"), 1+i%MaxID)
				overhead += IDOverhead + len(r.ID)
			}
			want := e.SizeWith(r.Key, r.Data, r.ID)
			e.Add(r.Key, r.Data, r.ID)
			if e.Size() != want {
				t.Fatalf("SizeWith %d, Size %d", want, e.Size())
			}
			records = append(records, r)
			keyAndData += len(r.Key) + len(r.Data)
		}
		got := e.Append(nil)
		if want := oracle(hashKey, records); !bytes.Equal(got, want) {
			t.Fatalf("got  %x\nwant %x", got, want)
		}
		if len(got) != e.Size() || e.Len() != n {
			t.Fatalf("Size %d, Len %d for %d bytes, %d records", e.Size(), e.Len(), len(got), n)
		}
		if bound := FixedOverhead + keyAndData + overhead + n*MaxOverhead; len(got) > bound {
			t.Fatalf("%d bytes exceed the bound of %d", len(got), bound)
		}
		if n == 0 {
			return // consumers take an aggregate of nothing for a plain record when it has no bytes
		}
		back, ok := Decode(nil, got)
		if !ok || len(back) != n {
			t.Fatalf("decoded %d of %d records, %t", len(back), n, ok)
		}
		for i := range back {
			if !bytes.Equal(back[i].Key, records[i].Key) || !bytes.Equal(back[i].Data, records[i].Data) ||
				!bytes.Equal(back[i].HashKey, hashKey) || !bytes.Equal(back[i].ID, records[i].ID) {
				t.Fatalf("record %d: %+v, want %+v", i, back[i], records[i])
			}
		}
	})
}

// TestOverheadBound takes the largest indexes and lengths that MaxOverhead
// promises to cover.
func TestOverheadBound(t *testing.T) {
	t.Parallel()
	var e Encoder
	e.Reset([]byte(strings.Repeat("9", 39)))
	for i := range 1<<14 - 1 {
		e.Add(fmt.Appendf(nil, "%05d%0200d", i, 0), nil, nil)
	}
	before := e.Size()
	key, data := bytes.Repeat([]byte("k"), 1024), make([]byte, 1<<20)
	id := make([]byte, MaxID)
	e.Add(key, data, id)
	require.LessOrEqual(t, e.Size()-before-len(key)-len(data), MaxOverhead+IDOverhead+len(id))
}

func TestDecodeTablesBehindRecordsAndUnknownFields(t *testing.T) {
	t.Parallel()
	record := []byte{0x08, 0, 0x1a, 2, 'h', 'i', 0x22, 3, 0x0a, 1, 'x'} // with a tag
	message := append([]byte{0x1a, byte(len(record))}, record...)
	message = append(message, 0x09, 1, 2, 3, 4, 5, 6, 7, 8) // field 1 as fixed64: not the table
	message = append(message, 0x2d, 1, 2, 3, 4)             // unknown fixed32
	message = append(message, 0x30, 0xff, 1)                // unknown varint
	message = append(message, 0x0a, 1, 'k')
	got, ok := Decode(nil, frame(message))
	require.True(t, ok)
	require.Equal(t, []Record{{Key: []byte("k"), Data: []byte("hi")}}, got)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good, err := hex.DecodeString(goldenKeys)
	require.NoError(t, err)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{
		"nothing":          nil,
		"plain":            []byte("hello"),
		"magic only":       []byte(magic),
		"no message":       frame(nil),
		"checksum":         flipped,
		"cut":              good[:len(good)-1],
		"key index":        frame([]byte{0x0a, 1, 'k', 0x1a, 4, 0x08, 1, 0x1a, 0}),
		"hash key index":   frame([]byte{0x0a, 1, 'k', 0x1a, 6, 0x08, 0, 0x10, 0, 0x1a, 0}),
		"no key":           frame([]byte{0x0a, 1, 'k', 0x1a, 2, 0x1a, 0}),
		"no data":          frame([]byte{0x0a, 1, 'k', 0x1a, 2, 0x08, 0}),
		"length too long":  frame([]byte{0x0a, 9, 'k'}),
		"huge length":      frame([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}),
		"group":            frame([]byte{0x0b, 0x0c}),
		"field number 0":   frame([]byte{0x02, 0}),
		"unfinished tag":   frame([]byte{0x80}),
		"unfinished fixed": frame([]byte{0x09, 1}),
	} {
		before := []Record{{Key: []byte("before")}}
		got, ok := Decode(before, data)
		require.False(t, ok, name)
		require.Equal(t, before, got, name)
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	keys, data := make([][]byte, 110), bytes.Repeat([]byte("d"), 200)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "device-%06d", i)
	}
	hashKey := []byte("170141183460469231731687303715884105728")
	var e Encoder
	buf := make([]byte, 0, 64<<10)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		e.Reset(hashKey)
		for _, k := range keys {
			e.Add(k, data, nil)
		}
		buf = e.Append(buf[:0])
	}))
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{goldenKeys, goldenHashKey} {
		b, _ := hex.DecodeString(s)
		f.Add(b[len(magic):len(b)-md5.Size], true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, framed bool) {
		if framed {
			b = frame(b) // otherwise the checksum keeps all but the seeds out
		}
		records, ok := Decode(nil, b)
		if !ok {
			require.Empty(t, records)
			return
		}
		require.NotEmpty(t, b)
		var e Encoder
		for _, r := range records {
			e.Add(r.Key, r.Data, r.ID)
		}
		if e.Len() == 0 {
			return
		}
		again, ok := Decode(nil, e.Append(nil))
		require.True(t, ok)
		require.Len(t, again, len(records))
		for i := range again {
			require.Equal(t, string(records[i].Key), string(again[i].Key))
			require.Equal(t, string(records[i].Data), string(again[i].Data))
			require.Equal(t, string(records[i].ID), string(again[i].ID))
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	keys, data := make([][]byte, 110), bytes.Repeat([]byte("d"), 200)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "device-%06d", i)
	}
	hashKey := []byte("170141183460469231731687303715884105728")
	var e Encoder
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		e.Reset(hashKey)
		for _, k := range keys {
			e.Add(k, data, nil)
		}
		buf = e.Append(buf[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/record")
}
