package builtin

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/sluiceio/sluice/internal/value"
)

func randomFunctions() []Function {
	return []Function{
		{
			Name: "random", Doc: "A random float, at least 0.0 and less than 1.0.", Examples: []Example{{Expr: "is_float(random())", Result: "true"}},
			Call: func(c *Ctx, _ []value.Value) (value.Value, error) {
				return value.Float(float64(c.Env.cfg.Random()>>11) / (1 << 53)), nil
			},
		},
		{
			Name: "uuid_v4", Doc: "A random UUID.", Examples: []Example{{Expr: "strlen(uuid_v4())", Result: "36"}},
			Call: func(c *Ctx, _ []value.Value) (value.Value, error) { return c.uuid("-") },
		},
		{
			Name: "uuid_v4_no_hyphen", Doc: "A random UUID without hyphens.", Examples: []Example{{Expr: "strlen(uuid_v4_no_hyphen())", Result: "32"}},
			Call: func(c *Ctx, _ []value.Value) (value.Value, error) { return c.uuid("") },
		},
	}
}

// uuid returns a random UUID (RFC 9562, version 4).
func (c *Ctx) uuid(hyphen string) (value.Value, error) {
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:8], c.Env.cfg.Random())
	binary.LittleEndian.PutUint64(id[8:], c.Env.cfg.Random())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	b, rest := c.Arena.Buffer(36), id[:]
	for i, n := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			b = append(b, hyphen...)
		}
		b = hex.AppendEncode(b, rest[:n])
		rest = rest[n:]
	}
	return c.keep(b)
}
