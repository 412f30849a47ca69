package value

import (
	"fmt"
	"math/big"
	"sync"

	"github.com/sluiceio/sluice/internal/jsonx"
)

// MaxBits is how many bits an integer that a rule computes may have, and
// jsonx.MaxDigits, about the same, how many digits one in a text.
const MaxBits = 1 << 20

// ErrTooBig says that an integer would have more than MaxBits bits.
var ErrTooBig error = &BudgetError{"integer", "the integer is too large", fmt.Sprintf("%d bits", MaxBits)}

// blockDigits is how many digits big.Int reads in a time that is still about
// linear.
const blockDigits = 2000

// parseBig returns the integer that digits, which may have a sign, stand for. The
// time that big.Int.SetString takes grows with the square of their number, so long
// texts are read in halves.
func parseBig(digits string) (*big.Int, bool) {
	if len(digits) <= blockDigits {
		return new(big.Int).SetString(digits, 10)
	}
	negative := digits[0] == '-'
	if negative || digits[0] == '+' {
		digits = digits[1:]
	}
	if len(digits) > jsonx.MaxDigits {
		return nil, false
	}
	n, ok := parseHalves(digits)
	if ok && negative {
		n.Neg(n)
	}
	return n, ok
}

func parseHalves(digits string) (*big.Int, bool) {
	if len(digits) <= blockDigits {
		return new(big.Int).SetString(digits, 10)
	}
	low, power := blockDigits, 0
	for 2*low < len(digits) {
		low, power = 2*low, power+1
	}
	high, ok := parseHalves(digits[:len(digits)-low])
	rest, ok2 := parseHalves(digits[len(digits)-low:])
	if !ok || !ok2 {
		return nil, false
	}
	return high.Add(high.Mul(high, powers()[power]), rest), true
}

// powers are 10 to the power of blockDigits, of twice that, and so on.
var powers = sync.OnceValue(func() (all []*big.Int) {
	p := new(big.Int).Exp(big.NewInt(10), big.NewInt(blockDigits), nil)
	for n := blockDigits; n < jsonx.MaxDigits; n *= 2 {
		all = append(all, p)
		p = new(big.Int).Mul(p, p)
	}
	return all
})
