package kinesistest

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"math/big"
	"math/bits"
	"strconv"
)

// hashKey is a point of the 128-bit key space that the shards of a stream
// divide among themselves.
type hashKey struct{ hi, lo uint64 }

var maxHashKey = hashKey{^uint64(0), ^uint64(0)}

// hashOf is where a partition key without an explicit hash key belongs.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads a decimal number below 2^128.
func parseHashKey(s string) (h hashKey, ok bool) {
	if s == "" {
		return h, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return hashKey{}, false
		}
		over, lo := bits.Mul64(h.lo, 10)
		top, hi := bits.Mul64(h.hi, 10)
		lo, carry := bits.Add64(lo, uint64(c-'0'), 0)
		hi, carry = bits.Add64(hi, over, carry)
		if top != 0 || carry != 0 {
			return hashKey{}, false
		}
		h = hashKey{hi, lo}
	}
	return h, true
}

// tenTo19 is the largest power of ten below 2^64.
const tenTo19 = 10_000_000_000_000_000_000

// String is the decimal form, as in the API.
func (h hashKey) String() string {
	quotientHi, rest := bits.Div64(0, h.hi, tenTo19)
	quotientLo, low := bits.Div64(rest, h.lo, tenTo19)
	if quotientHi == 0 && quotientLo == 0 {
		return strconv.FormatUint(low, 10)
	}
	high, mid := bits.Div64(quotientHi, quotientLo, tenTo19)
	buf := make([]byte, 0, 39)
	if high == 0 {
		buf = strconv.AppendUint(buf, mid, 10)
	} else {
		buf = appendDigits(strconv.AppendUint(buf, high, 10), mid)
	}
	return string(appendDigits(buf, low))
}

// appendDigits appends n with leading zeros as 19 digits.
func appendDigits(dst []byte, n uint64) []byte {
	var buf [19]byte
	for i := len(buf) - 1; i >= 0; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[:]...)
}

func (h hashKey) compare(o hashKey) int {
	return cmp.Or(cmp.Compare(h.hi, o.hi), cmp.Compare(h.lo, o.lo))
}

func (h hashKey) next() hashKey {
	lo, carry := bits.Add64(h.lo, 1, 0)
	return hashKey{h.hi + carry, lo}
}

func (h hashKey) prev() hashKey {
	lo, borrow := bits.Sub64(h.lo, 1, 0)
	return hashKey{h.hi - borrow, lo}
}

// middle is the first key of the upper half of the range from h to end.
func (h hashKey) middle(end hashKey) hashKey {
	lo, borrow := bits.Sub64(end.lo, h.lo, 0)
	hi, _ := bits.Sub64(end.hi, h.hi, borrow)
	lo, carry := bits.Add64(h.lo, lo>>1|hi<<63, 0)
	return hashKey{h.hi + hi>>1 + carry, lo}.next()
}

// uniformStart is the first key of shard i when n shards divide the key space
// as CreateStream does: each is floor(2^128/n) wide and the last takes the rest.
func uniformStart(i, n int) hashKey {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	width.Div(width, big.NewInt(int64(n)))
	start := width.Mul(width, big.NewInt(int64(i)))
	var raw [16]byte
	start.FillBytes(raw[:])
	return hashKey{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}
}
