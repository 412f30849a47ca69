package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// base is a definition with every type of source and sink, with what each needs.
func base() map[string]any {
	type m = map[string]any
	return m{
		"pipeline": m{},
		"sources": m{
			"mqtt":   m{"type": "mqtt", "servers": "mqtt://localhost:1883", "client_id": "c"},
			"broker": m{"type": "broker"},
		},
		"sinks": m{
			"file":     m{"type": "file", "path": "p", "resource_opts": m{}},
			"http":     m{"type": "http", "url": "http://localhost"},
			"firehose": m{"type": "firehose", "region": "eu-west-1", "stream_name": "s"},
			"kinesis":  m{"type": "kinesis", "region": "eu-west-1", "stream_name": "s"},
			"mqtt":     m{"type": "mqtt", "servers": "mqtt://localhost:1883"},
		},
		"rules": m{"r": m{"sql": `SELECT * FROM "t/#"`, "actions": []any{m{"sink": "file"}}}},
	}
}

// option is an option of a definition.
type option struct {
	path string // as in errors
	typ  reflect.Type
}

// allOptions returns the options of all types, those within others included.
func allOptions() (list []option) {
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			path := prefix + "." + f.Tag.Get("yaml")
			list = append(list, option{path, f.Type})
			inner := f.Type
			for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
				if inner.Kind() == reflect.Slice {
					path += "[0]"
				}
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				walk(path, inner)
			}
		}
	}
	types := DefaultTypes()
	for _, name := range sortedKeys(types.Sources) {
		walk("sources."+name, reflect.TypeOf(types.Sources[name]()).Elem())
	}
	for _, name := range sortedKeys(types.Sinks) {
		walk("sinks."+name, reflect.TypeOf(types.Sinks[name]()).Elem())
	}
	walk("sinks.file.resource_opts", reflect.TypeFor[ResourceOptions]())
	walk("rules.r", reflect.TypeFor[ruleDefinition]())
	walk("pipeline", reflect.TypeFor[pipelineOptions]())
	return list
}

const marker = "@value@"

// with returns the base with a marker as the value of an option, and where that
// stands.
func with(t *testing.T, path string) (text string, line, column int) {
	t.Helper()
	root := any(base())
	place := func(path string, value any) {
		put(&root, strings.Split(strings.NewReplacer("[", ".[", "]", "").Replace(path), "."), value)
	}
	for prefix, needed := range map[string]string{"sources.mqtt.filters[0].": "topic", "sources.mqtt.will.": "topic", "sources.mqtt.auth.": "method"} {
		if strings.HasPrefix(path, prefix) {
			place(prefix+needed, "x")
		}
	}
	place(path, marker)
	out, err := yaml.Marshal(root)
	require.NoError(t, err)
	text = strings.Replace(string(out), `"`+marker+`"`, marker, 1)
	for i, l := range strings.Split(text, "\n") {
		if at := strings.Index(l, marker); at >= 0 {
			return text, i + 1, at + 1
		}
	}
	require.FailNow(t, path)
	return "", 0, 0
}

func put(at *any, steps []string, value any) {
	if len(steps) == 0 {
		*at = value
		return
	}
	step := steps[0]
	if strings.HasPrefix(step, "[") {
		list, _ := (*at).([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		put(&list[0], steps[1:], value)
		*at = list
		return
	}
	m, ok := (*at).(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	inner := m[step]
	put(&inner, steps[1:], value)
	m[step] = inner
	*at = m
}

// wrong are values that an option of a type cannot have, with a part of what is
// said about each.
func wrong(t reflect.Type) map[string]string {
	v := reflect.New(t).Interface()
	list := map[string]string{"{a: {b: c}}": "", "[[1]]": ""}
	if _, ok := v.(chooser); ok {
		list["nosuch"] = "is none of"
		return list
	}
	switch v.(type) {
	case *Count:
		list["-1"], list["1.5"], list["many"], list["99999999999"] = "whole number", "whole number", "whole number", "whole number"
	case *Size:
		list["-1"], list["1.5"], list["25 apples"], list["9999999999GB"] = "is not a size", "is not a size", "is not a size", "is not a size"
	case *Duration, **Duration, *TTL, **sessionExpiry:
		list["-1s"], list["5"], list["soon"], list["100000d999999h"] = "", "is not a time", "is not a time", "longer than 292 years"
	case *qos, **qos, **retain:
		list["3"], list["-1"] = "is none of 0, 1, 2", "is none of"
	case *bool, **bool:
		list["maybe"], list["1"] = "must be true or false", "must be true or false"
	case *float64:
		list["much"] = "must be a number"
	default:
		switch t.Kind() {
		case reflect.Map:
			list["x"], list["{a: [1]}"] = "must be a mapping", "must be text"
			delete(list, "{a: {b: c}}")
		case reflect.Slice:
			if t != reflect.TypeFor[Texts]() {
				list["x"] = "must be a list, not text"
			}
		case reflect.Struct, reflect.Pointer:
			list["5"] = "must be a mapping, not a number"
			list["{nosuch: 1}"] = "unknown key"
		}
	}
	return list
}

// parseErrors returns what is wrong with a text, as it is.
func parseErrors(t *testing.T, text string) (list []*Error) {
	t.Helper()
	_, err := Parse("f", []byte(text), testOptions)
	for _, e := range leaves(err) {
		var at *Error
		require.ErrorAs(t, e, &at, "%v has no place", e)
		list = append(list, at)
	}
	return list
}

// Whatever option has a value of a wrong kind, or a name that is not quite right,
// is reported where it stands.
func TestEveryOptionMistaken(t *testing.T) {
	t.Parallel()
	for _, o := range allOptions() {
		t.Run(o.path, func(t *testing.T) {
			t.Parallel()
			text, line, column := with(t, o.path)
			for value, says := range wrong(o.typ) {
				list := parseErrors(t, strings.Replace(text, marker, value, 1))
				require.NotEmpty(t, list, value)
				found := false
				for _, e := range list {
					if strings.HasPrefix(e.Path, o.path) && e.Line == line && e.Column >= column && strings.Contains(e.Error(), says) {
						found = true
					}
				}
				require.True(t, found, "%s: want %d:%d, have %v", value, line, column, list)
			}
			key := o.path[strings.LastIndex(o.path, ".")+1:]
			list := parseErrors(t, strings.Replace(text, key+": "+marker, key+"z: 1", 1))
			want := &Error{File: "f", Line: line, Column: column - len(key) - 2, Path: o.path + "z", Err: fmt.Errorf("unknown key; did you mean %q?", key)}
			require.Contains(t, messageOf(list), want.Error())
		})
	}
}

func messageOf(list []*Error) (texts []string) {
	for _, e := range list {
		texts = append(texts, e.Error())
	}
	return texts
}

// Values that are as small and as large as can be written are taken, or refused
// where they stand.
func TestExtremes(t *testing.T) {
	t.Parallel()
	refused := 0
	for _, o := range allOptions() {
		var values []string
		switch reflect.New(o.typ).Interface().(type) {
		case *Count:
			values = []string{"0", "1", "4294967295"}
		case *Size:
			values = []string{"0", "1", "1000000GB"}
		case *Duration, **Duration, *TTL, **sessionExpiry:
			values = []string{"0s", "1ns", "100000d"}
		case *float64:
			values = []string{"-1", "0", "1e300"}
		}
		for _, value := range values {
			text, line, column := with(t, o.path)
			for _, e := range parseErrors(t, strings.Replace(text, marker, value, 1)) {
				refused++
				sibling := strings.HasPrefix(o.path, e.Path[:strings.LastIndex(e.Path, ".")+1]) // backoff_min for backoff_max
				require.True(t, e.Path == o.path && e.Line == line && e.Column == column || sibling && strings.Contains(e.Err.Error(), "_m"),
					"%s: %s: %v", o.path, value, e)
			}
		}
	}
	require.Greater(t, refused, 20)
}

// Without an option that is needed, the message names it.
func TestNeededOptions(t *testing.T) {
	t.Parallel()
	for path, says := range map[string]string{
		"sources.mqtt.type": "type is missing", "sources.mqtt.servers": "at least one URL", "sources.mqtt.client_id": "a session needs a name",
		"sinks.file.path": "name the file", "sinks.http.url": "", "sinks.mqtt.servers": "", "rules.r.sql": "sql is missing",
		"rules.r.actions": "actions are missing", "rules.r.actions[0].sink": "sink is missing; there are file, firehose, http, kinesis, mqtt",
	} {
		text, _, _ := with(t, path)
		key := path[strings.LastIndex(path, ".")+1:]
		list := parseErrors(t, strings.Replace(text, key+": "+marker, key+": null", 1))
		require.NotEmpty(t, list, path)
		require.Contains(t, fmt.Sprint(messageOf(list)), says)
		require.Contains(t, fmt.Sprint(messageOf(list)), strings.TrimSuffix(path, "."+key), path)
	}
}

// Whatever line of the documented definition is lost or spoilt, the result is
// right or the mistake has a place in the file, and a spoilt key has its own.
func TestSpoiltLines(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(block[1], "sinks:") {
			continue // a comment for editors
		}
		lines := strings.Split(strings.TrimSuffix(block[1], "\n"), "\n")
		for i, line := range lines {
			key := regexp.MustCompile(`^[ -]*([a-z_]+):`).FindStringSubmatchIndex(line)
			for what, to := range spoilt(line) {
				changed := append(append(append([]string{}, lines[:i]...), to...), lines[i+1:]...)
				text := strings.Join(changed, "\n") + "\n"
				_, err := Parse("f", []byte(text), testOptions)
				for _, e := range leaves(err) {
					var at *Error
					require.ErrorAs(t, e, &at, "%s of line %d: %v", what, i+1, e)
					if at.Path == "" {
						require.Contains(t, at.Err.Error(), " (", "%s of line %d: there is no advice", what, i+1)
					}
					require.LessOrEqual(t, at.Line, len(changed), "%s of line %d: %v", what, i+1, e)
					require.LessOrEqual(t, at.Column, len([]rune(changed[at.Line-1]))+1, "%s of line %d: %v", what, i+1, e)
				}
				if what == "key" && key != nil && !isName(lines, i) {
					require.ErrorContains(t, err, fmt.Sprintf("f:%d:%d: ", i+1, key[2]+1), "%s of line %d: %s", what, i+1, line)
				}
			}
		}
	}
}

// isName reports whether the key of a line is a name that its author chose.
func isName(lines []string, i int) bool {
	indent := func(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }
	for j := i - 1; j >= 0; j-- {
		if indent(lines[j]) < indent(lines[i]) {
			return regexp.MustCompile(`^(sources|sinks|rules):`).MatchString(lines[j])
		}
	}
	return false
}

// spoilt returns ways to spoil a line.
func spoilt(line string) map[string][]string {
	half := len(line) / 2
	list := map[string][]string{
		"loss":    nil,
		"half":    {line[:half]},
		"tab":     {"\t" + line},
		"indent":  {"   " + line},
		"outdent": {strings.TrimPrefix(line, "  ")},
		"twice":   {line, line},
		"quote":   {line + `"`},
		"bracket": {line + " ["},
		"colon":   {line + ": x"},
		"dash":    {"- " + line},
		"nul":     {line + "\x00"},
	}
	if at := strings.Index(line, ":"); at > 0 {
		list["key"] = []string{line[:at] + "qq" + line[at:]}
		list["value"] = []string{line[:at] + ": [{]"}
		list["no value"] = []string{line[:at] + ":"}
		list["no colon"] = []string{line[:at] + line[at+1:]}
	}
	return list
}
