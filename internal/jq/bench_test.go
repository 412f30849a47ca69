package jq_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/jq"
)

// The price of counting is the ratio of two lines.
func BenchmarkProgram(b *testing.B) {
	var input any
	require.NoError(b, json.Unmarshal([]byte(document), &input))
	for name, source := range map[string]string{
		"Path": `.o.l.m[0]`, "Arithmetic": `.n * 2 + 1`, "Rows": `[.rows[] | {id, v, both: "\(.id)-\(.v)"}]`, "Reduce": `reduce range(100) as $i (0; . + $i * 2)`, "Update": `.rows[].id += 1`, "Regex": `.s | gsub("o"; "0")`,
	} {
		for kind, compile := range map[string]func(string) (*jq.Program, error){"Bounded": jq.Compile, "Unbounded": jq.CompileUnbounded} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				p, err := compile(source)
				require.NoError(b, err)
				b.ReportAllocs()
				budget := jq.Budget{Bytes: 64 << 20, Value: 16 << 20, Deadline: time.Now().Add(time.Hour)}
				for b.Loop() {
					if err := p.Run(input, budget, func(any) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
