package jsonx

import (
	"bytes"
	"encoding/json"
)

// Text is a member of an object whose value is a string.
type Text struct{ Name, Value string }

// WithMembers returns a JSON object with members added behind its own, in memory
// of its own. It returns false, and data as it is, if data is not a JSON object or
// has a member of one of the names.
func WithMembers(data []byte, members ...Text) ([]byte, bool) {
	var object map[string]json.RawMessage
	if len(members) == 0 || json.Unmarshal(data, &object) != nil || object == nil {
		return data, false
	}
	var added []byte
	for _, m := range members {
		if _, ok := object[m.Name]; ok {
			return data, false
		}
		name, _ := json.Marshal(m.Name) // strings
		value, _ := json.Marshal(m.Value)
		added = append(append(append(append(added, ','), name...), ':'), value...)
	}
	// What Unmarshal took is space that JSON knows around an object.
	body := bytes.Trim(data, " \t\r\n")
	head := bytes.TrimRight(body[:len(body)-1], " \t\r\n")
	if len(head) == 1 {
		added = added[1:] // there is nothing to set apart from
	}
	out := make([]byte, 0, len(head)+len(added)+1)
	return append(append(append(out, head...), added...), '}'), true
}
