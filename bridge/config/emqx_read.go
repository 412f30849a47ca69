package config

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluiceio/sluice/internal/hocon"
)

// emqxObject is an object of EMQX's API or files.
type emqxObject map[string]any

// text returns a text; a number or a boolean is one that was not quoted.
func (o emqxObject) text(key string) string {
	switch v := o[key].(type) {
	case nil, []any, map[string]any:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

func (o emqxObject) object(key string) emqxObject {
	inner, _ := o[key].(map[string]any)
	return inner
}

func (o emqxObject) list(key string) []any {
	list, _ := o[key].([]any)
	return list
}

// emqxDefinitions are the parts of EMQX's definitions that matter here. Each has
// a name and, but for rules, a type.
type emqxDefinitions struct{ connectors, actions, rules []emqxObject }

// readEMQX reads definitions as the API or as files have them.
func readEMQX(text []byte) (in emqxDefinitions, err error) {
	root, err := parseEMQX(text)
	if err != nil {
		return in, err
	}
	var bridges []emqxObject // connector and action in one, before EMQX 5.6
	for _, section := range []struct {
		name string
		in   emqxObject
		out  *[]emqxObject
	}{
		{"connectors", root, &in.connectors},
		{"actions", root, &in.actions},
		{"bridges", root, &bridges},
		{"rules", root, &in.rules},
	} {
		if *section.out, err = emqxList(section.in[section.name]); err != nil {
			return in, fmt.Errorf("%s: %w", section.name, err)
		}
	}
	in.actions = append(in.actions, bridges...)
	rules := root.object("rule_engine").object("rules")
	for _, id := range sortedKeys(rules) {
		r := rules.object(id)
		if r == nil {
			return in, fmt.Errorf("rule_engine.rules.%s: an object is expected", id)
		}
		r["id"] = id
		in.rules = append(in.rules, r)
	}
	if len(in.actions)+len(in.rules) == 0 {
		return in, errors.New("there are no actions and no rules in it")
	}
	return in, nil
}

// parseEMQX reads JSON, or HOCON, which is more.
func parseEMQX(text []byte) (root emqxObject, err error) {
	if err := checkSize(text); err != nil {
		return nil, err
	}
	if json.Valid(text) {
		if json.Unmarshal(text, &root) != nil {
			return nil, errors.New(`an object such as {"connectors": […], "actions": […], "rules": […]} is expected`)
		}
		return root, nil
	}
	root, err = hocon.Parse(text)
	if e := (*hocon.Error)(nil); errors.As(err, &e) {
		return nil, &Error{Line: e.Line, Column: e.Column, Err: errors.New(e.Message)}
	}
	return root, err
}

// emqxList returns the objects of a section: a list, or a page with "data", of
// the API, or a file's objects by type and name.
func emqxList(section any) (list []emqxObject, err error) {
	switch section := section.(type) {
	case nil:
		return nil, nil
	case []any:
		for i, item := range section {
			o, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("[%d]: an object is expected", i)
			}
			list = append(list, o)
		}
		return list, nil
	case map[string]any:
		if data, ok := section["data"].([]any); ok {
			return emqxList(data)
		}
		for _, typ := range sortedKeys(section) {
			names := emqxObject(section).object(typ)
			for _, name := range sortedKeys(names) {
				o := names.object(name)
				if o == nil {
					return nil, fmt.Errorf("%s.%s: an object is expected", typ, name)
				}
				o["type"], o["name"] = typ, name
				list = append(list, o)
			}
		}
		return list, nil
	}
	return nil, errors.New("a list, or objects by type and name, are expected")
}
