package file

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluiceio/sluice/bridge"
)

// appendLine appends the record as a line of JSON. Parts that are empty are left
// out, except for the data.
func appendLine(dst []byte, r *bridge.Record, now time.Time) []byte {
	dst = append(dst, `{"time":"`...)
	dst = now.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	dst = appendText(dst, "topic", r.Topic)
	dst = appendText(dst, "rule", r.Rule)
	dst = appendText(dst, "dest", r.Dest)
	if len(r.Key) > 0 {
		dst = appendBytes(append(dst, ','), "key", r.Key)
	}
	if len(r.HashKey) > 0 {
		dst = appendBytes(append(dst, ','), "hash_key", r.HashKey)
	}
	if r.Attempt > 0 {
		dst = append(dst, `,"attempt":`...)
		dst = strconv.AppendInt(dst, int64(r.Attempt), 10)
	}
	dst = appendValue(append(dst, ','), "data", r.Data)
	if len(r.Attrs) > 0 {
		dst = appendAttrs(append(dst, `,"attrs":{`...), r.Attrs)
		dst = append(dst, '}')
	}
	return append(dst, '}', '\n')
}

// appendAttrs appends the attributes; of several with one name the first stands.
func appendAttrs(dst []byte, attrs []bridge.Attr) []byte {
	first := true
	for i, a := range attrs {
		if repeated(attrs[:i], a.Name) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if a.Name == "payload" { // of a dead letter
			dst = appendValue(dst, a.Name, a.Value)
		} else {
			dst = appendBytes(dst, a.Name, a.Value)
		}
	}
	return dst
}

func repeated(attrs []bridge.Attr, name string) bool {
	for i := range attrs {
		if attrs[i].Name == name {
			return true
		}
	}
	return false
}

func appendText(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	return appendBytes(append(dst, ','), name, []byte(text))
}

// appendValue appends a member whose value is JSON as it is, if it is JSON on
// one line that begins and ends with it, and no string: a reader gets back
// the same bytes, those of a string or else of the value.
func appendValue(dst []byte, name string, value []byte) []byte {
	if !json.Valid(value) || value[0] == '"' || hasNewline(value) || len(bytes.TrimSpace(value)) < len(value) {
		return appendBytes(dst, name, value)
	}
	dst = appendString(dst, name)
	return append(append(dst, ':'), value...)
}

func hasNewline(b []byte) bool {
	for _, c := range b {
		if c == '\n' || c == '\r' {
			return true
		}
	}
	return false
}

// appendBytes appends a member whose value is a string, in base64 if the bytes
// are no text.
func appendBytes(dst []byte, name string, value []byte) []byte {
	if utf8.Valid(value) {
		dst = append(appendString(dst, name), ':')
		return appendString(dst, string(value))
	}
	dst = append(appendString(dst, name+"_base64"), ':', '"')
	dst = base64.StdEncoding.AppendEncode(dst, value)
	return append(dst, '"')
}

func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // cannot fail for a string
	return append(dst, quoted...)
}
