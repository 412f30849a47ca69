package value

import "github.com/sluiceio/sluice/internal/jsonx"

// AppendJSONText appends a valid JSON text of the kind given, without white space
// around it, in the form of AppendJSON and without making a Value of it.
func AppendJSONText(dst, text []byte, kind jsonx.Kind) []byte {
	switch kind {
	case jsonx.String, jsonx.True, jsonx.False, jsonx.Null:
		return append(dst, text...)
	case jsonx.Float:
		if shortest(text) {
			return append(dst, text...)
		}
	}
	dst, _ = appendRaw(dst, text, 0, 0)
	return dst
}
