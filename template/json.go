package template

import (
	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/value"
)

// place is where a placeholder stands in a template that makes JSON.
type place uint8

const (
	asText place = iota // the template makes text
	quoted              // within a JSON string
	bare                // where a JSON value is wanted
)

// placeIn returns the place behind a literal, given that before it.
func placeIn(p place, literal string) place {
	for i := 0; i < len(literal); i++ {
		switch {
		case literal[i] == '"' && p == quoted:
			p = bare
		case literal[i] == '"':
			p = quoted
		case literal[i] == '\\' && p == quoted:
			i++
		}
	}
	return p
}

// escape makes what was appended to dst from start on fit for its place.
func escape(dst []byte, start int, p place) []byte {
	end := len(dst)
	text := string(dst[start:end])
	if p == bare && jsonx.Valid(dst[start:end]) == nil {
		return dst
	}
	dst = value.AppendQuoted(dst[:start], text)
	if p == quoted {
		dst = dst[:start+copy(dst[start:], dst[start+1:len(dst)-1])]
	}
	return dst
}
