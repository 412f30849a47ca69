package config

import (
	"testing"
	"unicode/utf8"
)

// Whatever the text, Parse returns; what it accepts can be compared with itself.
func FuzzParse(f *testing.F) {
	f.Add(complete)
	for _, b := range breaks {
		f.Add(b.new)
	}
	f.Add(`{"sources": {"b": {"type": "broker"}}, "sinks": {"k": {"type": "kinesis"}}}`)
	f.Add("a: |\n ${env:X}\nb: >-\n x")
	f.Add("sources: {x: {type: mqtt, filters: [{topic: !!str t}, &a t, *a]}}")
	opts := Options{LookupEnv: environment}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 4096 {
			t.Skip()
		}
		def, err := Parse("f", []byte(text), opts)
		if err != nil {
			_ = err.Error()
			return
		}
		if c := def.Diff(def); !c.Empty() {
			t.Errorf("differs from itself: %v", c)
		}
	})
}
