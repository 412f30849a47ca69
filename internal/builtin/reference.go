package builtin

import (
	"fmt"
	"strings"
)

// Reference returns the reference page of all functions in Markdown.
func Reference() string {
	var b strings.Builder
	b.WriteString("# Functions\n\n" +
		"<!-- Generated from the table in internal/builtin: go generate ./internal/builtin -->\n\n" +
		"The built-in functions of the rule language. Names, arguments and results follow EMQX's rule engine; " +
		"where a function does more, its text says so. Parameters in brackets may be left out. " +
		"An argument of a wrong type is an error, and so is a missing one; numbers are never taken from text by themselves.\n\n" +
		"*Text* below means a string, or a boolean as its name. Lengths and positions in text count grapheme clusters, " +
		"what a reader calls characters.\n")
	all := All()
	b.WriteString("\n## Contents\n\n")
	family := ""
	for _, f := range all {
		if f.Family != family {
			if family != "" {
				b.WriteString("\n")
			}
			family = f.Family
			fmt.Fprintf(&b, "- [%s](#%s):", family, anchor(family))
		}
		fmt.Fprintf(&b, " `%s`", f.Name)
	}
	b.WriteString("\n")
	family = ""
	for _, f := range all {
		if f.Family != family {
			family = f.Family
			b.WriteString("\n## " + family + "\n")
		}
		f.describe(&b)
	}
	return b.String()
}

// anchor returns the link target that Markdown renderers make of a heading.
func anchor(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

// describe writes the function's entry.
func (f *Function) describe(b *strings.Builder) {
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n", f.Signature(), f.Doc)
	if len(f.Args) > 0 {
		var words []string
		for _, p := range f.Args {
			words = append(words, fmt.Sprintf("`%s`: %s", p.Name, p.Type.plain()))
		}
		b.WriteString("\n" + strings.Join(words, "; ") + ".\n")
	}
	if len(f.Examples) == 0 {
		return
	}
	b.WriteString("\n| Expression | Result |\n|---|---|\n")
	for _, e := range f.Examples {
		result := "`" + e.Result + "`"
		if e.Error {
			result = "error"
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", strings.ReplaceAll(e.Expr, "|", `\|`), strings.ReplaceAll(result, "|", `\|`))
	}
}

// plain is String with the name that the reference page explains.
func (t Type) plain() string {
	if t == Text {
		return "text"
	}
	return t.String()
}
