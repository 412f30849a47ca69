package kinesis

import (
	"crypto/md5" // Kinesis' own hash of partition keys
	"encoding/binary"
	"math/bits"
)

// hash is a point of the 128-bit space that the shards of a stream divide.
type hash struct{ hi, lo uint64 }

// hashOf is the point that Kinesis maps a partition key to.
func hashOf(key []byte) hash {
	sum := md5.Sum(key)
	return hash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHash reads an explicit hash key: decimal, without leading zeros, below
// 2^128.
func parseHash[T []byte | string](text T) (h hash, ok bool) {
	if len(text) == 0 || len(text) > 39 || text[0] == '0' && len(text) > 1 {
		return h, false
	}
	for i := range len(text) {
		digit := uint64(text[i] - '0')
		if digit > 9 {
			return h, false
		}
		over, hi := bits.Mul64(h.hi, 10)
		carry, lo := bits.Mul64(h.lo, 10)
		var c uint64
		if lo, c = bits.Add64(lo, digit, 0); c != 0 {
			carry++
		}
		if hi, c = bits.Add64(hi, carry, 0); over != 0 || c != 0 {
			return h, false
		}
		h = hash{hi, lo}
	}
	return h, true
}

// append appends h in decimal.
func (h hash) append(dst []byte) []byte {
	var digits [39]byte
	at := len(digits)
	for {
		var rem uint64
		h.hi, rem = bits.Div64(0, h.hi, 10)
		h.lo, rem = bits.Div64(rem, h.lo, 10)
		at--
		digits[at] = '0' + byte(rem)
		if h == (hash{}) {
			return append(dst, digits[at:]...)
		}
	}
}

func (h hash) less(o hash) bool { return h.hi < o.hi || h.hi == o.hi && h.lo < o.lo }
