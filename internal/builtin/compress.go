package builtin

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"hash/crc32"
	"io"
	"math/bits"
	"strings"

	"github.com/sluiceio/sluice/internal/value"
)

func compressFunctions() []Function {
	return []Function{
		{
			Name: "gzip", Args: params("b", String), Min: 1, Pure: true, Doc: "Bytes compressed in the gzip format.",
			Call:     compress(gzipFormat),
			Examples: []Example{{Expr: "gunzip(gzip('abc'))", Result: `"abc"`}},
		},
		{
			Name: "gunzip", Args: params("b", String), Min: 1, Pure: true, Doc: "The content of bytes in the gzip format.",
			Call:     uncompress(func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }),
			Examples: []Example{{Expr: "gunzip('abc')", Error: true}},
		},
		{
			Name: "zip", Args: params("b", String), Min: 1, Pure: true, Doc: "Bytes compressed as a bare DEFLATE stream.",
			Call:     compress(rawFormat),
			Examples: []Example{{Expr: "unzip(zip('abc'))", Result: `"abc"`}},
		},
		{
			Name: "unzip", Args: params("b", String), Min: 1, Pure: true, Doc: "The content of a bare DEFLATE stream.",
			Call:     uncompress(func(r io.Reader) (io.ReadCloser, error) { return flate.NewReader(r), nil }),
			Examples: []Example{{Expr: "unzip(hexstr2bin('CB48CDC9C90700'))", Result: `"hello"`}},
		},
		{
			Name: "zip_compress", Args: params("b", String), Min: 1, Pure: true, Doc: "Bytes compressed in the zlib format.",
			Call:     compress(zlibFormat),
			Examples: []Example{{Expr: "zip_uncompress(zip_compress('abc'))", Result: `"abc"`}},
		},
		{
			Name: "zip_uncompress", Args: params("b", String), Min: 1, Pure: true, Doc: "The content of bytes in the zlib format.",
			Call:     uncompress(zlib.NewReader),
			Examples: []Example{{Expr: "zip_uncompress(hexstr2bin('789CCB48CDC9C90700062C0215'))", Result: `"hello"`}},
		},
	}
}

// format is a wrapping of a DEFLATE stream.
type format struct {
	head string
	tail func(dst []byte, content string) []byte
}

var (
	rawFormat  = format{"", func(dst []byte, _ string) []byte { return dst }}
	zlibFormat = format{"\x78\x9c", func(dst []byte, s string) []byte { // RFC 1950
		return binary.BigEndian.AppendUint32(dst, adler32.Checksum(bytesOf(s)))
	}}
	gzipFormat = format{"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", func(dst []byte, s string) []byte { // RFC 1952, from Unix
		dst = binary.LittleEndian.AppendUint32(dst, crc32.ChecksumIEEE(bytesOf(s)))
		return binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
	}}
)

func compress(f format) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) {
		s := args[0].AsString()
		b, err := c.Env.deflate(append(c.Arena.Buffer(len(s)/2+64), f.head...), s)
		if err != nil {
			return value.Undefined(), err
		}
		return c.keep(f.tail(b, s))
	}
}

// singleBlock is the length up to which compress/flate writes one block: it
// collects 16,384 symbols at most.
const singleBlock = 1<<14 - 1

// deflate appends s as a DEFLATE stream (RFC 1951).
func (e *Env) deflate(dst []byte, s string) ([]byte, error) {
	if s == "" {
		return append(dst, 3, 0), nil
	}
	start := len(dst)
	out := bytes.NewBuffer(dst)
	w, _ := e.deflaters.Get().(*flate.Writer)
	if w == nil {
		w, _ = flate.NewWriter(out, flate.DefaultCompression) // the level is valid
	}
	defer e.deflaters.Put(w) // it is large
	w.Reset(out)
	if _, err := io.WriteString(w, s); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	if len(s) > singleBlock {
		return out.Bytes(), nil
	}
	return finishBlock(out.Bytes(), start), nil
}

// finishBlock takes the empty block away that compress/flate puts at the end of a
// stream, as zlib does not, and marks the only block before it as the last one. The
// empty block is a one bit, two zero bits, zero bits up to a byte's end, and four
// bytes for its length.
func finishBlock(b []byte, start int) []byte {
	last := len(b) - 5
	if b[last] == 0 {
		last--
	}
	mark := bits.Len8(b[last]) - 1
	b[last] &^= 1 << mark
	b[start] |= 1
	if mark == 0 {
		last--
	}
	return b[:last+1]
}

// uncompress stops when the content exceeds the arena's limit, so that a few bytes
// cannot fill the memory.
func uncompress(open func(io.Reader) (io.ReadCloser, error)) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) {
		s := args[0].AsString()
		r, err := open(strings.NewReader(s))
		if err != nil {
			return value.Undefined(), err
		}
		b := c.Arena.Buffer(4 * len(s))
		for {
			if len(b) == cap(b) {
				b = append(b, 0)[:len(b)]
			}
			n, err := r.Read(b[len(b):cap(b)])
			b = b[:len(b)+n]
			if errors.Is(err, io.EOF) {
				return c.keep(b)
			}
			if err == nil {
				err = c.Arena.Room(len(b))
			}
			if err != nil {
				return value.Undefined(), err
			}
		}
	}
}
