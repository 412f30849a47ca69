package template

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"

	"github.com/sluiceio/sluice/internal/value"
)

// MapVars are the columns of a row by name, for templates that are rendered
// outside of a rule.
//
// Values are nil (null), bool, integers, floats, string, []byte, *big.Int,
// json.Number, map[string]any and []any of these; other types count as what
// encoding/json makes of them. A path leads through map[string]any and through
// texts that hold a JSON object.
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
	val := toValue(row)
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

// toValue converts a value that a caller handed in.
func toValue(v any) value.Value {
	switch v := v.(type) {
	case nil:
		return value.Null()
	case value.Value:
		return v
	case bool:
		return value.Bool(v)
	case int:
		return value.Int(int64(v))
	case int32:
		return value.Int(int64(v))
	case int64:
		return value.Int(v)
	case uint64:
		if v > math.MaxInt64 {
			return value.BigInt(new(big.Int).SetUint64(v))
		}
		return value.Int(int64(v))
	case *big.Int:
		return value.BigInt(v)
	case float64:
		return toFloat(v)
	case float32:
		return toFloat(float64(v))
	case string:
		return value.String(v)
	case []byte:
		return value.Bytes(v)
	case []any:
		list := make([]value.Value, len(v))
		for i := range v {
			list[i] = toValue(v[i])
		}
		return value.List(list)
	case map[string]any:
		pairs := make([]value.Pair, 0, len(v))
		for key, val := range v {
			pairs = append(pairs, value.Pair{Key: key, Value: toValue(val)})
		}
		return value.Map(pairs)
	default:
		return fromJSON(v)
	}
}

// toFloat makes null of what JSON has no number for.
func toFloat(f float64) value.Value {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return value.Null()
	}
	return value.Float(f)
}

// fromJSON converts a value of any other type, json.Number among them.
func fromJSON(v any) value.Value {
	if doc, err := json.Marshal(v); err == nil {
		if val, err := (*value.Arena)(nil).Decode(doc); err == nil {
			return val
		}
	}
	return value.String(fmt.Sprint(v))
}
