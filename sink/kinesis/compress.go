package kinesis

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression is applied to the data of each record by itself, before it is
// aggregated. Kinesis does not know about it: consumers must undo it.
type Compression uint8

// The supported compressions.
const (
	None Compression = iota
	Gzip
	Zstd
)

// String returns "none", "gzip" or "zstd".
func (c Compression) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	default:
		return "none"
	}
}

// UnmarshalText reads "none", "gzip" or "zstd".
func (c *Compression) UnmarshalText(text []byte) error {
	for _, v := range []Compression{None, Gzip, Zstd} {
		if string(text) == v.String() {
			*c = v
			return nil
		}
	}
	return fmt.Errorf("compression %q is none of none, gzip, zstd", text)
}

// compressor appends compressed data to a buffer; safe for concurrent use.
type compressor struct {
	gzips sync.Pool // of *gzip.Writer
	zstd  *zstd.Encoder
}

func newCompressor(c Compression) (*compressor, error) {
	switch c {
	case Gzip:
		z := &compressor{}
		z.gzips.New = func() any {
			w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
			return w
		}
		return z, nil
	case Zstd:
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		return &compressor{zstd: enc}, err
	}
	return nil, nil
}

func (z *compressor) append(dst, data []byte) []byte {
	if z.zstd != nil {
		return z.zstd.EncodeAll(data, dst)
	}
	buf := bytes.NewBuffer(dst)
	w := z.gzips.Get().(*gzip.Writer)
	w.Reset(buf)
	_, _ = w.Write(data) // a bytes.Buffer takes everything
	_ = w.Close()
	z.gzips.Put(w)
	return buf.Bytes()
}
