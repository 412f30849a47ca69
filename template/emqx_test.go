package template

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/value"
)

// TestEMQX renders what EMQX was seen to render.
func TestEMQX(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/emqx.jsonl")
	require.NoError(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var c struct {
			ID, Engine, Template string
			Context, Expect      any
		}
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&c))
		opts := Options{Dialect: map[string]Dialect{"bridge": Bridge, "republish": Republish}[c.Engine]}
		tmpl, err := CompileWith(c.Template, opts)
		require.NoError(t, err, c.ID)
		got, err := tmpl.Append(nil, anyVars{fromCase(c.Context)})
		require.NoError(t, err, c.ID)
		require.Equal(t, fromCase(c.Expect), string(got), "%s: %s", c.ID, c.Template)
	}
	require.NoError(t, lines.Err())
	require.Greater(t, n, 140)
}

// anyVars is a row that need not be a map.
type anyVars struct{ row any }

func (a anyVars) AppendVar(dst []byte, v *Var) ([]byte, error) {
	x, err := lookup(a.row, v)
	if err != nil {
		return dst, err
	}
	return value.AppendText(dst, x), nil
}

// fromCase resolves the sentinels of the case file.
func fromCase(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v["$undef"] == true {
			return value.Undefined()
		}
		if s, ok := v["$b64"].(string); ok {
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				panic(err)
			}
			return string(b)
		}
		for key := range v {
			v[key] = fromCase(v[key])
		}
	case []any:
		for i := range v {
			v[i] = fromCase(v[i])
		}
	}
	return v
}
