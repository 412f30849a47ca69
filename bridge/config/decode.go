package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// decoder fills Go values from YAML nodes, strictly, and goes on after an error
// to find the next.
type decoder struct {
	problems
	lines    []string // of the file
	lookup   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	values   map[string]string // from outside, with the references to them
	secret   map[ast.Node]bool // nodes that hold such a value
	inserted int               // bytes of such values, each time that one is named
}

// mapping returns the entries of a node that must be a mapping; path names it.
func (d *decoder) mapping(n ast.Node, path string) []*ast.MappingValueNode {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		d.add(n, path, errNotJSON)
		return nil
	default:
		d.addf(n, path, "must be a mapping, not %s", kindOf(n))
		return nil
	}
}

func keyOf(e *ast.MappingValueNode) string {
	if s, ok := e.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return strings.Trim(e.Key.String(), `"'`)
}

// value fills v, a settable value, from a node.
func (d *decoder) value(n ast.Node, path string, v reflect.Value) {
	if v.Kind() == reflect.Struct && isMapping(n) {
		d.structure(n, path, v)
		return
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.text(n, path, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
	case reflect.Slice:
		if _, ok := n.(*ast.SequenceNode); !ok && v.Type() == reflect.TypeFor[Texts]() {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			d.value(n, path, v.Index(0))
			return
		}
		d.sequence(n, path, v)
	case reflect.Map:
		d.table(n, path, v)
	case reflect.String:
		if text, ok := textOf(n); ok {
			v.SetString(text)
		} else {
			d.addf(n, path, "must be text, not %s", kindOf(n))
		}
	default:
		if err := yaml.NodeToValue(n, v.Addr().Interface(), yaml.Strict()); err != nil {
			d.addf(n, path, "must be %s, not %s", wanted(v), kindOf(n))
		}
	}
}

func isMapping(n ast.Node) bool {
	return n.Type() == ast.MappingType || n.Type() == ast.MappingValueType
}

// textOf returns the text of a scalar, that of numbers as they are written.
func textOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// text fills a value that reads itself from text.
func (d *decoder) text(n ast.Node, path string, v reflect.Value) {
	text, ok := textOf(n)
	if !ok {
		d.addf(n, path, "must be text, not %s", kindOf(n))
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		if d.secret[n] {
			err = errors.New("the value from outside is not valid here")
		}
		d.add(n, path, err)
	}
}

func (d *decoder) sequence(n ast.Node, path string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.addf(n, path, "must be a list, not %s", kindOf(n))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		d.value(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

// table fills a map whose keys are texts.
func (d *decoder) table(n ast.Node, path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range d.entries(n, path) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(e.Value, path+"."+keyOf(e), item)
		v.SetMapIndex(reflect.ValueOf(keyOf(e)), item)
	}
}

// entries is mapping that reports keys which are given again.
func (d *decoder) entries(n ast.Node, path string) []*ast.MappingValueNode {
	seen := map[string]bool{}
	var list []*ast.MappingValueNode
	for _, e := range d.mapping(n, path) {
		key := keyOf(e)
		full := strings.TrimPrefix(path+"."+key, ".")
		switch _, merge := e.Key.(*ast.MergeKeyNode); {
		case merge:
			d.addf(e.Key, full, "merging is not supported; write the values out")
		default:
			if seen[key] {
				d.addf(e.Key, full, "is given twice")
			}
			list = append(list, e)
		}
		seen[key] = true
	}
	return list
}

func (d *decoder) structure(n ast.Node, path string, v reflect.Value) {
	fields := fieldsOf(v)
	for _, e := range d.entries(n, path) {
		key := keyOf(e)
		field, ok := fields[key]
		switch {
		case !ok:
			d.addf(e.Key, path+"."+key, "unknown key%s", didYouMean(key, sortedKeys(fields)))
		case e.Value.Type() == ast.NullType:
			// As if it were not there.
		default:
			d.value(e.Value, path+"."+key, field)
		}
	}
}

// fieldsOf returns the fields of a struct by the names of their yaml tags; those
// of embedded structs count as its own.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			for name, inner := range fieldsOf(v.Field(i)) {
				fields[name] = inner
			}
		} else if name := f.Tag.Get("yaml"); name != "" {
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// kindOf says what a node is, in words.
func kindOf(n ast.Node) string {
	switch n.Type() {
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.SequenceType:
		return "a list"
	case ast.IntegerType, ast.FloatType:
		return "a number"
	case ast.BoolType:
		return "true or false"
	case ast.NullType:
		return "nothing"
	default:
		return "text"
	}
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64, reflect.Float32:
		return "a number"
	default:
		return "a whole number"
	}
}
