package builtin

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"

	"github.com/sluiceio/sluice/internal/value"
)

func compressFunctions() []Function {
	return []Function{
		{
			Name: "gzip", Args: params("b", String), Min: 1, Pure: true, Doc: "Bytes compressed in the gzip format.",
			Call:     compress(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
			Examples: []Example{{Expr: "gunzip(gzip('abc'))", Result: `"abc"`}},
		},
		{
			Name: "gunzip", Args: params("b", String), Min: 1, Pure: true, Doc: "The content of bytes in the gzip format.",
			Call:     uncompress(func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }),
			Examples: []Example{{Expr: "gunzip('abc')", Error: true}},
		},
		{
			Name: "zip", Args: params("b", String), Min: 1, Pure: true, Doc: "Bytes compressed as a bare DEFLATE stream.",
			Call: compress(func(w io.Writer) io.WriteCloser {
				z, _ := flate.NewWriter(w, flate.DefaultCompression) // the level is valid
				return z
			}),
			Examples: []Example{{Expr: "unzip(zip('abc'))", Result: `"abc"`}},
		},
		{
			Name: "unzip", Args: params("b", String), Min: 1, Pure: true, Doc: "The content of a bare DEFLATE stream.",
			Call:     uncompress(func(r io.Reader) (io.ReadCloser, error) { return flate.NewReader(r), nil }),
			Examples: []Example{{Expr: "unzip(hexstr2bin('CB48CDC9C90700'))", Result: `"hello"`}},
		},
		{
			Name: "zip_compress", Args: params("b", String), Min: 1, Pure: true, Doc: "Bytes compressed in the zlib format.",
			Call:     compress(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
			Examples: []Example{{Expr: "zip_uncompress(zip_compress('abc'))", Result: `"abc"`}},
		},
		{
			Name: "zip_uncompress", Args: params("b", String), Min: 1, Pure: true, Doc: "The content of bytes in the zlib format.",
			Call:     uncompress(zlib.NewReader),
			Examples: []Example{{Expr: "zip_uncompress(hexstr2bin('789CCB48CDC9C90700062C0215'))", Result: `"hello"`}},
		},
	}
}

func compress(open func(io.Writer) io.WriteCloser) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) {
		s := args[0].AsString()
		out := bytes.NewBuffer(c.Arena.Buffer(len(s)/2 + 64))
		w := open(out)
		if _, err := io.WriteString(w, s); err != nil {
			return value.Undefined(), err
		}
		if err := w.Close(); err != nil {
			return value.Undefined(), err
		}
		return c.keep(out.Bytes())
	}
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
			if err == io.EOF {
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
