//go:build linux

package hostile_test

import "strings"

// textRows are payloads for functions of text.
func textRows() []row {
	p := func(name, expr string, payload func() string, answer string, short bool) row {
		return row{boundary: devicePayload, name: name, short: short, answer: answer, prepare: onMessage("SELECT "+expr+` AS x FROM "t/#"`, "", payload)}
	}
	as := repeated(`{"s":"`, "a", 100_000, `b"}`)
	long := repeated(`{"s":"`, "ab", mib/2, `"}`)
	both := func(s, k string) func() string {
		return func() string { return `{"s":"` + s + `","k":"` + k + `"}` }
	}
	return []row{
		p("a pattern that backtracks, replaced", `regex_replace(payload.s, '(?=a)(a+)+$', 'x')`, as, `.*budget "regex" exceeded: .*, the limit is 100ms`, true),
		p("a pattern that backtracks, matched", `regex_match(payload.s, '(?=a)(a|a)*$')`, as, `.*budget "regex" exceeded: .*, the limit is 100ms`, false),
		p("a pattern that backtracks, extracted", `regex_extract(payload.s, '(?=a)(a*)*(a*)*c')`, as, `.*budget "regex" exceeded: .*, the limit is 100ms`, false),
		p("a pattern with a reference", `regex_match(payload.s, '(a*)\1\1c')`, as, `.*budget "regex" exceeded: .*, the limit is 100ms`, false),
		p("a pattern that backtracks on 8 MiB", `regex_match(payload, '(?=a)(a|b)*c')`, repeated("", "ab", 4*mib, ""), ".+", false),
		p("a wide character, often", `sprintf('~*c', payload.n, 128512)`, lit(`{"n":16000000}`), overMemory, false),
		p("many slow matches", `regex_replace(payload.s, '(?=a)(a*?)a{50}c|a', 'x')`, as, ok+`|.*budget "regex" exceeded: .*`, false),
		p("a pattern that matches nothing, replaced", `regex_replace(payload.s, 'x*', '0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789')`, long, `.*budget "(regex|memory)" exceeded: .*`, true),
		p("a pattern that matches each letter, replaced", `regex_replace(payload.s, '[ab]', '0123456789012345678901234567890123456789')`, long, overMemory, false),
		p("a replacement from the device", `regex_replace(payload.s, 'a', payload.k)`, both(strings.Repeat("a", 50_000), strings.Repeat("&", 50_000)), overMemory, false),
		p("a pattern from the device that is large", `regex_match(payload.s, payload.k)`, both("a", "((a{1000}){1000}){3}"), ok+`|.*the pattern .*|.*expression.*`, false),
		p("a pattern from the device of many classes", `regex_match(payload.s, payload.k)`, both("a", strings.Repeat(`\\\\pL{900}`, 10)), `.*the pattern .*|.*expression.*`, false),
		p("separators from the device", `tokens(payload.s, payload.k)`, both(strings.Repeat("a", mib), strings.Repeat("b", mib)), ok, true),
		p("characters to trim from the device", `rtrim(payload.s, payload.k)`, both(strings.Repeat("a", mib), strings.Repeat("b", mib)), ok, false),
		p("a split at every letter", `split(payload.s, 'a')`, long, ok+"|"+overMemory, false),
		p("a separator from the device", `join_to_string(payload.k, split(payload.s, 'a'))`, both(strings.Repeat("ab", 50_000), strings.Repeat("b", 50_000)), overMemory, false),
		p("a replacement of a letter by a text", `replace(payload.s, 'a', payload.k)`, both(strings.Repeat("a", 50_000), strings.Repeat("b", 50_000)), overMemory, true),
		p("a length from the device", `pad(payload.s, payload.n)`, lit(`{"s":"a","n":9000000000000000000}`), overMemory, false),
		p("a length and a filling from the device", `pad(payload.s, payload.n, 'both', payload.s)`, lit(`{"s":"aaaaaaaaaaaaaaaaaaaa","n":4000000}`), overMemory, false),
		p("a format from the device", `sprintf(payload.s, 1)`, lit(`{"s":"~999999999p"}`), overMemory, false),
		p("a format with a long argument, often", `sprintf('~s~s~s~s~s~s~s~s~s~s~s~s~s~s~s~s~s~s~s~s', payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload, payload)`, long, overMemory, false),
		p("a text that doubles", `concat(concat(concat(payload, payload), concat(payload, payload)), concat(concat(payload, payload), concat(concat(payload, payload), concat(concat(concat(payload, payload), concat(payload, payload)), concat(concat(payload, payload), concat(payload, payload))))))`, repeated("", "ab", mib, ""), overMemory, false),
		p("a shift from the device", `bitsl(1, payload.n)`, lit(`{"n":9000000000000000000}`), `.*budget "integer" exceeded.*`, false),
		p("accents without end", `strlen(payload)`, repeated("a", "\u0301", mib/2, ""), ok, false),
		p("flags without end", `reverse(payload)`, repeated("", "\U0001F1E6", mib/4, ""), ok, false),
		p("a date that is none", `rfc3339_to_unix_ts(payload)`, repeated("", "2", mib, ""), `.*RFC 3339.*`, false),
		p("an algorithm that is none", `hash(payload, 'x')`, repeated("", "2", mib, ""), `.*unknown algorithm.*`, false),
		p("a number that is none", `int(payload)`, repeated("", "2x", mib, ""), `.*not a number`, false),
	}
}
