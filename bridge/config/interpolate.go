package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reference is ${env:NAME} or ${file:PATH}. Templates use ${…} too, but no
// column has a colon in its name.
var reference = regexp.MustCompile(`\$\{(env|file):([^}]+)\}`)

// badReference is the beginning of a reference that is none.
var badReference = regexp.MustCompile(`\$\{(env|file):(\}|[^}]*$)`)

// interpolate replaces references in all texts below n, which is at path, and
// returns n, or what takes its place. It also refuses what YAML has and JSON has
// not.
func (d *decoder) interpolate(n ast.Node, path string) ast.Node {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, e := range n.Values {
			d.interpolate(e, path)
		}
	case *ast.MappingValueNode:
		n.Value = d.interpolate(n.Value, path+"."+keyOf(n))
	case *ast.SequenceNode:
		for i := range n.Values {
			n.Values[i] = d.interpolate(n.Values[i], fmt.Sprintf("%s[%d]", path, i))
		}
	case *ast.LiteralNode:
		d.checkReferences(n, path, n.Value.Value)
		if reference.MatchString(n.Value.Value) {
			n.Value.Value = d.resolve(n, path, n.Value.Value)
			d.secret[n] = true
		}
	case *ast.StringNode:
		d.checkReferences(n, path, n.Value)
		if reference.MatchString(n.Value) {
			n.Value = d.resolve(n, path, n.Value)
			d.secret[n] = true
			return d.retype(n)
		}
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		d.add(n, path, errNotJSON)
		return ast.Null(n.GetToken())
	}
	return n
}

var errNotJSON = errors.New("anchors, aliases and tags are not supported; write the value out")

// checkReferences refuses a reference that is not closed or names nothing.
func (d *decoder) checkReferences(n ast.Node, path, text string) {
	at := badReference.FindStringSubmatchIndex(text)
	if at == nil {
		return
	}
	kind := text[at[2]:at[3]]
	line, column := lineAndColumn(text, at[0])
	why := fmt.Sprintf("${%s: is not closed; write ${%[1]s:NAME}", kind)
	if text[at[4]:at[5]] == "}" {
		why = fmt.Sprintf("${%s:} names nothing; write ${%[1]s:NAME}", kind)
	}
	d.list = append(d.list, d.placed(n, path, text, line, column, why))
}

// resolve returns text with the references replaced.
func (d *decoder) resolve(n ast.Node, path, text string) string {
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		if d.inserted > maxOutside {
			return ""
		}
		m := reference.FindStringSubmatch(ref)
		value, err := d.outside(m[1], m[2])
		if err != nil {
			d.add(n, path, err)
			return ""
		}
		if d.inserted += len(value); d.inserted > maxOutside {
			d.add(n, path, fmt.Errorf("the values of ${env:…} and ${file:…} have more than %d MiB together", maxOutside>>20))
			return ""
		}
		d.values[value] = ref
		return value
	})
}

// retype makes a number or a boolean of a text from outside that is not quoted.
func (d *decoder) retype(n *ast.StringNode) ast.Node {
	if !fits(n) || n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType {
		return n
	}
	f, err := parser.ParseBytes([]byte(n.Value), 0)
	if err != nil || len(f.Docs) != 1 {
		return n
	}
	switch body := f.Docs[0].Body.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		body.GetToken().Position = n.Token.Position
		d.secret[body] = true
		return body
	}
	return n
}

func (d *decoder) outside(kind, name string) (string, error) {
	if kind == "env" {
		if text, ok := d.lookup(name); ok {
			return text, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	text, err := d.readFile(name)
	return strings.TrimRight(string(text), "\r\n"), err
}

// redact returns err, or an error that shows the references in place of the
// values from outside that its text contains.
func redact(values map[string]string, err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	list := sortedKeys(values)
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, v := range list {
		if len(v) < 3 || v == "true" || v == "false" {
			continue // no secret, and part of other words
		}
		quoted := strconv.Quote(v)
		text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], values[v])
		text = strings.ReplaceAll(text, v, values[v])
		// As a part of a URL it is written otherwise.
		text = strings.ReplaceAll(text, url.PathEscape(v), values[v])
		text = strings.ReplaceAll(text, (&url.URL{Path: v}).EscapedPath(), values[v])
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}
