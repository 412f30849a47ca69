package kinesis

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppendBase64(t *testing.T) {
	t.Parallel()
	data := make([]byte, 300)
	for i := range data {
		data[i] = byte(i * 167)
	}
	for n := range data {
		got := appendBase64([]byte("before"), data[:n])
		require.Equal(t, "before"+base64.StdEncoding.EncodeToString(data[:n]), string(got))
	}
}

func FuzzAppendBase64(f *testing.F) {
	f.Add([]byte("any carnal pleas"))
	f.Fuzz(func(t *testing.T, data []byte) {
		require.Equal(t, base64.StdEncoding.EncodeToString(data), string(appendBase64(nil, data)))
	})
}

func BenchmarkBase64(b *testing.B) {
	data, buf := make([]byte, 25<<10), make([]byte, 0, 40<<10)
	b.Run("standard", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			buf = base64.StdEncoding.AppendEncode(buf[:0], data)
		}
	})
	b.Run("own", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			buf = appendBase64(buf[:0], data)
		}
	})
}
