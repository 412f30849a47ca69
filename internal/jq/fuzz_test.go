package jq_test

import (
	"strings"
	"testing"
	"time"

	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/jq"
)

// Whatever gojq compiles compiles here, too, and runs within a budget.
func FuzzProgram(f *testing.F) {
	for _, source := range programs {
		f.Add(source)
	}
	for _, source := range []string{`def f: 1 + f; f`, `.[1e9] = 1`, `reduce range(40) as $i ([1]; [.,.]) | tojson`, `"\("\(1)")"`, `{"\(1)"}`, `{a: 1 | 2}`, `. as {"a\(1)": $x} | $x`, `.["a\(1)"]`, `."a\(1)"`, `@json "a\(@text "b\(1)")"`} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		q, err := gojq.Parse(source)
		if err == nil {
			_, err = gojq.Compile(q)
		}
		p, mine := jq.Compile(source)
		if mine != nil {
			refused := strings.Contains(mine.Error(), "reserved") || strings.Contains(mine.Error(), "longer than") || strings.Contains(mine.Error(), "nests deeper")
			require.True(t, err != nil || refused, "%s: %v", source, mine)
			return
		}
		require.NoError(t, err, source)
		budget := jq.Budget{Bytes: 1 << 20, Value: 1 << 18, Deadline: time.Now().Add(100 * time.Millisecond)}
		n := 0
		err = p.Run(map[string]any{"a": []any{1, "x", nil}, "n": 2.5}, budget, func(any) error {
			n++
			return nil
		})
		if err != nil {
			require.Less(t, len(err.Error()), 2000)
		}
	})
}
