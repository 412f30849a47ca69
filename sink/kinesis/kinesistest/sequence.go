package kinesistest

import (
	"errors"
	"math/bits"
	"strconv"
)

// sequence is a sequence number. As the service's it is a decimal number of 56
// digits that hides 188 bits: a leading 2, when the shard was created, what
// the record's place is, when the record was stored, which shard it is in, and
// a version, which is 2. So the numbers of a shard grow with each record, and
// those of a child shard are greater than its parents'.
type sequence struct {
	created int64  // when the shard was created, in Unix seconds (36 bits)
	index   uint64 // place in the shard, from 1; 0 begins a shard
	at      int64  // when the record was stored, in Unix seconds (36 bits)
	shard   uint32
}

// lastIndex is the index in the number that ends a closed shard.
const lastIndex = 1<<63 - 1

const sequenceDigits = 56

func (q sequence) words() (w2, w1, w0 uint64) {
	w0 = uint64(q.at)<<36 | uint64(q.shard)<<4 | 2
	w1 = uint64(q.at)>>28&0xff | q.index<<16
	w2 = 2<<56 | uint64(q.created)&(1<<36-1)<<20 | uint64(q.shard&0xf)<<16 | q.index>>48
	return w2, w1, w0
}

// append appends the decimal form of q.
func (q sequence) append(dst []byte) []byte {
	w2, w1, w0 := q.words()
	q1, rest := bits.Div64(w2, w1, tenTo19)
	q0, low := bits.Div64(rest, w0, tenTo19)
	high, mid := bits.Div64(q1, q0, tenTo19)
	return appendDigits(appendDigits(strconv.AppendUint(dst, high, 10), mid), low)
}

// String is the decimal form, as in the API.
func (q sequence) String() string {
	return string(q.append(make([]byte, 0, sequenceDigits)))
}

var errSequence = errors.New("not a sequence number")

func parseSequence(s string) (sequence, error) {
	if len(s) != sequenceDigits {
		return sequence{}, errSequence
	}
	var w [3]uint64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return sequence{}, errSequence
		}
		carry := uint64(c - '0')
		for i := range w {
			hi, lo := bits.Mul64(w[i], 10)
			lo, c := bits.Add64(lo, carry, 0)
			w[i], carry = lo, hi+c
		}
	}
	q := sequence{
		created: int64(w[2] >> 20 & (1<<36 - 1)),
		index:   w[2]&0xffff<<48 | w[1]>>16,
		at:      int64(w[1]&0xff<<28 | w[0]>>36),
		shard:   uint32(w[0] >> 4),
	}
	// Comparing all bits again refuses other versions and non-zero gaps.
	if w2, w1, w0 := q.words(); w2 != w[2] || w1 != w[1] || w0 != w[0] {
		return sequence{}, errSequence
	}
	return q, nil
}
