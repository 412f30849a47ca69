package builtin

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/md4"       //nolint:gosec,staticcheck // weak, but hash() promises it
	"golang.org/x/crypto/ripemd160" //nolint:gosec,staticcheck // weak, but hash() promises it

	"github.com/sluiceio/sluice/internal/value"
)

func hashFunctions() []Function {
	return []Function{
		{
			Name: "md5", Args: params("s", String), Min: 1, Pure: true, Call: digest("md5"),
			Doc: "The MD5 digest of a text or bytes, in lower-case hexadecimal.", Examples: []Example{{Expr: "md5('hello')", Result: `"5d41402abc4b2a76b9719d911017c592"`}},
		},
		{
			Name: "sha", Args: params("s", String), Min: 1, Pure: true, Call: digest("sha"),
			Doc: "The SHA-1 digest, in lower-case hexadecimal.", Examples: []Example{{Expr: "sha('hello')", Result: `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`}},
		},
		{
			Name: "sha256", Args: params("s", String), Min: 1, Pure: true, Call: digest("sha256"),
			Doc: "The SHA-256 digest, in lower-case hexadecimal.", Examples: []Example{{Expr: "sha256('hello')", Result: `"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`}},
		},
		{
			Name: "hash", Args: params("algorithm", String, "s", Text), Min: 2, Pure: true, Call: hash,
			Doc: "The digest of a text or bytes by an algorithm, in lower-case hexadecimal: md4, md5, sha (sha1), sha224, sha256, sha384, sha512, sha512_224, sha512_256, " +
				"sha3_224, sha3_256, sha3_384, sha3_512, shake128, shake256, blake2b, blake2s, ripemd160.",
			Examples: []Example{{Expr: "hash('sha1', 'a')", Result: `"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"`}, {Expr: "hash('crc', 'a')", Error: true}},
		},
	}
}

func digest(algorithm string) Func {
	return func(c *Ctx, args []value.Value) (value.Value, error) { return c.digest(algorithm, args[0].AsString()) }
}

func hash(c *Ctx, args []value.Value) (value.Value, error) {
	return c.digest(args[0].AsString(), text(args[1]))
}

func (c *Ctx) digest(algorithm, s string) (value.Value, error) {
	var sum [64]byte
	b := appendSum(sum[:0], algorithm, bytesOf(s))
	if len(b) == 0 {
		return value.Undefined(), bad("unknown algorithm %q", clip(algorithm))
	}
	return c.keep(hex.AppendEncode(c.Arena.Buffer(2*len(b)), b))
}

// appendSum appends the digest of data, nothing when it does not know the
// algorithm.
func appendSum(dst []byte, algorithm string, data []byte) []byte {
	switch algorithm {
	case "md5":
		h := md5.Sum(data)
		return append(dst, h[:]...)
	case "sha", "sha1":
		h := sha1.Sum(data)
		return append(dst, h[:]...)
	case "sha224":
		h := sha256.Sum224(data)
		return append(dst, h[:]...)
	case "sha256":
		h := sha256.Sum256(data)
		return append(dst, h[:]...)
	case "sha384":
		h := sha512.Sum384(data)
		return append(dst, h[:]...)
	case "sha512":
		h := sha512.Sum512(data)
		return append(dst, h[:]...)
	case "sha512_224":
		h := sha512.Sum512_224(data)
		return append(dst, h[:]...)
	case "sha512_256":
		h := sha512.Sum512_256(data)
		return append(dst, h[:]...)
	}
	return appendRareSum(dst, algorithm, data)
}

func appendRareSum(dst []byte, algorithm string, data []byte) []byte {
	switch algorithm {
	case "sha3_224":
		h := sha3.Sum224(data)
		return append(dst, h[:]...)
	case "sha3_256":
		h := sha3.Sum256(data)
		return append(dst, h[:]...)
	case "sha3_384":
		h := sha3.Sum384(data)
		return append(dst, h[:]...)
	case "sha3_512":
		h := sha3.Sum512(data)
		return append(dst, h[:]...)
	case "shake128":
		return append(dst, sha3.SumSHAKE128(data, 16)...)
	case "shake256":
		return append(dst, sha3.SumSHAKE256(data, 32)...)
	case "blake2b":
		h := blake2b.Sum512(data)
		return append(dst, h[:]...)
	case "blake2s":
		h := blake2s.Sum256(data)
		return append(dst, h[:]...)
	case "md4":
		h := md4.New() //nolint:gosec // as above
		h.Write(data)
		return h.Sum(dst)
	case "ripemd160":
		h := ripemd160.New() //nolint:gosec // as above
		h.Write(data)
		return h.Sum(dst)
	}
	return dst
}
