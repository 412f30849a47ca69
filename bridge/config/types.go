package config

import (
	"log/slog"
	"strings"

	"github.com/sluiceio/sluice/bridge"
)

// SourceDefinition is the options of a type of source: a pointer to a struct
// whose fields have yaml tags, and doc tags for the schema. A definition's entry
// is decoded into it, and Source makes the source. A field may be a text, number
// or boolean, a Duration, Size, Count or another encoding.TextUnmarshaler, a
// struct, or a pointer, slice or map of these.
type SourceDefinition interface {
	Source(Context) (bridge.Source, error)
}

// SinkDefinition is the same for a type of sink.
type SinkDefinition interface {
	Sink(Context) (bridge.Sink, error)
}

// Validator may be implemented by either. Validate finds what is wrong without
// making, opening or connecting anything. An error, or each of several that are
// joined, is reported at the option of the field that it names, if it is a
// *bridge.FieldError: by the name of the field of the struct, or what the field's tag
// "field" says; "/Name" there means that the name stands alone, though the field is
// nested.
type Validator interface {
	Validate(Context) error
}

// Context is what a source or sink may want to know when it is made.
type Context struct {
	Name   string
	Logger *slog.Logger
	// Filters are the topic filters of all rules that are enabled, without
	// repeats, and Events those that are of events.
	Filters, Events []string
}

// Types are the types of sources and sinks by the name that definitions use.
// Add your own to those of DefaultTypes.
type Types struct {
	Sources map[string]func() SourceDefinition
	Sinks   map[string]func() SinkDefinition
}

// DefaultTypes returns the types that come with Sluice, for the caller to change.
func DefaultTypes() *Types {
	return &Types{
		Sources: map[string]func() SourceDefinition{
			"mqtt":   func() SourceDefinition { return new(mqttSource) },
			"broker": func() SourceDefinition { return new(brokerSource) },
		},
		Sinks: map[string]func() SinkDefinition{
			"file":     func() SinkDefinition { return new(fileSink) },
			"firehose": func() SinkDefinition { return new(firehoseSink) },
			"http":     func() SinkDefinition { return new(httpSink) },
			"kinesis":  func() SinkDefinition { return new(kinesisSink) },
			"mqtt":     func() SinkDefinition { return new(mqttSink) },
		},
	}
}

// split divides filters into those of published messages and those of events.
func split(filters []string) (topics, events []string) {
	for _, f := range filters {
		switch {
		case strings.HasPrefix(f, "$events/"):
			events = append(events, f)
		case strings.HasPrefix(f, "$sources/"), strings.HasPrefix(f, "$bridges/"):
		default:
			topics = append(topics, f)
		}
	}
	return topics, events
}
