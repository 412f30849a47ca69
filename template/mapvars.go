package template

import "github.com/sluiceio/sluice/internal/value"

// MapVars are the columns of a row by name, for templates that are rendered
// outside of a rule.
//
// Values are nil (null), bool, integers, floats, string, []byte, *big.Int,
// json.Number, json.RawMessage, and []any, []string, map[string]any and
// map[string]string of these. A placeholder with a value of any other type,
// infinities and NaN among them, is undefined.
type MapVars map[string]any

// AppendVar implements [Vars].
func (m MapVars) AppendVar(dst []byte, v *Var) ([]byte, bool) {
	return appendPath(dst, map[string]any(m), v)
}

// appendPath appends what v's path leads to from row, which is mostly a map.
func appendPath(dst []byte, row any, v *Var) ([]byte, bool) {
	path := v.Path
	for len(path) > 0 {
		m, ok := row.(map[string]any)
		if !ok {
			break
		}
		if row, ok = m[path[0]]; !ok {
			return dst, false
		}
		path = path[1:]
	}
	val, err := (*value.Arena)(nil).FromAny(row)
	if err != nil {
		return dst, false
	}
	for decoded := 0; len(path) > 0; path = path[1:] {
		if val.Kind() == value.KindString && v.DecodesText(decoded) {
			val = val.Parse(nil)
			decoded++
		}
		val = val.Member(nil, path[0])
	}
	if val.IsUndefined() {
		return dst, false
	}
	return value.AppendText(dst, val), true
}
