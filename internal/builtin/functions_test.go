package builtin_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

// columns are what the expressions below call by name.
func columns(t testing.TB) event {
	e := event{}
	for name, doc := range map[string]string{
		"nil": `null`, "obj": `{"b":{"c":"{\"d\":[1]}"},"a":1,"x.y":7}`, "nums": `[1,2.5,3]`, "chars": `[72,105]`,
		"family": `"👨‍👩‍👧e\u0301\r\nx"`, "spaces": `"\u2028\r\n a\u00a0\t"`, "quotes": `"it's \\ \"so\""`, "lines": `"a\r\nb\nc"`,
		"big": `123456789012345678901234567890`, "mixed": `["a",1,[2],{"k":null},null,true]`, "topic": `"t/1//x"`, "payload": `"{\"a\":{\"b\":5}}"`,
		"clientid": `"c1"`, "peerhost": `"10.0.0.1"`, "flags": `{"retain":true}`, "id": `"0005"`, "qos": `1`,
	} {
		v, err := (*value.Arena)(nil).DecodeString(doc)
		require.NoError(t, err, name)
		e[name] = v
	}
	e["bytes"] = value.String("\xff\x00\xfe")
	e["bits3"] = value.Bits("\xa0", 3)
	return e
}

func run(t *testing.T, cases map[string]string) {
	t.Helper()
	t.Parallel()
	for expr, want := range cases {
		t.Run(expr, func(t *testing.T) {
			c := newCtx(builtin.Config{})
			c.Event = columns(t)
			check(t, c, expr, want)
		})
	}
}

func TestMathematics(t *testing.T) {
	run(t, map[string]string{
		`abs(big)`: "123456789012345678901234567890", `ceil(-0.5)`: "0",
		`round(2.5)`: "3", `round(-2.5)`: "-3", `round(100000000000000000000.0)`: "100000000000000000000", `ceil(big)`: "123456789012345678901234567890",
		`power(0, -1)`: "error: no value there", `exp(1000)`: "error: no value there", `log(0)`: "error: no value there", `acos(2)`: "error: no value there",
		`fmod(-7, 3)`: "-1.0", `mod(big, 7)`: "0", `div(big, 10)`: "12345678901234567890123456789", `sqrt(big)`: "351364182882014.44",
		`eq(nums, nums)`: "true", `eq(nil, null())`: "false", `eq(null(), null())`: "true", `eq('a', 'b')`: "false",
	})
}

func TestConversion(t *testing.T) {
	run(t, map[string]string{
		`str(chars)`: `"Hi"`, `str(obj)`: `"{\"a\":1,\"b\":{\"c\":\"{\\\"d\\\":[1]}\"},\"x.y\":7}"`, `str(nil)`: `"null"`,
		`str_utf8(bytes)`: "error: not UTF-8", `bin2hexstr(str_utf16_le('a👋'))`: `"61003DD84BDC"`,
		`int(true)`: "1", `int(-0.5)`: "-1", `int('+12')`: "12", `int('12345678901234567890')`: "12345678901234567890", `int('1.5e1')`: "15",
		`int('')`: "error: is not a number", `int(' 1')`: "error: is not a number", `int(nil)`: "error: not null", `int(nums)`: "error: not array",
		`float(2, 2)`: "2.0", `float('7')`: "7.0", `float(1.23456, 2)`: "1.23", `float(1.5, 0)`: "error: 1 to 253", `float(1.5, 254)`: "error: 1 to 253", `float(true)`: "error: not boolean",
		`float2str(1.5, 0)`: `"2"`, `float2str(1.0, 2)`: `"1.0"`, `float2str(20.2, 15)`: `"20.199999999999999"`, `float2str(12.3456789, 3)`: `"12.346"`, `float2str(1, 2)`: "error: not integer",
		`bool(0.0)`: "false", `bool(2)`: "error: only true", `bool('True')`: "error: only true",
		`map([])`: "{}", `map([1])`: "error: an array is no map", `map('5')`: "error: a integer", `map(obj)`: `{"a":1,"b":{"c":"{\"d\":[1]}"},"x.y":7}`,
		`is_empty([])`: "true", `is_empty('')`: "true", `is_empty(' { } ')`: "true", `is_empty('[]')`: "error: no object", `is_empty(5)`: "error: not integer",
		`coalesce(nil, 1)`: "null", `coalesce([])`: "undefined", `coalesce(5)`: "error: must be an array", `coalesce_ne([null(), '', 0])`: "0", `coalesce_ne('', '')`: "undefined",
	})
}

func TestText(t *testing.T) {
	run(t, map[string]string{
		`upper('ßﬁ')`: `"SSFI"`, `lower('ÀÉ İ')`: `"àé i̇"`, `upper(bytes)`: "\"\uFFFD\\u0000\uFFFD\"", `upper(false)`: `"FALSE"`, `lower(nil)`: "error: not null",
		`trim(spaces)`: "\"a\u00a0\"", `ltrim(spaces)`: "\"a\u00a0\\t\"", `rtrim(spaces)`: "\"\u2028\\r\\n a\u00a0\"", `rtrim('abab', 'b')`: `"aba"`, `rtrim('你好', '好')`: `"你"`, `trim('   ')`: `""`,
		`strlen(family)`: "4", `strlen('')`: "0", `strlen(true)`: "4", `substr(family, 1, 1)`: "\"e\u0301\"", `substr(family, 2)`: `"\r\nx"`, `substr('abc', 1, 100)`: `"bc"`, `substr('abc', 0, 0)`: `""`, `substr('abc', 0, -1)`: "error: negative",
		`reverse(family)`: "\"x\\r\\ne\u0301👨‍👩‍👧\"", `reverse('')`: `""`,
		`pad('你', 3, 'both', 'ab')`: `"ab你ab"`, `pad('abc', -5)`: `"abc"`, `pad('abc', 5, 'trailing', '')`: `"abc"`, `pad('a', 4, 'both')`: `" a  "`, `pad('abc', 1, 'middle')`: "error: where",
		`pad('a', 1000000000000)`: "error: too much data", `pad('a', 9223372036854775807, 'leading', 'xyz')`: "error: too much data", `pad('a', 123456789012345678901)`: "error: too much data",
		`replace('aaa', 'a', 'bb')`: `"bbbbbb"`, `replace('aaa', 'a', 'b', 'leading')`: `"baa"`, `replace('aaa', 'aa', 'b', 'trailing')`: `"ab"`, `replace('abc', '', 'x')`: `"abc"`, `replace('a', 'a', 'b', 'x')`: "error: where",
		`find('abcabc', 'b', 'trailing')`: `"bc"`, `find('abc', '')`: `"abc"`, `find('abc', 'x')`: `""`, `find('abc', 'b', 'x')`: "error: where",
		`rm_prefix('abc', 'abcd')`: `"abc"`, `rm_prefix(true, 't')`: `"rue"`, `rm_prefix(1.5, '1')`: "1.5", `rm_prefix(big, '1')`: "123456789012345678901234567890", `rm_prefix(nums, 'a')`: "[1,2.5,3]", `rm_prefix(obj, '')`: `{"a":1,"b":{"c":"{\"d\":[1]}"},"x.y":7}`, `rm_prefix('1', 1)`: "error: must be string", `rm_prefix(nil, 'a')`: "error: not null", `rm_prefix(null(), 'a')`: "error: not undefined", `ascii('你')`: "228",
		`concat(null(), nil)`: `"undefinednull"`, `concat(chars, 1.50)`: `"Hi1.5"`, `concat(mixed)`: `"a1[2]{\"k\":null}nulltrue"`, `concat('a')`: "error: must be an array",
		`unescape('\"\?\a\v\b\f\r')`: `"\"?\u0007\u000B\b\f\r"`, `unescape('a\\nb')`: `"a\\nb"`, `unescape('\x20AC!')`: `"€!"`, `unescape('\xD800')`: "error: no Unicode", `unescape('\x11000000')`: "error: no Unicode",
		`unescape('\xfffffffffffffffffffff')`: "error: no Unicode", `unescape('\x')`: "error: unknown escape", `unescape('a\')`: `"a\\"`, `unescape('\你')`: "error: unknown escape", `unescape(bytes)`: "error: not UTF-8",
	})
}

func TestSplittingAndJoining(t *testing.T) {
	run(t, map[string]string{
		`split('abc', '')`: `["abc"]`, `split('', ',', 'notrim')`: `[""]`, `split('a,b,c', ',', 'leading')`: `["a","b,c"]`, `split('a,,', ',', 'trailing')`: `["a,"]`, `split('a,,', ',', 'trailing_notrim')`: `["a,",""]`,
		`split(',a', ',', 'leading_notrim')`: `["","a"]`, `split('a', ',', 'x')`: "error: option", `split('a', ',', '')`: "error: option", `split(true, 'r')`: `["t","ue"]`,
		`tokens(lines, ' ')`: `["a\r\nb\nc"]`, `tokens(lines, ' ', 'nocrlf')`: `["a","b","c"]`, `tokens('a b', ' ', 'x')`: "error: option", `tokens('', ',')`: `[]`, `tokens('你、好，吗', '，、')`: `["你","好","吗"]`, `tokens('½¼', '¼')`: `["½"]`,
		`join_to_string(nums)`: `"1, 2.5, 3"`, `join_to_string('', ['a', 'b'])`: `"ab"`, `join_to_string('a')`: "error: array", `join_to_string([], [])`: "error: separator",
		`join_to_sql_values_string(mixed)`: `"'a', 1, '[2]', '{\"k\":null}', 'null', 'true'"`, `join_to_sql_values_string([quotes])`: `"'it\\'s \\\\ \"so\"'"`, `join_to_sql_values_string([1.0])`: `"1.0"`,
	})
}

func TestSprintf(t *testing.T) {
	run(t, map[string]string{
		`sprintf('~5s|~-5s|~2s|~.1s|~4.1s', 'ab', 'ab', 'abc', 'abc', 'abc')`: `"   ab|ab   |ab|a|   a"`,
		`sprintf('~s~s~s', true, nil, null())`:                                `"truenullundefined"`, `sprintf('~s', ['a', chars])`: `"aHi"`, `sprintf('~s', 1)`: "error: ~s wants a text", `sprintf('~s', [true])`: "error: ~s wants",
		`sprintf('~p ~w', 'ab', 'ab')`: `"<<\"ab\">> <<97,98>>"`, `sprintf('~p', bytes)`: `"<<255,0,254>>"`, `sprintf('~p ~w', chars, chars)`: `"\"Hi\" [72,105]"`,
		`sprintf('~p', obj)`: `"#{<<\"a\">> => 1,<<\"b\">> => #{<<\"c\">> => <<\"{\\\"d\\\":[1]}\">>},<<\"x.y\">> => 7}"`,
		`sprintf('~p ~p ~p ~p', 1.0, 1000.0, 0.0001, 1.2e-10)`: `"1.0 1.0e3 0.0001 1.2e-10"`, `sprintf('~p', 1.5e22)`: `"1.5e22"`,
		`sprintf('~p~p~p', true, nil, null())`: `"truenullundefined"`, `sprintf('~2p|~6w', 100, 100)`: `"**|   100"`,
		`sprintf('~b ~.16b ~.16B ~.2#  ~.36+', 255, 255, 255, 5, 35)`: `"255 ff FF 2#101  36#z"`, `sprintf('~4..0b|~-4.10.0b|~1b', -7, 7, 100)`: `"00-7|7000|*"`, `sprintf('~.16X', -255, '0x')`: `"-0xFF"`, `sprintf('~b', 1.5)`: "error: integer", `sprintf('~.37b', 1)`: "error: base",
		`sprintf('~b', big)`:                           `"123456789012345678901234567890"`,
		`sprintf('~.2f ~f ~8.1f', 3.14159, 1.5, 2.25)`: `"3.14 1.500000      2.3"`, `sprintf('~e ~.3e', 3.14159, 314159.0)`: `"3.14159e+0 3.14e+5"`, `sprintf('~g ~g ~g', 1.5, 123456.0, 0.01)`: `"1.50000 1.23456e+5 1.00000e-2"`, `sprintf('~f', 1)`: "error: float", `sprintf('~.0f', 1.5)`: "error: precision",
		`sprintf('~c~3c~.2c', 65, 66, 20320)`: `"ABBB你你"`, `sprintf('~c', 'a')`: "error: code point", `sprintf('~2n~3~|~i', 1)`: `"\n\n~~~|"`, `sprintf('~*b', 4, 7)`: `"   7"`, `sprintf('~*b', 'x', 7)`: "error: wants an integer",
		`sprintf('~q', 1)`: "error: unknown control sequence ~q", `sprintf('~')`: "error: ends within", `sprintf('x', 1)`: "error: 1 arguments over", `sprintf('~p~p', 1)`: "error: more arguments", `sprintf('~999999999s', 'a')`: "error: too much data",
	})
}

func TestRegularExpressions(t *testing.T) {
	run(t, map[string]string{
		`regex_match('ABC', '(?i)abc')`: "true", `regex_match('aa', '^(a)\1$')`: "true", `regex_match('ab', '(?<!x)b')`: "true", `regex_match('a', '(')`: "error: missing",
		`regex_match(unescape('abc\n'), '^[a-z]+$')`: "true", `regex_match(unescape('abc\n\n'), '^[a-z]+$')`: "false", `regex_match(unescape('a\n'), '(?=a)a$')`: "true",
		`regex_replace('abxc', 'x*', '-')`: `"-a-b--c-"`, `regex_replace('abc', '(b)(x)?', '[\1\2\9\\\&&]')`: `"a[b\\&b]c"`, `regex_replace('aXbX', '(?=X)', '-')`: `"a-Xb-X"`, `regex_replace('a.b', '[.$]', '')`: `"ab"`,
		`regex_replace('abc', '(?<=a)b(c)', '\1\1')`: `"acc"`, `regex_replace('', 'a*', 'x')`: `"x"`, `regex_replace('abc', 'z', 'x')`: `"abc"`,
		`regex_match('aaa', 'a++a')`: "false", `regex_match('aab', '(?:a|b){2}+b')`: "true", `regex_match('"ab"c', '"[^"]*+"c')`: "true", `regex_match('(a', '\(++a')`: "true", `regex_match('é', '^é?+$')`: "true",
		`regex_replace(unescape('a \tb'), '\h+', '_')`: `"a_b"`, `regex_replace(lines, '\R', ',')`: `"a,b,c"`, `regex_match(unescape('a\n'), '(?=a)a\Z')`: "true", `regex_replace('a$b]c', '(?=.)[]$\h[:digit:]]', '')`: `"abc"`, `regex_match('a{,b', '(?=a)a{,b')`: "true",
		`regex_match(lines, '(?m)(?=b)b$')`: "true", `regex_match('A', '(?=.)\p{Lu}+')`: "true", `regex_match('a', '(?=a)\')`: "error: illegal", `regex_match('a', '(?=a)[')`: "error: unterminated",
		`regex_extract('ac', '(a)(b)?(c)')`: `["a","","c"]`, `regex_extract('a', '(a)(b)?')`: `["a"]`, `regex_extract('x', '(a)')`: "[]", `regex_extract('abab', '(?=(ab))\1(a)')`: `["ab","a"]`, `regex_extract('a', '(?=a)(a)(b)?')`: `["a"]`,
	})
}

func TestRegexTimeLimit(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{RegexTimeout: time.Millisecond})
	check(t, c, `regex_match('`+strings.Repeat("a", 64)+`', '^(?=a)(a+)+\1b$')`, "error: takes too long")
}

func TestArraysAndMaps(t *testing.T) {
	run(t, map[string]string{
		`nth(1, mixed)`: `"a"`, `nth(0, nums)`: "error: no element 0", `nth(big, nums)`: "error: no element", `length(mixed)`: "6", `sublist(0, nums)`: "[]", `sublist(3, 1, nums)`: "[3]", `sublist(9, 1, nums)`: "[]", `sublist(0, 1, nums)`: "error: start", `sublist(-1, nums)`: "error: negative", `sublist(1, 'a')`: "error: string", `sublist(1, nums, nums)`: "error: length must be",
		`last(nums)`: "3", `contains([2], mixed)`: "true", `contains(1.0, nums)`: "false", `contains(nil, mixed)`: "true",
		`map_get('b.c.d', obj)`: "[1]", `map_get('b.x', obj, 'no')`: `"no"`, `map_get('x.y', obj)`: "undefined", `mget('x.y', obj)`: "7", `map_get('a', nums)`: "undefined", `map_get('a', 'no json', 0)`: "0", `map_get('a.b', obj, 0)`: "0", `map_get(1, obj)`: "error: not integer",
		`map_put('b.n', 1, obj)`: `{"a":1,"b":{"c":"{\"d\":[1]}","n":1},"x.y":7}`, `map_put('b.c.d', 1, obj)`: `{"a":1,"b":{"c":{"d":1}},"x.y":7}`, `map_put('a', 1, '{"b":2}')`: `{"a":1}`, `map_put('a.b', 1, nil)`: `{"a":{"b":1}}`,
		`mput('x.y', 8, '{"x.y":7}')`: `{"x.y":8}`, `mput(true, 1, map_new())`: `{"true":1}`, `mget(['b', 'c', 'd'], obj)`: "[1]", `mget(['b', 'x'], obj, 0)`: "0", `mget(5, obj)`: "undefined", `mput(['b', 'n'], 1, '{"b":{"c":2}}')`: `{"b":{"c":2,"n":1}}`, `mget('z', obj, 9)`: "9", `mget('a', 'x')`: "error: invalid JSON",
		`map_keys(obj)`: `["a","b","x.y"]`, `map_values('{"b":1,"a":[]}')`: "[[],1]", `map_keys('[1]')`: "error: no object", `map_size([])`: "0", `map_to_entries(map_new())`: "[]",
		`map_to_redis_hset_args(json_decode('{"a":1.25,"b":true,"c":[1],"d":null,"e":"x"}'))`: `["map_to_redis_hset_args","a","1.25","b","true","e","x"]`, `map_to_redis_hset_args('x')`: `["map_to_redis_hset_args"]`,
	})
}

func TestHashesAndEncodings(t *testing.T) {
	run(t, map[string]string{
		`md5(true)`: "error: not boolean", `hash('md5', true)`: `"b326b5062b2f0e69046810717534cb09"`, `hash('sha3_256', '')`: `"a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"`,
		`hash('blake2s', '')`: `"69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9"`, `strlen(hash('blake2b', ''))`: "128", `hash('md4', '')`: `"31d6cfe0d16ae931b73c59d7e0c089c0"`, `hash('ripemd160', '')`: `"9c1185a5c5e9fc54612808977ee8f548b2258d31"`,
		`hash('shake128', '')`: `"7f9c2ba4e88f827d616045507605853e"`, `strlen(hash('sha512_256', ''))`: "64", `strlen(hash('sha3_224', 'a'))`: "56", `strlen(hash('sha3_384', 'a'))`: "96", `strlen(hash('sha3_512', 'a'))`: "128", `strlen(hash('shake256', 'a'))`: "64", `strlen(hash('sha224', 'a'))`: "56", `strlen(hash('sha384', 'a'))`: "96", `strlen(hash('sha512_224', 'a'))`: "56",
		`base64_decode('aGVs bG8=')`: `"hello"`, `base64_decode('YQ==', 'no_padding')`: `"a"`, `base64_decode('YQ')`: "error: illegal base64", `base64_encode(hexstr2bin('fbff'), 'urlsafe', 'no_padding')`: `"-_8"`, `base64_decode('-_8', 'no_padding', 'urlsafe')`: "\"\uFFFD\uFFFD\"", `base64_encode('a', 5)`: `"YQ=="`,
		`bin2hexstr(bits3)`: `"5"`, `bin2hexstr(subbits('ab', 1, 11, 'bits'))`: `"30B"`, `hexstr2bin('')`: `""`, `hexstr2bin('161')`: `"\u0001a"`, `hexstr2bin('6', '0x')`: "error: begin with", `sqlserver_bin2hexstr(bits3)`: `"0x5"`,
		`json_encode(bytes)`: "\"\\\"\uFFFD\\\\u0000\uFFFD\\\"\"", `json_encode(null())`: `"\"undefined\""`, `json_decode('[1e3, 1.0, 1]')`: "[1.0e3,1.0,1]", `json_decode('{"a":1,"a":2}')`: `{"a":2}`,
		`bin2hexstr(zip('hello'))`: `"CB48CDC9C90700"`, `bin2hexstr(zip_compress('hello'))`: `"789CCB48CDC9C90700062C0215"`, `bin2hexstr(gzip('hello'))`: `"1F8B0800000000000003CB48CDC9C9070086A6103605000000"`, `bin2hexstr(zip(''))`: `"0300"`,
		`bin2hexstr(term_encode(mixed))`:  `"836C000000066D000000016161016C0000000161026A74000000016D000000016B77046E756C6C77046E756C6C7704747275656A"`,
		`term_decode(term_encode(mixed))`: `["a",1,[2],{"k":null},null,true]`, `term_decode(term_encode(big))`: "123456789012345678901234567890", `term_decode(term_encode(bits3))`: `"<<5:3>>"`, `term_decode(term_encode(-300))`: "-300", `term_decode(hexstr2bin('836B00020102'))`: "[1,2]", `term_decode(hexstr2bin('8368016101'))`: "error: type 104", `term_decode(hexstr2bin('836C7FFFFFFF'))`: "error: cut off", `term_decode(hexstr2bin('8361016101'))`: "error: left over",
	})
}

func TestBitsOfThings(t *testing.T) {
	run(t, map[string]string{
		`bitand(big, 255)`: "210", `bitor(big, 1)`: "123456789012345678901234567891", `bitxor(big, big)`: "0", `bitnot(big)`: "-123456789012345678901234567891", `bitsl(1, 63)`: "9223372036854775808", `bitsl(-1, 63)`: "-9223372036854775808", `bitsl(5, 60)`: "5764607523034234880", `bitsr(big, 90)`: "99", `bitsr(-1, 1000)`: "-1", `bitsl(8, -1)`: "4", `bitsr(8, -1)`: "16", `bitsl(1, 10000000)`: "error: bits", `bitsl(0, 10000000)`: "0", `bitsr(1, -9223372036854775808)`: "error: bits",
		`bitsize(bits3)`: "3", `bytesize([1, 'ab', [0]])`: "4", `bytesize([256])`: "error: neither", `bitsize(1)`: "error: not integer",
		`subbits(bits3, 2, 2)`: "1", `subbits(bits3, 4, 1)`: "undefined", `subbits('a', 0, 1)`: "undefined", `subbits('ab', 1, -1)`: "24930", `subbits('ab', 1, 12, 'integer', 'unsigned', 'little')`: "1633", `subbits('ab', 5, 8, 'bits')`: `"\u0016"`, `subbits('a', 1, 3, 'bits')`: `"<<3:3>>"`,
		`subbits(hexstr2bin('80000000000000000000'), 1, 80, 'integer', 'signed')`: "-604462909807314587353088", `subbits(hexstr2bin('ffffffffffffffff'), 64)`: "18446744073709551615", `subbits(hexstr2bin('ffffffffffffffffff'), 1, 68, 'integer', 'unsigned', 'big')`: "295147905179352825855", `subbits('a', 1, 0)`: "0",
		`subbits(hexstr2bin('3F800000'), 1, 32, 'float')`: "1.0", `subbits(hexstr2bin('3F80'), 1, 8, 'float')`: "1.875", `subbits(hexstr2bin('7C00'), 1, 16, 'float')`: "error: no float", `subbits(hexstr2bin('0001'), 1, 16, 'float')`: "5.960464477539063e-8", `subbits('a', 1, 8, 'float')`: "error: no float", `subbits('a', 1, 8, 'x')`: "error: type", `subbits('a', 1, 8, 'bits', 'x')`: "error: sign", `subbits('a', 1, 8, 'bits', 'signed', 'x')`: "error: endian",
	})
}

func TestDateAndTime(t *testing.T) {
	run(t, map[string]string{
		`now_timestamp()`: "1708933353", `now_timestamp('nanosecond')`: "1708933353472123456", `now_rfc3339('millisecond')`: `"2024-02-26T07:42:33.472+00:00"`, `now_rfc3339()`: `"2024-02-26T07:42:33+00:00"`, `now_timestamp('hour')`: "error: unit",
		`unix_ts_to_rfc3339(-1)`: `"1969-12-31T23:59:59+00:00"`, `unix_ts_to_rfc3339(1708671600000000001, 'nanosecond')`: `"2024-02-23T07:00:00.000000001+00:00"`, `unix_ts_to_rfc3339(1000000000000)`: "error: between the years",
		`rfc3339_to_unix_ts('2024-02-23t15:56:30z')`: "1708703790", `rfc3339_to_unix_ts('2024-02-23 15:56:30+00:00')`: "1708703790", `rfc3339_to_unix_ts('1969-12-31T23:59:59.5Z', 'millisecond')`: "-500", `rfc3339_to_unix_ts('2024-02-30T00:00:00Z')`: "error: no RFC 3339",
		`format_date('second', 'local', '%Y-%m-%d')`: `"2024-02-26"`, `format_date('millisecond', null(), '%H:%M:%S.%N', 1500)`: `"00:00:01.500000000"`, `format_date('second', '-05:30:15', '%::z %:z %z', 0)`: `"-05:30:15 -05:30 -0530"`, `format_date('second', 'Z', '100%% %q%', 0)`: `"100%% %q%"`, `format_date('second', '+25:00', '%Y', 0)`: "error: no time zone", `format_date('second', 'Z', '%Y', 'x')`: "error: not string",
		`date_to_unix_ts('millisecond', 3600, '%d.%m.%Y %H:%M:%S,%3N', '01.01.1970 01:00:00,250')`: "250", `date_to_unix_ts('second', '%Y%m%d%H%M%S%z', '19700101000000-0100')`: "3600", `date_to_unix_ts('nanosecond', '%Y-%m-%d %H:%M:%S.%N', '2024-02-23 15:00:00.000000001')`: "1708700400000000001",
		`date_to_unix_ts('second', '%Y-%m-%d', '2024-02-23')`: "error: no %H", `date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', '2024-13-01 00:00:00')`: "error: no such date", `date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', '2024-0x-01 00:00:00')`: "error: is no number", `date_to_unix_ts('second', '%y', '24')`: "error: unknown placeholder", `date_to_unix_ts('second', '%Y-%m-%d %H:%M:%S', '2024-02-2')`: "error: too short",
		`timezone_to_offset_seconds('+01:02:03')`: "3723", `timezone_to_offset_seconds('+010203')`: "3723", `timezone_to_offset_seconds('local')`: "0", `timezone_to_offset_seconds('')`: "error: no time zone", `timezone_to_offset_seconds('+1:2:3:4')`: "error: no time zone", `timezone_to_offset_seconds('+00:60')`: "error: no time zone", `timezone_to_offset_seconds(nil)`: "error: not null",
	})
}

func TestLocalTime(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{Location: time.FixedZone("X", -3*3600-1800)})
	check(t, c, `unix_ts_to_rfc3339(0)`, `"1969-12-31T20:30:00-03:30"`)
	check(t, c, `timezone_to_offset_seconds('local')`, `-12600`)
}

// TestLocalTimeOfTheInstant: summer and winter have different offsets, whatever the
// season is when the rule runs.
func TestLocalTimeOfTheInstant(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	for _, now := range []time.Time{time.Unix(1704067200, 0), time.Unix(1720000000, 0)} {
		c := newCtx(builtin.Config{Location: berlin, Now: func() time.Time { return now }})
		check(t, c, `format_date('second', 'local', '%Y-%m-%d %H:%M:%S%:z', 1704067200)`, `"2024-01-01 01:00:00+01:00"`)
		check(t, c, `format_date('millisecond', 'local', '%H:%M:%S.%3N%z', 1720000000001)`, `"11:46:40.001+0200"`)
		check(t, c, `date_to_unix_ts('second', 'local', '%Y-%m-%d %H:%M:%S', '2024-01-01 01:00:00')`, `1704067200`)
		check(t, c, `date_to_unix_ts('second', 'local', '%Y-%m-%d %H:%M:%S', '2024-07-03 11:46:40')`, `1720000000`)
		check(t, c, `unix_ts_to_rfc3339(1720000000)`, `"2024-07-03T11:46:40+02:00"`)
		for ts := int64(1700000000); ts < 1740000000; ts += 86400 * 7 {
			check(t, c, fmt.Sprintf(`date_to_unix_ts('second', 'local', '%%Y%%m%%d%%H%%M%%S', format_date('second', 'local', '%%Y%%m%%d%%H%%M%%S', %d))`, ts), fmt.Sprint(ts))
		}
	}
}

func TestRandomValues(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{Random: func() uint64 { return 1<<64 - 1 }})
	check(t, c, `uuid_v4()`, `"ffffffff-ffff-4fff-bfff-ffffffffffff"`)
	check(t, c, `uuid_v4_no_hyphen()`, `"ffffffffffff4fffbfffffffffffffff"`)
	check(t, c, `random()`, `0.9999999999999999`)
}

func TestEventFunctions(t *testing.T) {
	run(t, map[string]string{
		`clientid()`: `"c1"`, `username()`: "undefined", `clientip()`: `"10.0.0.1"`, `peerhost()`: `"10.0.0.1"`, `msgid()`: `"0005"`, `qos()`: "1", `topic()`: `"t/1//x"`, `topic(3)`: `""`, `topic(4)`: `"x"`, `topic(5)`: "error: no level 5", `topic(0)`: "error: no level 0",
		`payload('a.b')`: "5", `payload('a.x')`: "undefined", `flags()`: `{"retain":true}`, `flag('retain')`: "true", `flag('dup')`: "undefined",
	})
}

func TestTopicsOfSubscriptions(t *testing.T) {
	run(t, map[string]string{
		`contains_topic(json_decode('[{"topic":"t/a","qos":0},{"topic":"t/b","qos":1}]'), 't/b')`: "true", `contains_topic(json_decode('[{"topic":"t/b","qos":1}]'), 't/b', 1)`: "true", `contains_topic(json_decode('[{"topic":"t/b","qos":1}]'), 't/b', 2)`: "false",
		`contains_topic(json_decode('[{"topic":"t/#","qos":1}]'), 't/b')`: "false", `contains_topic_match(json_decode('[{"topic":"t/#","qos":1}]'), 't/b', 1)`: "true", `contains_topic_match(json_decode('[{"topic":"t/#","qos":1}]'), 't/b', 0)`: "false", `contains_topic_match(['t/b'], 't/+')`: "true",
		`contains_topic([], 't')`: "false", `contains_topic(nums, 't')`: "false", `contains_topic_match(mixed, 'a')`: "true", `contains_topic('t', 't')`: "error: must be array", `contains_topic(['t'], 1)`: "error: must be string",
		`mongo_date()`: `"ISODate(2024-02-26T07:42:33.472Z)"`, `mongo_date(0)`: `"ISODate(1970-01-01T00:00:00.000Z)"`, `mongo_date(1708671600, 'second')`: `"ISODate(2024-02-23T07:00:00.000Z)"`, `mongo_date(-1, 'nanosecond')`: `"ISODate(1969-12-31T23:59:59.999Z)"`, `mongo_date(1, 'x')`: "error: unit", `mongo_date('1')`: "error: must be integer",
		`mget(1, obj)`: "undefined", `mget(1, obj, 'no')`: `"no"`, `mput(1, 2, map_new())`: `{"1":2}`,
	})
}

func TestEventFunctionsWithoutColumns(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{})
	check(t, c, `flags()`, `{}`)
	check(t, c, `topic(1)`, `undefined`)
	check(t, c, `payload('a')`, `undefined`)
	c.Event = event{"payload": value.String("no json")}
	check(t, c, `payload('a')`, `error: invalid JSON`)
	check(t, c, `payload()`, `"no json"`)
}

func TestState(t *testing.T) {
	t.Parallel()
	asked := 0
	cfg := builtin.Config{MaxEntries: 2, Now: time.Now, Getenv: func(name string) string { asked++; return "<" + name + ">" }}
	c := newCtx(cfg)
	other := &builtin.Ctx{Env: c.Env, Arena: new(value.Arena)}
	check(t, c, `kv_store_put(1, ['a'])`, `true`)
	check(t, c, `kv_store_put('1', 2)`, `true`)
	check(t, c, `kv_store_put('2', 2)`, `error: limit of 2 keys`)
	check(t, other, `kv_store_get(1)`, `["a"]`)
	check(t, other, `kv_store_get('1')`, `2`)
	check(t, c, `kv_store_del(1)`, `true`)
	check(t, c, `kv_store_get(1, 'gone')`, `"gone"`)
	check(t, newCtx(cfg), `kv_store_get('1')`, `undefined`)

	check(t, c, `getenv('X')`, `"<X>"`)
	check(t, other, `getenv('X')`, `"<X>"`)
	require.Equal(t, 1, asked)
}

func TestClientsDictionary(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{MaxEntries: 4})
	other := &builtin.Ctx{Env: c.Env, Arena: new(value.Arena), Event: event{"clientid": value.String("other")}}
	check(t, c, `proc_dict_put('k', 'v')`, `undefined`)
	check(t, c, `proc_dict_put('k', 'w')`, `"v"`)
	check(t, other, `proc_dict_get('k')`, `undefined`)
	check(t, c, `proc_dict_del('k')`, `"w"`)
	check(t, c, `proc_dict_get('k')`, `undefined`)

	for i := range 10 { // one that is used stays, of the others only the youngest do
		check(t, c, `proc_dict_put('used', 1)`, map[bool]string{true: "undefined", false: "1"}[i == 0])
		check(t, other, fmt.Sprintf(`proc_dict_put(%d, %d)`, i, i), `undefined`)
	}
	check(t, c, `proc_dict_get('used')`, `1`)
	check(t, other, `proc_dict_get(9)`, `9`)
	check(t, other, `proc_dict_get(0)`, `undefined`)
}

// TestEnvIsSharedSafely is for the race detector.
func TestEnvIsSharedSafely(t *testing.T) {
	t.Parallel()
	env := builtin.NewEnv(builtin.Config{CacheSize: 2, MaxEntries: 8, Location: time.UTC})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			c := &builtin.Ctx{Env: env, Arena: new(value.Arena)}
			for i := range 50 {
				for expr, want := range map[string]string{
					fmt.Sprintf(`regex_match('a%d', '^a%d$')`, i%5, i%5): "true",
					fmt.Sprintf(`jq('.+%d', 1)`, i%4):                    fmt.Sprintf("[%d]", 1+i%4),
					fmt.Sprintf(`kv_store_put(%d, 'x')`, w):              "true",
					`is_int(proc_dict_put('x', 1))`:                      "true",
					`unzip(zip('abc abc abc'))`:                          `"abc abc abc"`,
				} {
					v, err := evalText(t, c, expr)
					if err != nil || i > 0 && show(v) != want {
						t.Errorf("%s is %s (%v), want %s", expr, show(v), err, want)
					}
				}
				c.Arena.Reset()
			}
		})
	}
	wg.Wait()
}

func TestJQ(t *testing.T) {
	run(t, map[string]string{
		`jq('.', '{"b":[1.0,1,"x",null]}')`: `[{"b":[1.0,1,"x",null]}]`, `jq('.a*1.8+32', '{"a":10}')`: "[50]", `jq('.[] | . / 2', '[1, 2]')`: "[0.5,1]", `jq('empty', 1)`: "[]", `jq('.', big)`: "[123456789012345678901234567890]",
		`jq('., .+1, -.', 1795000000000)`: "[1795000000000,1795000000001,-1795000000000]", `jq('.a[0]', '{"a":[2147483648]}')`: "[2147483648]",
		`jq('.', null())`: `["undefined"]`, `jq('.x', obj)`: "[null]", `jq('nan, infinite', 1)`: "[null,1.7976931348623157e308]", `jq('error("no")', 1)`: "error: no", `jq('.', 'bad')`: "error: invalid JSON", `jq('1, halt, 2', 1)`: "[1]", `jq('.', 1, -1)`: "error: negative",
	})
}

func TestJQTimeLimit(t *testing.T) {
	t.Parallel()
	check(t, newCtx(builtin.Config{}), `jq('def f: f; f', 1, 5)`, "error: the limit is 5ms")
	check(t, newCtx(builtin.Config{JQTimeout: time.Millisecond}), `jq('last(range(1e12))', 1)`, "error: the limit is 1ms")
}

func TestListLimit(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{MaxList: 3})
	check(t, c, `split('a,b,c', ',')`, `["a","b","c"]`)
	check(t, c, `split('a,b,c,d', ',')`, `error: the limit is 3`)
	check(t, c, `jq('range(4)', 1)`, `error: limit is 3`)
}

func TestDepthIsBounded(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{})
	dots := strings.Repeat(".", value.MaxDepth-1)
	c.Event = event{"path": value.String(dots), "long": value.String(dots + ".")}
	_, err := evalText(t, c, `kv_store_put('k', map_put(path, 1, map_new()))`)
	require.NoError(t, err)
	for _, expr := range []string{
		`map_put(long, 1, map_new())`, `mput(split(concat(long, '.'), '.', 'notrim'), 1, map_new())`,
		`kv_store_put('k', [kv_store_get('k')])`, `proc_dict_put('k', [kv_store_get('k')])`,
		`jq('reduce range(1002) as $i (null; [.])', 1)`,
	} {
		_, err := evalText(t, c, expr)
		require.ErrorIs(t, err, value.ErrDepth, expr)
	}
}

func TestGrowthIsBounded(t *testing.T) {
	t.Parallel()
	c := newCtx(builtin.Config{})
	c.Arena.Limit = 1000
	bomb, err := evalText(t, newCtx(builtin.Config{}), `zip(pad('', 100000))`)
	require.NoError(t, err)
	c.Event = event{"bomb": bomb, "s": value.String(strings.Repeat("a", 300))}
	for _, expr := range []string{`unzip(bomb)`, `replace(s, 'a', 'bbbb')`, `regex_replace(s, 'a', '&&&&')`, `concat(concat(concat(s, s), s), s)`, `join_to_string(s, ['', '', '', '', ''])`, `sprintf('~s~s~s~s', s, s, s, s)`, `bin2hexstr(bin2hexstr(s))`} {
		c.Arena.Reset()
		_, err := evalText(t, c, expr)
		require.ErrorIs(t, err, value.ErrLimit, expr)
	}
}
