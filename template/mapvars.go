package template

import "github.com/sluiceio/sluice/internal/value"

// MapVars are the columns of a row by name, for templates that are rendered
// outside of a rule.
//
// Values are nil (null), bool, integers, floats, string, []byte, *big.Int,
// json.Number, json.RawMessage, and []any, []string, map[string]any and
// map[string]string of these. A placeholder with a value of any other type,
// infinities and NaN among them, is an error.
type MapVars map[string]any

// AppendVar implements [Vars].
func (m MapVars) AppendVar(dst []byte, v *Var) ([]byte, error) {
	x, err := lookup(map[string]any(m), v)
	if err != nil {
		return dst, err
	}
	return value.AppendText(dst, x), nil
}

// AppendJSONVar implements [JSONVars].
func (m MapVars) AppendJSONVar(dst []byte, v *Var) ([]byte, error) {
	x, err := lookup(map[string]any(m), v)
	if err != nil {
		return dst, err
	}
	return value.AppendJSON(dst, x), nil
}

// lookup returns what v's path leads to from row, which is mostly a map.
func lookup(row any, v *Var) (value.Value, error) {
	path := v.Path
	for len(path) > 0 {
		m, ok := row.(map[string]any)
		if !ok {
			break
		}
		if row, ok = m[path[0]]; !ok {
			return value.Undefined(), ErrUndefined
		}
		path = path[1:]
	}
	x, err := (*value.Arena)(nil).FromAny(row)
	if err != nil {
		return x, err
	}
	return along(x, path, v)
}

// follow returns what v's path leads to from the value of its column.
func follow(x value.Value, v *Var) (value.Value, error) { return along(x, v.Path[1:], v) }

// along follows a part of v's path.
func along(x value.Value, path []string, v *Var) (value.Value, error) {
	texts := 0
	for _, key := range path {
		if x.Kind() == value.KindString && v.DecodesText(texts) {
			x = x.ParseOnce(nil)
			texts++
		}
		x = x.Member(nil, key)
	}
	if x.IsUndefined() {
		return x, ErrUndefined
	}
	return x, nil
}
