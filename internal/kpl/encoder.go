package kpl

import (
	"bytes"
	"crypto/md5" // part of the format, not used for security
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// magic opens every aggregate.
const magic = "\xF3\x89\x9A\xC2"

// Field tags of the message, number<<3 | wire type.
const (
	tagKey       = 1<<3 | 2 // AggregatedRecord.partition_key_table
	tagHashKey   = 2<<3 | 2 // AggregatedRecord.explicit_hash_key_table
	tagRecord    = 3<<3 | 2 // AggregatedRecord.records
	tagKeyIndex  = 1<<3 | 0 // Record.partition_key_index
	tagHashIndex = 2<<3 | 0 // Record.explicit_hash_key_index
	tagData      = 3<<3 | 2 // Record.data
	tagTag       = 4<<3 | 2 // Record.tags
	tagTagKey    = 1<<3 | 2 // Tag.key
	tagTagValue  = 2<<3 | 2 // Tag.value
)

// idKey is the key of the tag that has a record's ID.
const idKey = "id"

// MaxOverhead is the most bytes that a record adds to an aggregate beside its
// key and data, for data of up to 1 MiB and up to 16,384 records. An ID adds at
// most IDOverhead and its own bytes, if those are no more than MaxID.
const (
	MaxOverhead = 16
	IDOverhead  = 2 + 2 + len(idKey) + 2
	MaxID       = 100
)

// FixedOverhead is the most bytes that an aggregate takes beside its records: the
// magic, the checksum and the table with one hash key of at most 39 digits.
const FixedOverhead = len(magic) + md5.Size + 2 + 39

// Encoder collects records and appends them to a buffer as one aggregate. It
// refers to the keys and data given to Add until the next Reset, and reuses its
// memory. The zero value is an empty Encoder without a hash key.
type Encoder struct {
	hashKey []byte
	keys    [][]byte
	records []record
	size    int // of the message

	seed  maphash.Seed
	table []uint32 // open addressing: 1 + index into keys, 0 free; power of two
}

type record struct {
	key      uint32 // index into keys
	data, id []byte
}

// Reset empties e and sets the explicit hash key, in decimal, that its records
// share; nil for none.
func (e *Encoder) Reset(hashKey []byte) {
	clear(e.keys)
	clear(e.records)
	clear(e.table)
	e.keys, e.records = e.keys[:0], e.records[:0]
	e.hashKey, e.size = hashKey, 0
	if hashKey != nil {
		e.size = fieldSize(len(hashKey))
	}
}

// Len is the number of records.
func (e *Encoder) Len() int { return len(e.records) }

// Size is the number of bytes that Append appends.
func (e *Encoder) Size() int { return len(magic) + e.size + md5.Size }

// SizeWith is what Size would be after Add(key, data, id).
func (e *Encoder) SizeWith(key, data, id []byte) int {
	at, found := e.find(key)
	if found {
		return e.Size() + e.recordSize(at, len(data), len(id))
	}
	return e.Size() + fieldSize(len(key)) + e.recordSize(uint32(len(e.keys)), len(data), len(id))
}

// Add adds a record, with an ID unless that is empty. Keys are stored once however
// often they come.
func (e *Encoder) Add(key, data, id []byte) {
	at, found := e.find(key)
	if !found {
		at = e.insert(key)
		e.size += fieldSize(len(key))
	}
	e.size += e.recordSize(at, len(data), len(id))
	e.records = append(e.records, record{at, data, id})
}

// First returns the first record; there must be one.
func (e *Encoder) First() (key, data, id []byte) {
	r := &e.records[0]
	return e.keys[r.key], r.data, r.id
}

// Append appends the aggregate to dst.
func (e *Encoder) Append(dst []byte) []byte {
	dst = append(dst, magic...)
	start := len(dst)
	for _, k := range e.keys {
		dst = appendField(dst, tagKey, k)
	}
	if e.hashKey != nil {
		dst = appendField(dst, tagHashKey, e.hashKey)
	}
	for _, r := range e.records {
		dst = append(dst, tagRecord)
		dst = binary.AppendUvarint(dst, uint64(e.bodySize(r.key, len(r.data), len(r.id))))
		dst = append(dst, tagKeyIndex)
		dst = binary.AppendUvarint(dst, uint64(r.key))
		if e.hashKey != nil {
			dst = append(dst, tagHashIndex, 0)
		}
		dst = appendField(dst, tagData, r.data)
		if len(r.id) > 0 {
			dst = append(dst, tagTag)
			dst = binary.AppendUvarint(dst, uint64(idTagSize(len(r.id))))
			dst = append(dst, tagTagKey, byte(len(idKey)))
			dst = append(dst, idKey...)
			dst = appendField(dst, tagTagValue, r.id)
		}
	}
	sum := md5.Sum(dst[start:])
	return append(dst, sum[:]...)
}

// recordSize is the size of a Record within the message, bodySize without its
// tag and length.
func (e *Encoder) recordSize(key uint32, data, id int) int {
	return fieldSize(e.bodySize(key, data, id))
}

func (e *Encoder) bodySize(key uint32, data, id int) int {
	n := 1 + uvarintSize(uint64(key)) + fieldSize(data)
	if e.hashKey != nil {
		n += 2
	}
	if id > 0 {
		n += fieldSize(idTagSize(id))
	}
	return n
}

// idTagSize is the size of a Tag with an ID of n bytes.
func idTagSize(n int) int { return fieldSize(len(idKey)) + fieldSize(n) }

// find returns the index of key in keys.
func (e *Encoder) find(key []byte) (at uint32, found bool) {
	if len(e.keys) == 0 {
		return 0, false
	}
	mask := uint64(len(e.table) - 1)
	for i := e.hash(key) & mask; e.table[i] != 0; i = (i + 1) & mask {
		if at = e.table[i] - 1; bytes.Equal(e.keys[at], key) {
			return at, true
		}
	}
	return 0, false
}

// insert adds a key that is not there yet.
func (e *Encoder) insert(key []byte) uint32 {
	at := uint32(len(e.keys))
	e.keys = append(e.keys, key)
	if 2*len(e.keys) > len(e.table) {
		e.grow()
	} else {
		e.place(at)
	}
	return at
}

func (e *Encoder) grow() {
	if e.table == nil {
		e.seed = maphash.MakeSeed()
	}
	e.table = make([]uint32, max(256, 2*len(e.table)))
	for i := range e.keys {
		e.place(uint32(i))
	}
}

func (e *Encoder) place(at uint32) {
	mask := uint64(len(e.table) - 1)
	i := e.hash(e.keys[at]) & mask
	for e.table[i] != 0 {
		i = (i + 1) & mask
	}
	e.table[i] = at + 1
}

func (e *Encoder) hash(key []byte) uint64 { return maphash.Bytes(e.seed, key) }

func appendField(dst []byte, tag byte, v []byte) []byte {
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// fieldSize is the size of a field of n bytes with its tag and length.
func fieldSize(n int) int { return 1 + uvarintSize(uint64(n)) + n }

func uvarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
