package console

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/trace"
)

var update = flag.Bool("update", false, "write static/openapi.json anew")

// operation describes a route for people; its types are those that the handler
// reads and writes.
type operation struct {
	summary           string
	request, response any
	media             string // of the response, default application/json
}

var operations = map[string]operation{
	"GET openapi.json":               {"This document.", nil, map[string]any{}, ""},
	"GET topology":                   {"What the pipeline is made of.", nil, Topology{}, ""},
	"GET snapshot":                   {"Counters, gauges, rates and problems of the moment.", nil, Snapshot{}, ""},
	"GET stream":                     {"Server-sent events: access (Access) and history (History) once, topology (Topology) when it changes, snapshot (Snapshot) once a second.", nil, events{}, "text/event-stream"},
	"POST test":                      {"Tries a statement on an event.", TestRequest{}, TestResponse{}, ""},
	"POST check/{name}":              {"Asks a source or sink whether it can do its work.", nil, CheckResult{}, ""},
	"PUT rules/{name}/enabled":       {"Switches a rule on or off.", Switch{}, Done{}, ""},
	"POST rules/{name}/reset":        {"Sets the counters of a rule to zero.", nil, Done{}, ""},
	"POST trace":                     {"JSON lines: what becomes of messages, at most 20 per second, until the request is cancelled, ten minutes at most.", TraceRequest{}, trace.Event{}, "application/jsonl"},
	"PUT sinks/{name}/enabled":       {"Switches a sink on or off. Records for one that is off are discarded.", Switch{}, Done{}, ""},
	"GET deadletters/{name}":         {"The latest dead letters, at most 200, the latest first.", nil, Letters{}, ""},
	"POST deadletters/{name}/replay": {"Replays dead letters and forgets those that were.", IDs{}, Replayed{}, ""},
	"POST deadletters/{name}/delete": {"Forgets dead letters.", IDs{}, Replayed{}, ""},
}

// events are what the stream sends, by the events' names.
type events struct {
	Access   Access   `json:"access,omitempty"`
	History  History  `json:"history,omitzero"`
	Topology Topology `json:"topology,omitzero"`
	Snapshot Snapshot `json:"snapshot,omitzero"`
}

type object = map[string]any

// TestOpenAPI keeps static/openapi.json in step with the routes and their types:
// go test ./bridge/console -run OpenAPI -update.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	operations := maps.Clone(operations)
	c := &Console{}
	c.cfg.Pipeline = &bridge.Pipeline{}
	schemas := object{}
	failure := object{"description": "What is wrong.", "content": content("application/json", schema(reflect.TypeFor[Failure](), schemas))}
	paths := object{}
	for _, r := range c.routes() {
		key := r.method + " " + r.path
		op, ok := operations[key]
		require.True(t, ok, "the route %s is not described", key)
		delete(operations, key)
		if op.media == "" {
			op.media = "application/json"
		}
		doc := object{"summary": op.summary, "responses": object{
			"200":     object{"description": "OK", "content": content(op.media, schema(reflect.TypeOf(op.response), schemas))},
			"default": failure,
		}}
		if r.guarded {
			doc["description"] = "Needs the permission of console.Config.Authorize; 403 without."
		}
		if op.request != nil {
			doc["requestBody"] = object{"required": true, "content": content("application/json", schema(reflect.TypeOf(op.request), schemas))}
		}
		if strings.Contains(r.path, "{name}") {
			doc["parameters"] = []object{{"name": "name", "in": "path", "required": true, "schema": object{"type": "string"}}}
		}
		path, _ := paths["/api/"+r.path].(object)
		if path == nil {
			path = object{}
			paths["/api/"+r.path] = path
		}
		path[strings.ToLower(r.method)] = doc
	}
	require.Empty(t, operations, "described, but not there")
	want, err := json.MarshalIndent(object{
		"openapi":    "3.1.0",
		"info":       object{"title": "Sluice console", "version": "1", "description": "Paths are below the place where the console is mounted. Requests that change something are refused when they come from a page of another origin."},
		"paths":      paths,
		"components": object{"schemas": schemas},
	}, "", "  ")
	require.NoError(t, err)
	want = append(want, '\n')
	if *update {
		require.NoError(t, os.WriteFile("static/openapi.json", want, 0o600))
	}
	got, err := os.ReadFile("static/openapi.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run go test ./bridge/console -run OpenAPI -update")
}

func content(media string, schema object) object { return object{media: object{"schema": schema}} }

// schema describes a type as encoding/json writes it.
func schema(t reflect.Type, all object) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[time.Duration]():
		return object{"type": "integer", "description": "nanoseconds"}
	case t == reflect.TypeFor[bridge.Outcome]():
		var names []string
		for o := bridge.Stored; o <= bridge.Abandoned; o++ {
			names = append(names, o.String())
		}
		return object{"type": "string", "enum": names}
	case t == reflect.TypeFor[bridge.State]():
		return object{"type": "string", "enum": []string{"connecting", "connected", "disconnected", "inconsistent"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem(), all)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": schema(t.Elem(), all)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": schema(t.Elem(), all)}
	case reflect.Struct:
		if all[t.Name()] == nil {
			properties := object{}
			all[t.Name()] = object{"type": "object", "properties": properties}
			fields(t, properties, all)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	default:
		return object{}
	}
}

func fields(t reflect.Type, properties, all object) {
	own := object{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fields(f.Type, properties, all)
		case name != "-":
			own[name] = schema(f.Type, all)
		}
	}
	for name, s := range own { // they win over those of embedded structs
		properties[name] = s
	}
}
