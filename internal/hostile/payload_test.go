//go:build linux

package hostile_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluiceio/sluice/rule"
)

const mib = 1 << 20

// payloadRows are payloads that make a rule of good faith work hard.
func payloadRows() []row {
	p := func(name, sql, good string, payload func() string, answer string, short bool) row {
		return row{boundary: devicePayload, name: name, short: short, answer: answer, prepare: onMessage(sql, good, payload)}
	}
	const good = `{"a":[1],"b":[1],"s":"x","n":1,"k":"k","sep":",","by":"b","l":["x"],"m":{}}`
	rows := []row{
		p("20,000 rows of the whole payload", `FOREACH payload.a FROM "t/#"`, good, items(20_000, "100"), overMemory, true),
		p("60,000 rows of the whole payload", `FOREACH payload.a FROM "t/#"`, good, items(60_000, "1"), overMemory, true),
		p("a million items", `FOREACH payload.a FROM "t/#"`, good, items(1_000_000, "1"), `rule r: FOREACH at 1:9: budget "rows" exceeded: 1000000 items, the limit is 100000`, true),
		p("100,000 small rows", `FOREACH payload.a AS x DO x FROM "t/#"`, good, items(100_000, "1"), ok+"|"+overMemory, false),
		p("rows that decode the payload", `FOREACH payload.a AS x DO map_get('z', payload) AS y FROM "t/#"`, good, items(20_000, "10"), overAny, false),
		p("rows that hash the payload", `FOREACH payload.a AS x DO x INCASE md5(payload) = 'x' FROM "t/#"`, good, items(90_000, "10"), overTime, true),
		p("rows that compare lists", `FOREACH payload.a AS x DO x INCASE payload.a = payload.b FROM "t/#"`, good, func() string {
			list := strings.Repeat("1,", 50_000)
			return `{"a":[` + list + `1],"b":[` + list + ` 1]}`
		}, overAny, false),
		p("rows that search a list", `FOREACH payload.a AS x DO x INCASE contains(x, payload.b) FROM "t/#"`, good, func() string {
			list := strings.Repeat("1,", 50_000)
			return `{"a":[` + list + `1],"b":[` + list + ` 1]}`
		}, ok+"|"+overAny, false),
		p("rows of calculations with a large integer", `FOREACH payload.a AS x DO x INCASE x * payload.n > 0 AND false FROM "t/#"`, good, func() string {
			return `{"n":` + strings.Repeat("7", 300_000) + `,"a":[` + strings.Repeat("3,", 50_000) + `1]}`
		}, ok+"|"+overAny, false),
		p("rows of divisions of large integers", `FOREACH payload.a AS x DO x INCASE payload.n mod payload.m = x FROM "t/#"`, `{"n":1,"m":1,"s":"1","a":[1]}`, func() string {
			return `{"n":` + strings.Repeat("7", 300_000) + `,"m":` + strings.Repeat("3", 150_000) + `,"a":[` + strings.Repeat("3,", 50_000) + `1]}`
		}, overAny, false),
		p("rows of functions of large integers", `FOREACH payload.a AS x DO x INCASE mod(payload.n, payload.m) = x FROM "t/#"`, `{"n":1,"m":1,"s":"1","a":[1]}`, func() string {
			return `{"n":` + strings.Repeat("7", 300_000) + `,"m":` + strings.Repeat("3", 150_000) + `,"a":[` + strings.Repeat("3,", 50_000) + `1]}`
		}, overAny, false),
		p("rows that compare a text with a large integer", `FOREACH payload.a AS x DO x INCASE payload.n = payload.s FROM "t/#"`, `{"n":1,"m":1,"s":"1","a":[1]}`, func() string {
			return `{"n":` + strings.Repeat("7", 300_000) + `,"s":"` + strings.Repeat("7", 300_000) + `","a":[` + strings.Repeat("3,", 50_000) + `1]}`
		}, ok+"|"+overAny, false),
		p("rows that compare an integer with a float", `FOREACH payload.a AS x DO x INCASE payload.n < 0.5 FROM "t/#"`, `{"n":1,"m":1,"s":"1","a":[1]}`, func() string {
			return `{"n":` + strings.Repeat("7", 300_000) + `,"a":[` + strings.Repeat("3,", 90_000) + `1]}`
		}, ok+"|"+overAny, false),
		p("rows of JSON in a text", `FOREACH payload.a AS x DO x INCASE payload.s.k = x FROM "t/#"`, good, func() string {
			return `{"s":"{\"k\":1,\"l\":[` + strings.Repeat("1,", 50_000) + `1]}","a":[` + strings.Repeat("3,", 50_000) + `1]}`
		}, ok+"|"+overAny, false),
		p("rows of placeholders that read the payload", `FOREACH payload.a AS x DO payload AS p FROM "t/#"`, good, func() string {
			return `{"s":"` + strings.Repeat("x", 50_000) + `","a":[` + strings.Repeat("3,", 50_000) + `1]}`
		}, ok+"|"+overAny, false),
		p("a term of texts that are lists", `SELECT term_decode(payload) AS x FROM "t/#"`, "\x83a\x01", func() string {
			n := 60
			return "\x83l" + string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat("k\xff\xff"+strings.Repeat("x", 0xffff), n) + "j"
		}, overMemory, false),
		p("a pattern from the device that is none", `SELECT regex_match('x', payload) AS x FROM "t/#"`, "x", repeated("[", "x", 60_000, ""), `.*regex_match: .*`, false),
		p("a path from the device", `SELECT payload(payload.k) AS x FROM "t/#"`, good, func() string {
			return `{"k":"` + strings.Repeat("a.", 990) + `a","a":` + nested(`{"a":`, "["+strings.Repeat("1,", 500_000)+"1]", "}", 990) + "}"
		}, ok+"|"+overAny, false),
		p("an integer of 4 million digits, compared", `SELECT payload.n AS n FROM "t/#" WHERE payload.n > 5`, good, repeated(`{"n":`, "7", 4_000_000, "}"), `.*an integer of more than 315652 digits`, true),
		p("a negative integer of 300,000 digits, compared", `SELECT 1 AS n FROM "t/#" WHERE payload.n < 5`, good, repeated(`{"n":-`, "7", 300_000, "}"), ok, false),
		p("100 integers of 10,000 digits", `FOREACH payload.a AS x DO x + 1 AS x FROM "t/#"`, good, func() string {
			n := strings.Repeat("9", 10_000)
			return `{"a":[` + strings.Repeat(n+",", 99) + n + `]}`
		}, ok, false),
		p("an integer of 4 million digits in a text", `SELECT 1 AS n FROM "t/#" WHERE payload.s > 5`, `{"s":"7"}`, repeated(`{"s":"`, "7", 4_000_000, `"}`), `.*budget "integer" exceeded.*1048576 bits`, false),
		p("a float with a huge exponent", `SELECT 1 AS n FROM "t/#" WHERE payload.n > 5`, good, lit(`{"n":1e400000000}`), `.*number out of range`, false),
		p("a float with a tiny exponent", `SELECT payload.n AS n FROM "t/#" WHERE payload.n < 5`, good, lit(`{"n":1e-400000000}`), ok, false),
		p("a float of 4 million digits", `SELECT payload.n AS n FROM "t/#" WHERE payload.n < 5`, good, repeated(`{"n":0.`, "7", 4_000_000, "}"), ok, false),
		p("an integer and a float of 300,000 digits", `SELECT 1 AS n FROM "t/#" WHERE payload.n > payload.f`, `{"n":1,"f":0.5}`, func() string {
			return `{"n":` + strings.Repeat("7", 300_000) + `,"f":1.` + strings.Repeat("7", 300_000) + `e308}`
		}, ok, false),
		p("100,000 levels", `SELECT payload.a AS a FROM "t/#"`, good, func() string {
			return `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}"
		}, `.*nested too deeply`, true),
		p("100,000 levels in a text", `SELECT json_decode(payload.s) AS a FROM "t/#"`, `{"s":"1"}`, func() string {
			return `{"s":"` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `"}`
		}, `.*nested too deeply`, false),
		p("990 levels around a megabyte, compared", `SELECT 1 AS a FROM "t/#" WHERE payload.a = payload.b`, good, func() string {
			content := strings.Repeat("1,", 250_000)
			return `{"a":` + nested("[", content+"1", "]", 990) + `,"b":` + nested("[", content+"2", "]", 990) + "}"
		}, ok, true),
		p("990 levels of members out of order", `SELECT payload.a AS a FROM "t/#"`, good, func() string {
			return `{"a":` + nested(`{"b":`, "["+strings.Repeat("1,", 500_000)+"1]", `,"a":1}`, 990) + "}"
		}, ok, true),
		p("990 levels of names with escapes", `SELECT payload.a AS a FROM "t/#"`, good, func() string {
			return `{"a":` + nested(`{"\u0061":`, "["+strings.Repeat("1,", 500_000)+"1]", "}", 990) + "}"
		}, ok, false),
		p("990 levels, read by a list of keys", `SELECT mget(payload.k, payload.m) AS a FROM "t/#"`, `{"k":["a"],"m":{}}`, func() string {
			return `{"k":[` + strings.Repeat(`"a",`, 989) + `"a"],"m":` + nested(`{"a":`, "["+strings.Repeat("1,", 500_000)+"1]", "}", 990) + "}"
		}, ok+"|"+overAny, false),
		p("a path of 400 steps, put", `SELECT map_put(payload.k, 1, payload.m) AS a FROM "t/#"`, good, func() string {
			return `{"k":"` + strings.Repeat(`a.`, 400) + `a","m":` + nested(`{"a":`, strings.Repeat("[1],", 250_000)[1:2]+"2", "}", 900) + "}"
		}, ok+"|"+overAny, false),
		p("control characters", `SELECT payload AS p FROM "t/#"`, good, repeated("", "\x01", mib, ""), ok+"|"+overMemory, false),
		p("a topic level far away", `SELECT topic(payload.n) AS x FROM "t/#"`, good, lit(`{"n":9000000000000000000}`), `.*no level.*`, false),
		p("bits of a long text", `SELECT subbits(payload, 1, 8000000) AS x FROM "t/#"`, "x", repeated("", "\xff", mib, ""), `.*budget "integer" exceeded.*`, false),
		p("a term of many levels", `SELECT term_decode(payload) AS x FROM "t/#"`, "\x83a\x01", func() string {
			return "\x83" + strings.Repeat("l\x00\x00\x00\x01", 100_000) + "j" + strings.Repeat("j", 100_000)
		}, `.*nested too deeply`, false),
		p("a term with a long list", `SELECT term_decode(payload) AS x FROM "t/#"`, "\x83a\x01", func() string {
			n := mib
			return "\x83l" + string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat("j", n+1)
		}, `.*limit.*`, false),
		p("a term with a large integer", `SELECT term_decode(payload) + 1 AS x FROM "t/#"`, "\x83a\x01", func() string {
			n := mib
			return "\x83o" + string(binary.BigEndian.AppendUint32(nil, uint32(n))) + strings.Repeat("\x07", n+1)
		}, `.*budget "integer" exceeded.*`, false),
	}
	for name, compress := range map[string]func(io.Writer) io.WriteCloser{
		"gunzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"unzip": func(w io.Writer) io.WriteCloser {
			z, _ := flate.NewWriter(w, flate.BestCompression)
			return z
		},
		"zip_uncompress": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	} {
		rows = append(rows, p("a bomb for "+name, fmt.Sprintf(`SELECT %s(payload) AS x FROM "t/#"`, name), "", bomb(compress), overMemory, name == "gunzip"))
	}
	deep := func() string {
		return `{"a":` + nested("[", strings.Repeat("1,", 500_000)+"1", "]", 990) + `,"b":["x"],"k":"` + strings.Repeat("a.", 400) + `a","m":` + nested(`{"a":`, "["+strings.Repeat("1,", 500_000)+"1]", "}", 900) + `}`
	}
	for _, expr := range []string{
		`sprintf('~p', payload.a)`, `sprintf('~s', payload.a)`, `term_encode(payload.a)`, `jq('.a | length', payload)`, `jq('.', payload.a)`, `payload.a + 'x'`, `concat(payload.a, 'x')`, `join_to_string(payload.a)`, `join_to_sql_values_string(payload.a)`,
		`contains(payload.b, payload.a)`, `contains(payload.a, [payload.a])`, `kv_store_put('k', payload.a)`, `kv_store_get(payload.a)`, `json_encode(payload.a)`, `json_encode([payload.a, payload.m])`, `map_put(payload.k, 1, payload.m)`, `map_get(payload.k, payload.m)`, `mput(split(payload.k, '.'), 1, payload.m)`,
		`map_to_entries(payload.m)`, `bytesize(payload.a)`, `str(payload.m)`, `payload.a[1][1][1][1]`, `CASE payload.a WHEN payload.b THEN 1 ELSE 2 END`, `payload.a IN (payload.b, payload.m, [payload.a])`, `eq(payload.a, [payload.a])`, `is_empty(payload)`, `map_to_redis_hset_args(payload)`, `map_size(payload.m)`, `coalesce(payload.a)`, `sublist(1, payload.a)`,
		`sparkplug_decode(payload)`, `md5(payload)`, `gzip(payload)`, `base64_decode(base64_encode(payload))`, `hexstr2bin(bin2hexstr(payload))`, `upper(payload)`, `reverse(payload)`, `unescape(payload)`, `str_utf16_le(payload)`, `strlen(payload)`, `find(payload, payload.k)`, `rm_prefix(payload, 'x')`, `zip_uncompress(zip_compress(payload))`, `regex_match(payload, 'x(1,1)*y')`, `regex_extract(payload, '(.*)(.*)(.*)x')`,
	} {
		rows = append(rows, p("990 levels around a megabyte: "+expr, "SELECT "+expr+` AS x FROM "t/#"`, "", deep, ".+", expr == `sprintf('~p', payload.a)`))
	}
	for name, content := range map[string]string{"empty metrics": "\x12\x00", "small metrics": "\x12\x02\x50\x01", "small texts": "\x12\x03\x7a\x01x"} {
		rows = append(rows, p("Sparkplug with "+name, `SELECT sparkplug_decode(payload) AS x FROM "t/#"`, "", repeated("", content, 2*mib/len(content), ""), overMemory, false))
	}
	rows = append(rows,
		p("20 MiB that are passed on", `SELECT payload FROM "t/#"`, good, repeated("", "x", 20*mib, ""), ok, false),
		row{boundary: devicePayload, name: "100 poison messages in a row", answer: overMemory, cpu: 20 * time.Second, prepare: func() func() string {
			process := onMessage(`FOREACH payload.a FROM "t/#"`, good, items(20_000, "100"))()
			return func() (answer string) {
				for range 100 {
					answer = process()
				}
				return answer
			}
		}},
		row{boundary: devicePayload, name: "a store that is filled", answer: `.*budget "kv_bytes" exceeded: .*67108864 bytes`, prepare: func() func() string {
			process := onMessage(`SELECT kv_store_put(uuid_v4(), payload) AS x FROM "t/#"`, "", repeated("", "x", mib, ""))
			return storing(process)
		}},
		row{boundary: devicePayload, name: "a store that forgets", answer: ok, prepare: func() func() string {
			process := onMessage(`SELECT proc_dict_put(uuid_v4(), payload) AS x FROM "t/#"`, "", repeated("", "x", mib, ""))
			return storing(process)
		}},
	)
	rows = append(rows, row{
		boundary: devicePayload, name: "keys and destinations of 20,000 rows", answer: ok,
		prepare: message(`FOREACH payload.a AS x DO x FROM "t/#"`, `{"a":[1],"k":"x"}`, []rule.Action{{Key: "${x}", Data: "${x}", Dest: "${x}"}}, func() string {
			return `{"a":[` + strings.Repeat(`"`+strings.Repeat("x", 1000)+`",`, 20_000) + `1]}`
		}),
	})
	return rows
}

// storing processes a message 200 times.
func storing(prepare func() func() string) func() string {
	process := prepare()
	return func() (answer string) {
		for range 200 {
			if answer = process(); answer != "ok" {
				return answer
			}
		}
		return answer
	}
}

func nested(open, content, end string, n int) string {
	return strings.Repeat(open, n) + content + strings.Repeat(end, n)
}

// bomb is 32 MiB of zeros, compressed.
func bomb(compress func(io.Writer) io.WriteCloser) func() string {
	return func() string {
		var b bytes.Buffer
		w := compress(&b)
		zeros := make([]byte, mib)
		for range 32 {
			if _, err := w.Write(zeros); err != nil {
				panic(err)
			}
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		return b.String()
	}
}
