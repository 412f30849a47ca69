package kinesistest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// frameHeader is the length of a record's rest and its checksum.
const frameHeader = 8

// appendFrame appends a record as it is in a segment.
func appendFrame(dst []byte, r *stored) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameHeader)...)
	dst = binary.AppendVarint(dst, r.arrival)
	dst = binary.AppendUvarint(dst, uint64(len(r.key)))
	dst = append(dst, r.key...)
	dst = binary.AppendUvarint(dst, uint64(len(r.hash)))
	dst = append(dst, r.hash...)
	dst = append(dst, r.data...)
	body := dst[start+frameHeader:]
	binary.BigEndian.PutUint32(dst[start:], uint32(len(body)))
	binary.BigEndian.PutUint32(dst[start+4:], crc32.ChecksumIEEE(body))
	return dst
}

// parseFrame reads the first record of b, which it refers to, and its length.
func parseFrame(b []byte) (r stored, n int, ok bool) {
	if len(b) < frameHeader {
		return r, 0, false
	}
	n = frameHeader + int(binary.BigEndian.Uint32(b))
	if n > len(b) {
		return r, 0, false
	}
	body := b[frameHeader:n]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[4:]) {
		return r, 0, false
	}
	arrival, width := binary.Varint(body)
	if width <= 0 {
		return r, 0, false
	}
	key, rest, ok1 := cutCounted(body[width:])
	hash, data, ok2 := cutCounted(rest)
	return stored{arrival: arrival, key: string(key), hash: string(hash), data: data}, n, ok1 && ok2
}

// cutCounted cuts off bytes that are preceded by their number.
func cutCounted(b []byte) (field, rest []byte, ok bool) {
	n, width := binary.Uvarint(b)
	if width <= 0 || n > uint64(len(b)-width) {
		return nil, nil, false
	}
	return b[width : width+int(n)], b[width+int(n):], true
}

// loadLog reads the segments of a shard. Where a process was killed in the
// middle of a write, the log ends before it.
func (d *streamDir) loadLog(sh *shard) error {
	prefix := fmt.Sprintf("%012d-", sh.number)
	files, err := fs.Glob(d.root.FS(), prefix+"*"+segmentExt)
	if err != nil {
		return err
	}
	slices.Sort(files)
	for i, name := range files {
		base, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(name, prefix), segmentExt), 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if i == 0 {
			sh.log = recordLog{base: base, first: base, next: base}
		}
		if base != sh.log.next {
			return fmt.Errorf("%s: records before it are missing", name)
		}
		if err := sh.log.loadSegment(d.root, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *recordLog) loadSegment(dir *os.Root, name string) error {
	raw, err := dir.ReadFile(name)
	if err != nil {
		return err
	}
	good := 0
	for good < len(raw) {
		r, n, ok := parseFrame(raw[good:])
		if !ok {
			return truncate(dir, name, int64(good))
		}
		l.append(r)
		good += n
	}
	return nil
}

func truncate(dir *os.Root, name string, size int64) error {
	file, err := dir.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}
