package kinesistest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// iteratorLife is how long shard iterators and NextTokens can be used.
const iteratorLife = 300 * time.Second

// iterator is a place in a shard. Its text is opaque to clients: base64 of
// the fields and a checksum.
type iterator struct {
	issued  int64  // Unix milliseconds
	created int64  // of the stream, to tell streams of one name apart
	index   uint64 // of the next record to read
	shard   uint32
	stream  string
}

const iteratorVersion = 1

// String is the form that clients get.
func (it iterator) String() string {
	b := binary.BigEndian.AppendUint64(nil, iteratorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(it.issued))
	b = binary.BigEndian.AppendUint64(b, uint64(it.created))
	b = binary.BigEndian.AppendUint64(b, it.index)
	b = binary.BigEndian.AppendUint32(b, it.shard)
	b = append(b, it.stream...)
	// The service's are at least this long, so buffers get their exercise.
	b = append(b, make([]byte, max(0, 148-len(b)))...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.StdEncoding.EncodeToString(b)
}

func parseIterator(text string) (it iterator, ok bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 40 {
		return it, false
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum || binary.BigEndian.Uint64(body) != iteratorVersion {
		return it, false
	}
	return iterator{
		issued:  int64(binary.BigEndian.Uint64(body[8:])),
		created: int64(binary.BigEndian.Uint64(body[16:])),
		index:   binary.BigEndian.Uint64(body[24:]),
		shard:   binary.BigEndian.Uint32(body[32:]),
		stream:  string(bytes.TrimRight(body[36:], "\x00")),
	}, true
}

// amzTime is a time as the messages of the service show it.
func amzTime(t time.Time) string { return t.UTC().Format("Mon Jan 02 15:04:05 UTC 2006") }
