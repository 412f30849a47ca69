package kpl

import (
	"crypto/md5" // part of the format, not used for security
	"encoding/binary"
)

// Record is a user record of an aggregate. Its slices point into the aggregate;
// HashKey is nil when the record has no explicit hash key, ID when it has no tag
// "id".
type Record struct {
	Key, HashKey, Data, ID []byte
}

// Decode appends the records of an aggregate to dst. It reports false, with dst
// as it was, for anything that is not a whole and well-formed aggregate: such
// data is an ordinary record that happens to begin like one.
func Decode(dst []Record, data []byte) ([]Record, bool) {
	message, ok := open(data)
	if !ok {
		return dst, false
	}
	// The tables may stand behind the records that refer to them.
	var keys, hashKeys [][]byte
	for rest := message; len(rest) > 0; {
		var f field
		if f, rest, ok = next(rest); !ok {
			return dst, false
		}
		switch f.tag {
		case tagKey:
			keys = append(keys, f.bytes)
		case tagHashKey:
			hashKeys = append(hashKeys, f.bytes)
		}
	}
	out := dst
	for rest := message; len(rest) > 0; {
		var f field
		f, rest, _ = next(rest)
		if f.tag != tagRecord {
			continue
		}
		r, ok := decodeRecord(f.bytes, keys, hashKeys)
		if !ok {
			return dst, false
		}
		out = append(out, r)
	}
	return out, true
}

// open checks the frame of an aggregate and returns the message in it.
func open(data []byte) ([]byte, bool) {
	if len(data) <= len(magic)+md5.Size || string(data[:len(magic)]) != magic {
		return nil, false
	}
	message, sum := data[len(magic):len(data)-md5.Size], data[len(data)-md5.Size:]
	return message, md5.Sum(message) == [md5.Size]byte(sum)
}

func decodeRecord(b []byte, keys, hashKeys [][]byte) (r Record, ok bool) {
	var hasKey, hasData bool
	for len(b) > 0 {
		var f field
		if f, b, ok = next(b); !ok {
			return r, false
		}
		switch f.tag {
		case tagKeyIndex:
			if f.number >= uint64(len(keys)) {
				return r, false
			}
			r.Key, hasKey = keys[f.number], true
		case tagHashIndex:
			if f.number >= uint64(len(hashKeys)) {
				return r, false
			}
			r.HashKey = hashKeys[f.number]
		case tagData:
			r.Data, hasData = f.bytes, true
		case tagTag:
			if id, ok := decodeID(f.bytes); ok {
				r.ID = id
			}
		}
	}
	return r, hasKey && hasData
}

// decodeID returns the value of a Tag whose key is that of IDs.
func decodeID(b []byte) (id []byte, ok bool) {
	var f field
	for len(b) > 0 {
		var whole bool
		if f, b, whole = next(b); !whole {
			return nil, false
		}
		switch f.tag {
		case tagTagKey:
			ok = string(f.bytes) == idKey
		case tagTagValue:
			id = f.bytes
		}
	}
	return id, ok
}

// field is one field of a protobuf message: number for varints, bytes for
// length-delimited ones; others are skipped.
type field struct {
	tag    uint64
	number uint64
	bytes  []byte
}

func next(b []byte) (f field, rest []byte, ok bool) {
	var n int
	if f.tag, n = binary.Uvarint(b); n <= 0 || f.tag>>3 == 0 {
		return f, nil, false
	}
	b = b[n:]
	switch f.tag & 7 {
	case 0: // varint
		f.number, n = binary.Uvarint(b)
		return f, b[max(n, 0):], n > 0
	case 1: // 64 bits
		return f, b[min(8, len(b)):], len(b) >= 8
	case 2: // length-delimited
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return f, nil, false
		}
		end := n + int(size)
		f.bytes = b[n:end:end]
		return f, b[end:], true
	case 5: // 32 bits
		return f, b[min(4, len(b)):], len(b) >= 4
	}
	return f, nil, false // groups are not part of the format
}
