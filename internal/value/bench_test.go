package value_test

import (
	"testing"

	"github.com/sluiceio/sluice/internal/value"
)

const reading = `{"id":"sensor-000017","type":"temperature","location":{"building":"B7","floor":3,"lat":52.5163,"lon":13.3777},` +
	`"tags":["outdoor","north"],"values":{"temp":21.75,"hum":48.2,"bat":3.61},"seq":184467}`

func bench(b *testing.B, f func(dst []byte) []byte) {
	dst := f(nil)
	b.ReportAllocs()
	b.SetBytes(int64(len(dst)))
	for b.Loop() {
		dst = f(dst[:0])
	}
}

func BenchmarkAppendQuotedPayload(b *testing.B) {
	bench(b, func(dst []byte) []byte { return value.AppendQuoted(dst, reading) })
}

func BenchmarkAppendQuotedPlain(b *testing.B) {
	bench(b, func(dst []byte) []byte { return value.AppendQuoted(dst, "sensors/building-7/floor-3/temperature") })
}

func BenchmarkAppendRawUnsorted(b *testing.B) {
	v := parse(b, reading, false)
	bench(b, func(dst []byte) []byte { return value.AppendJSON(dst, v) })
}

func BenchmarkAppendRawSorted(b *testing.B) {
	v := parse(b, js(parse(b, reading, false)), false)
	bench(b, func(dst []byte) []byte { return value.AppendJSON(dst, v) })
}

func BenchmarkAppendText(b *testing.B) {
	for name, v := range map[string]value.Value{"float": value.Float(21.75), "long": value.Float(3.14159265359), "int": value.Int(184467)} {
		b.Run(name, func(b *testing.B) { bench(b, func(dst []byte) []byte { return value.AppendText(dst, v) }) })
	}
}

func BenchmarkMemberOfRaw(b *testing.B) {
	v := parse(b, reading, false)
	b.ReportAllocs()
	for b.Loop() {
		_ = v.Member(nil, "values").Member(nil, "temp")
	}
}
