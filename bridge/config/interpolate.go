package config

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// reference is ${env:NAME} or ${file:PATH}. Templates use ${…} too, but no
// column has a colon in its name.
var reference = regexp.MustCompile(`\$\{(env|file):([^}]+)\}`)

// interpolate replaces references in all texts below n and returns n, or what
// takes its place.
func (d *decoder) interpolate(n ast.Node, lookup func(string) (string, bool)) ast.Node {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, e := range n.Values {
			d.interpolate(e, lookup)
		}
	case *ast.MappingValueNode:
		n.Value, _ = d.interpolate(n.Value, lookup).(ast.Node)
	case *ast.SequenceNode:
		for i := range n.Values {
			n.Values[i] = d.interpolate(n.Values[i], lookup)
		}
	case *ast.StringNode:
		if reference.MatchString(n.Value) {
			return d.resolve(n, lookup)
		}
	case *ast.LiteralNode:
		n.Value, _ = d.interpolate(n.Value, lookup).(*ast.StringNode)
	}
	return n
}

func (d *decoder) resolve(n *ast.StringNode, lookup func(string) (string, bool)) ast.Node {
	missing := false
	n.Value = reference.ReplaceAllStringFunc(n.Value, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		text, err := outside(m[1], m[2], lookup)
		if err != nil {
			d.add(n, ref, err)
			missing = true
		}
		return text
	})
	d.secret[n] = true
	if missing || n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType {
		return n
	}
	// Unquoted, a number or a boolean from outside is one.
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

func outside(kind, name string, lookup func(string) (string, bool)) (string, error) {
	if kind == "env" {
		if text, ok := lookup(name); ok {
			return text, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	text, err := os.ReadFile(name)
	return strings.TrimRight(string(text), "\r\n"), err
}
