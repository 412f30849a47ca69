package value

// AppendJSONText appends a valid JSON text without white space around it in the
// form of AppendJSON, without making a Value of it.
func AppendJSONText(dst, text []byte) []byte {
	dst, _ = appendRaw(dst, text, 0)
	return dst
}
