package builtin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// hot are calls that rules make all the time; none may allocate once the arena has
// its size.
var hot = []string{
	`upper('sensor')`, `lower('SENSÖR')`, `trim('  a b ')`, `rtrim('abc', 'c')`, `strlen('你好 abc')`,
	`substr('hello world', 6, 3)`, `pad('7', 4, 'leading', '0')`, `replace('a.b.c', '.', '/')`, `find('a/b', '/')`,
	`concat('a', 1.5)`, `concat(['a', 1, 2.5])`, `split('a/b/c', '/')`, `tokens('a/b/c', '/')`, `join_to_string('-', [1, 2])`,
	`reverse('abc')`, `rm_prefix('abc', 'a')`, `unescape('a\nb')`, `ascii('a')`, `nth(2, [1, 2])`, `length([1])`, `sublist(2, [1, 2, 3])`,
	`contains(2, [1, 2])`, `str(21.5)`, `int('12')`, `float('1.5')`, `float2str(1.25, 1)`, `bool('true')`, `coalesce(null(), 1)`, `abs(-1)`, `round(1.5)`, `sqrt(2)`,
	`map_get('a.b', '{"a":{"b":[1]}}')`, `map_put('a', 1, '{}')`, `mget('a', '{"a":1}')`, `map_keys('{"a":1}')`, `json_decode('{"a":1}')`, `json_encode([1, 'a'])`,
	`md5('a')`, `sha256('a')`, `hash('sha512', 'a')`, `base64_encode('abc')`, `base64_decode('YWJj')`, `bin2hexstr('abc')`, `hexstr2bin('616263')`,
	`bitand(6, 3)`, `bitsr(256, 4)`, `subbits('abcdef', 5, 12)`, `bitsize('a')`, `regex_match('abc123', '^[a-z]+\d+$')`, `regex_replace('abc', 'x', 'y')`,
	`format_date('millisecond', '+08:00', '%Y-%m-%dT%H:%M:%S.%3N%:z', 1708933353472)`, `date_to_unix_ts('second', 'Z', '%Y-%m-%d %H:%M:%S', '2024-02-23 07:00:00')`,
	`unix_ts_to_rfc3339(1708933353472, 'millisecond')`, `now_timestamp('millisecond')`, `timezone_to_offset_seconds('+08:00')`,
	`uuid_v4()`, `random()`, `kv_store_get('a')`, `proc_dict_get('a')`, `topic(2)`, `clientid()`, `payload('a.b')`, `flag('retain')`, `is_null(1)`, `eq(1, 1.0)`,
}

func hotCtx() *builtin.Ctx {
	c := newCtx(builtin.Config{})
	c.Event = event{
		"topic": value.String("t/1/x"), "clientid": value.String("c1"), "payload": value.String(`{"a":{"b":1}}`),
		"flags": value.Map([]value.Pair{{Key: "retain", Value: value.Bool(true)}}),
	}
	return c
}

// prepare evaluates a call's arguments once.
func prepare(t testing.TB, c *builtin.Ctx, expr string) (*builtin.Function, []value.Value) {
	x, err := sqlparse.ParseExpr(expr)
	require.NoError(t, err)
	call := x.(*sqlparse.Call)
	f, ok := builtin.Lookup(call.Name)
	require.True(t, ok, call.Name)
	args, err := evalAll(c, call.Args)
	require.NoError(t, err)
	return f, args
}

func BenchmarkFunctions(b *testing.B) {
	for _, expr := range hot {
		b.Run(expr, func(b *testing.B) {
			c := hotCtx()
			f, args := prepare(b, c, expr)
			c.Arena = new(value.Arena)
			b.ReportAllocs()
			for b.Loop() {
				c.Arena.Reset()
				if _, err := f.Invoke(c, args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
