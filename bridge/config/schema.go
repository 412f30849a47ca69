package config

import (
	"encoding"
	"encoding/json"
	"reflect"
)

// Schema returns the JSON Schema (draft 2020-12) of definitions with these types,
// nil for DefaultTypes, for editors. It is made from the Go types by which
// definitions are read.
func Schema(types *Types) ([]byte, error) {
	if types == nil {
		types = DefaultTypes()
	}
	root := object{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "A pipeline of Sluice",
		"type":                 "object",
		"additionalProperties": false,
		"required":             []string{"sources", "sinks"},
		"$defs":                object{"resource_opts": structSchema(reflect.TypeFor[ResourceOptions]())},
		"properties": object{
			"pipeline": structSchema(reflect.TypeFor[pipelineOptions]()),
			"sources":  named(typed(types.Sources, nil), "Where messages come from, by name."),
			"sinks":    named(typed(types.Sinks, object{"$ref": "#/$defs/resource_opts"}), "Where records go, by name."),
			"rules":    named(structSchema(reflect.TypeFor[ruleDefinition]()), "What becomes of messages, by name."),
		},
	}
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

type object = map[string]any

// named is a mapping of names to items.
func named(item object, text string) object {
	return object{
		"type": "object", "description": text, "additionalProperties": item,
		"propertyNames": object{"pattern": `^[^.\s]+$`},
	}
}

// typed is the choice among types of sources or sinks.
func typed[D any](types map[string]func() D, resource object) object {
	var choices []object
	for _, name := range sortedKeys(types) {
		s := structSchema(reflect.TypeOf(types[name]()).Elem())
		properties, _ := s["properties"].(object)
		properties["type"] = object{"const": name}
		if resource != nil {
			properties["resource_opts"] = resource
		}
		s["required"] = []string{"type"}
		choices = append(choices, s)
	}
	return object{"oneOf": choices}
}

func structSchema(t reflect.Type) object {
	properties := object{}
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		s := typeSchema(f.Type)
		if text := f.Tag.Get("doc"); text != "" {
			s["description"] = text
		}
		properties[name] = s
	}
	return object{"type": "object", "additionalProperties": false, "properties": properties}
}

// chooser is implemented by options that are one of several names.
type chooser interface{ choices() []string }

// typeSchema is the schema of a field. References to values from outside are text
// where the field is none.
func typeSchema(t reflect.Type) object {
	outside := object{"type": "string", "pattern": `\$\{(env|file):`}
	v := reflect.New(t).Interface()
	if c, ok := v.(chooser); ok {
		return object{"anyOf": []object{{"enum": c.choices()}, outside}}
	}
	switch v.(type) {
	case *qos, *retain:
		return object{"enum": []any{0, 1, 2}}
	case *Texts:
		text := object{"type": "string"}
		return object{"anyOf": []object{text, {"type": "array", "items": text}}}
	case *Count:
		return object{"anyOf": []object{{"type": "integer", "minimum": 0}, outside}}
	case *Duration, *TTL, *sessionExpiry:
		return object{"type": []string{"string", "integer"}, "examples": []string{"100ms", "5s", "1m30s", "7d"}}
	case *Size, *DiskSize:
		return object{"type": []string{"string", "integer"}, "examples": []string{"25KB", "256MB", "4GB"}}
	}
	_, text := v.(encoding.TextUnmarshaler)
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem())
	case reflect.Struct:
		s := structSchema(t)
		if text { // it has a short form
			return object{"anyOf": []object{{"type": "string"}, s}}
		}
		return s
	case reflect.Slice:
		return object{"type": "array", "items": typeSchema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": typeSchema(t.Elem())}
	case reflect.Bool:
		return object{"anyOf": []object{{"type": "boolean"}, outside}}
	case reflect.Int, reflect.Int64:
		return object{"anyOf": []object{{"type": "integer"}, outside}}
	case reflect.Float64:
		return object{"anyOf": []object{{"type": "number"}, outside}}
	default:
		return object{"type": []string{"string", "number", "boolean"}}
	}
}

func (*onFull) choices() []string      { return sortedKeys(onFullNames) }
func (*bufferMode) choices() []string  { return sortedKeys(bufferModes) }
func (*keyPolicy) choices() []string   { return sortedKeys(keyPolicies) }
func (*dialect) choices() []string     { return sortedKeys(dialects) }
func (*packing) choices() []string     { return sortedKeys(packings) }
func (*ordering) choices() []string    { return sortedKeys(orderings) }
func (*compression) choices() []string { return sortedKeys(compressions) }
func (*fileFormat) choices() []string  { return sortedKeys(fileFormats) }
func (*httpMode) choices() []string    { return sortedKeys(httpModes) }
func (*protoVer) choices() []string    { return sortedKeys(protoVers) }
