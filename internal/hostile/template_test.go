//go:build linux

package hostile_test

import (
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// templateRows are templates, and payloads that they make much of.
func templateRows() []row {
	r := func(name string, template, payload func() string, answer string, short bool) row {
		return row{boundary: templateText, name: name, short: short, answer: answer, prepare: func() func() string {
			text, data := template(), []byte(payload())
			return func() string {
				r, err := rule.New(rule.Config{Name: "r", SQL: `SELECT * FROM "t/#"`, Actions: []rule.Action{{Data: text, Key: "${topic}", Attrs: map[string]string{"x": text}}}})
				if err != nil {
					return err.Error()
				}
				if err := r.Apply(new(bridge.Out), &bridge.Message{Topic: "t", Payload: data}); err != nil {
					return err.Error()
				}
				return "ok"
			}
		}}
	}
	return []row{
		r("the payload, often", repeated("", "${payload}", 10_000, ""), repeated("", "x", mib, ""), overMemory, true),
		r("the row, often", repeated("", "${.}", 10_000, ""), repeated("", "x", mib, ""), overMemory, false),
		r("a member of the payload, often", repeated("", "${payload.a}", 10_000, ""), repeated(`{"a":"`, "x", mib, `"}`), overMemory, false),
		r("a path of 100,000 steps", repeated("${payload", ".a", 100_000, "}"), lit(`{"a":1}`), ok, true),
		r("50,000 placeholders", repeated("", "${payload.a}${payload.b} ", 25_000, ""), lit(`{"a":1}`), ok, false),
		r("20,000 placeholders, all different", func() string {
			var b strings.Builder
			for i := range 20_000 {
				b.WriteString("${payload.a" + strings.Repeat("b", i%7) + string(rune('a'+i%26)) + "}")
			}
			return b.String()
		}, lit(`{"a":1}`), ok, false),
		r("beginnings of placeholders", repeated("", "${", 2*mib, ""), lit(`{"a":1}`), ok+"|"+overMemory, false),
		r("other beginnings of placeholders", repeated("", "$<", 2*mib, ""), lit(`{"a":1}`), ok+"|"+overMemory, false),
		r("control characters", lit("${.}"), repeated("", "\x01", 4*mib, ""), overMemory, false),
	}
}
