package spool

import (
	"testing"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/stretchr/testify/require"
)

func FuzzDecodeRecord(f *testing.F) {
	f.Add(appendRecord(nil, &bridge.Record{
		Dest: "d", Key: []byte("k"), HashKey: []byte{}, Topic: "t", Rule: "r", Data: []byte("data"),
		Attrs: []bridge.Attr{{Name: "a", Value: []byte("v")}, {Name: "b"}}, Optional: true,
	}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, body []byte) {
		var r, again bridge.Record
		if decodeRecord(body, &r) != nil {
			return
		}
		require.NoError(t, decodeRecord(appendRecord(nil, &r), &again))
		require.Equal(t, r, again)
	})
}

func FuzzReadChunk(f *testing.F) {
	data := appendFrame(make([]byte, headerSize), &bridge.Record{Data: []byte("one")})
	data = appendFrame(data, &bridge.Record{Data: []byte("two")})
	putHeader(data, 7, 2, time.Unix(1, 0))
	f.Add(uint64(7), 2, data)
	f.Fuzz(func(t *testing.T, seq uint64, count int, data []byte) {
		n := 0
		_, intact := chunk{seq, count, data}.records(func(*bridge.Record) { n++ })
		require.Equal(t, intact, n)
	})
}

func TestChunkSkipsWhatIsDamagedOnly(t *testing.T) {
	t.Parallel()
	texts := []string{"first", "second", "third"}
	data := make([]byte, headerSize)
	for _, text := range texts {
		data = appendFrame(data, &bridge.Record{Data: []byte(text)})
	}
	putHeader(data, 7, 3, time.Unix(1, 0))
	for at := range data {
		bad := append([]byte(nil), data...)
		bad[at] ^= 0x10
		left := texts
		_, intact := chunk{7, 3, bad}.records(func(r *bridge.Record) {
			for len(left) > 0 && left[0] != string(r.Data) {
				left = left[1:]
			}
			require.NotEmpty(t, left, "byte %d: %q", at, r.Data)
		})
		require.Less(t, intact, 3, "byte %d", at)
	}
	_, intact := chunk{7, 3, data}.records(func(*bridge.Record) {})
	require.Equal(t, 3, intact)
}
