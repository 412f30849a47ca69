package template_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/template"
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"": nil, "all": nil, "$<a>-${b.c}": nil, "$<.>": nil, "cost: 5$ {x}": nil, "a > b } c": nil,
		"${id":                    {`"${id" is not closed and stands for itself (write ${name})`},
		"x-$<id":                  {`"$<id" is not closed and stands for itself (write $<name>)`},
		"${a}/${b":                {`"${b" is not closed and stands for itself (write ${name})`},
		"${a ${b}":                {`${a ${b} is one placeholder, for the column "a ${b" (is its first part not closed?)`},
		"${payload.list[1]}":      {"templates have no indexes: ${payload.list[1]} looks for a member with this name (select the element, SELECT payload.list[1] AS x, and write $<x>)"},
		"$<list[-1].x>":           {"templates have no indexes: $<list[-1].x> looks for a member with this name (select the element, SELECT list[-1].x AS x, and write $<x>)"},
		"${ id }":                 {"the blanks in ${ id } belong to the name (leave the blanks out)"},
		"${}$<>":                  {"${} stands for itself (the whole row is ${.})", "$<> stands for itself (the whole row is $<.>)"},
		`{"a":$<a>,}`:             {`the template looks like JSON and is not, with values in place {"a":0,}: invalid JSON at byte 7: unexpected '}', a member's name is missing (mind quotes and commas)`},
		`{"a":"$<a>"`:             nil,
		`{"a":"$<a>"}`:            {"values are put into the JSON as they are: a quote or a line end in one makes it invalid, and a list may become text (the dialect json escapes them)"},
		` [ ${a} ] `:              {"values are put into the JSON as they are: a quote or a line end in one makes it invalid, and a list may become text (the dialect json escapes them)"},
		`{"a":1}`:                 nil,
		`{"$<a>":{"b":"x$<b>y"}}`: {"values are put into the JSON as they are: a quote or a line end in one makes it invalid, and a list may become text (the dialect json escapes them)"},
	} {
		var got []string
		for _, w := range template.Compile(text).Warnings() {
			got = append(got, w.String())
			require.NotEmpty(t, w.Text)
		}
		require.Equal(t, want, got, text)
	}
	require.True(t, template.Compile(`{"a":"$<a>"}`).Warnings()[0].Advice)
	require.Empty(t, compileJSON(t, `{"a":"$<a>","b":$<b>}`).Warnings())
	require.Len(t, compileJSON(t, `{"a":"$<a>","b":}`).Warnings(), 1)
	require.Equal(t, "${a-b} stands for itself (names are letters, digits, _ and .)", compile(t, "${a-b}", template.Republish).Warnings()[0].String())
	require.Empty(t, compile(t, "$<a", template.Republish).Warnings())
}
