package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// A chunk is the unit that lies under one key of a segment:
//
//	header  crc u32 | seq u64 | count u32 | appended i64 (Unix time, ns)
//	frame   crc u32 | length u32 | body            count times
//
// Numbers are big endian. The checksums, CRC-32C, cover what follows them in the
// header or frame. The body of a record is
//
//	flags byte | dest | key | hash key | topic | rule | attributes | data
//
// where a text is its length and its bytes, a byte slice that may be nil has its
// length plus one (0: nil), attributes are their number and then names and
// values, lengths are uvarints, and data goes on to the end.
const (
	headerSize = 4 + 8 + 4 + 8
	frameSize  = 4 + 4
	// chunkSize is how large chunks grow. Two make a leaf of the store's tree
	// of just less than four pages; larger ones are written again more often
	// than needed, because the store rewrites its last leaf with each commit.
	chunkSize = 8000
	keySize   = 8 + 4

	flagOptional = 1
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errDamaged = errors.New("damaged")
)

// chunk is a chunk with its place. Records seq to seq+count-1 are in it.
type chunk struct {
	seq   uint64
	count int
	data  []byte
}

// key orders chunks by their first record.
func (c chunk) key() []byte {
	k := make([]byte, 0, keySize)
	k = binary.BigEndian.AppendUint64(k, c.seq)
	return binary.BigEndian.AppendUint32(k, uint32(c.count))
}

func parseChunkKey(k []byte) (seq uint64, count int, ok bool) {
	if len(k) != keySize {
		return 0, 0, false
	}
	n := binary.BigEndian.Uint32(k[8:])
	return binary.BigEndian.Uint64(k), int(n), n <= math.MaxInt32
}

// intact reports whether the chunk is what its key says. Its records may still be
// damaged.
func (c chunk) intact() bool {
	return len(c.data) >= headerSize && c.count > 0 &&
		binary.BigEndian.Uint32(c.data) == crc32.Checksum(c.data[4:headerSize], castagnoli) &&
		binary.BigEndian.Uint64(c.data[4:]) == c.seq && binary.BigEndian.Uint32(c.data[12:]) == uint32(c.count)
}

// putHeader completes a chunk that was begun with headerSize free bytes.
func putHeader(data []byte, seq uint64, count int, now time.Time) {
	binary.BigEndian.PutUint64(data[4:], seq)
	binary.BigEndian.PutUint32(data[12:], uint32(count))
	binary.BigEndian.PutUint64(data[16:], uint64(now.UnixNano()))
	binary.BigEndian.PutUint32(data, crc32.Checksum(data[4:headerSize], castagnoli))
}

// appendFrame appends a record with its frame.
func appendFrame(dst []byte, r *bridge.Record) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, frameSize)...)
	dst = appendRecord(dst, r)
	frame := dst[at:]
	binary.BigEndian.PutUint32(frame[4:], uint32(len(frame)-frameSize))
	binary.BigEndian.PutUint32(frame, crc32.Checksum(frame[4:], castagnoli))
	return dst
}

// records calls yield for every intact record of an intact chunk and returns when
// the chunk was appended and how many records were. What a record holds refers to
// the chunk's memory and may be kept; the record itself is used again.
func (c chunk) records(yield func(*bridge.Record)) (appended time.Time, intact int) {
	if !c.intact() {
		return time.Time{}, 0
	}
	appended = time.Unix(0, int64(binary.BigEndian.Uint64(c.data[16:])))
	var r bridge.Record
	for rest := c.data[headerSize:]; len(rest) >= frameSize; {
		length := uint64(binary.BigEndian.Uint32(rest[4:]))
		if length > uint64(len(rest)-frameSize) {
			break // the length is damaged; nobody knows where the next frame is
		}
		frame := rest[:frameSize+length]
		rest = rest[len(frame):]
		if binary.BigEndian.Uint32(frame) == crc32.Checksum(frame[4:], castagnoli) &&
			decodeRecord(frame[frameSize:], &r) == nil && intact < c.count {
			intact++
			yield(&r)
		}
	}
	return appended, intact
}

func appendRecord(dst []byte, r *bridge.Record) []byte {
	var flags byte
	if r.Optional {
		flags |= flagOptional
	}
	dst = append(dst, flags)
	dst = appendText(dst, r.Dest)
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.HashKey)
	dst = appendText(dst, r.Topic)
	dst = appendText(dst, r.Rule)
	dst = binary.AppendUvarint(dst, uint64(len(r.Attrs)))
	for i := range r.Attrs {
		dst = appendText(dst, r.Attrs[i].Name)
		dst = appendBytes(dst, r.Attrs[i].Value)
	}
	return append(dst, r.Data...)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))+1), b...)
}

// decodeRecord sets r to what body holds; its byte slices refer to body. Texts
// that are those of the record before are not made again.
func decodeRecord(body []byte, r *bridge.Record) error {
	d := decoder{rest: body}
	flags := d.take(1)
	setText(&r.Dest, d.text())
	r.Key, r.HashKey = d.bytes(), d.bytes()
	setText(&r.Topic, d.text())
	setText(&r.Rule, d.text())
	r.Attrs = nil
	n := d.uvarint()
	if n > uint64(len(d.rest)) { // each takes two bytes at least
		d.err = errDamaged
	}
	if d.err == nil && n > 0 {
		r.Attrs = make([]bridge.Attr, n)
		for i := range r.Attrs {
			r.Attrs[i] = bridge.Attr{Name: string(d.text()), Value: d.bytes()}
		}
	}
	if d.err != nil {
		return fmt.Errorf("record of %d bytes: %w", len(body), d.err)
	}
	r.Optional = flags[0]&flagOptional != 0
	r.Data = d.rest
	return nil
}

func setText(s *string, b []byte) {
	if *s != string(b) {
		*s = string(b)
	}
}

// decoder reads a body; after an error it returns empty values.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.err, d.rest = errDamaged, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.rest)) {
		d.err, d.rest = errDamaged, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) text() []byte { return d.take(d.uvarint()) }

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	return d.take(n - 1)
}
