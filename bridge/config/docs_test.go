package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/rule"
)

// The YAML in the documentation and in the examples is a right definition.
func TestDocumentedDefinitions(t *testing.T) {
	t.Parallel()
	opts := Options{LookupEnv: func(name string) (string, bool) {
		if name == "MQTT_URL" {
			return "mqtt://localhost:1883", true
		}
		return "value", true
	}}
	blocks := 0
	pages, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	fence := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(m[1], "sinks:") {
				continue // a part of another file, such as a manifest
			}
			blocks++
			def, err := Parse(filepath.Base(page), []byte(m[1]), opts)
			require.NoError(t, err, m[1])
			require.Empty(t, def.Warnings(), m[1])
		}
	}
	require.Positive(t, blocks)
	files, err := filepath.Glob("../../examples/mqtt2kinesis/deploy/bridge*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		def, err := Load(f, opts)
		require.NoError(t, err)
		require.Empty(t, def.Warnings())
	}
}

// The tables of options in docs/configuration.md are those of the types.
// SLUICE_UPDATE=1 writes them.
func TestOptionTablesAreUpToDate(t *testing.T) {
	t.Parallel()
	const path, mark = "../../docs/configuration.md", "<!-- The rest is generated from the types: SLUICE_UPDATE=1 go test ./bridge/config -run UpToDate -->\n"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(text), mark)
	require.True(t, ok)
	want := optionTables()
	if os.Getenv("SLUICE_UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(head+mark+want), 0o600))
		rest = want
	}
	if want != rest {
		t.Fatal("the tables are not those of the types: run SLUICE_UPDATE=1 go test ./bridge/config -run UpToDate")
	}
}

func optionTables() string {
	var b strings.Builder
	table := func(title string, t reflect.Type) {
		fmt.Fprintf(&b, "\n## %s\n\n| Option | Meaning |\n|---|---|\n", title)
		rows(&b, "", t)
	}
	types := DefaultTypes()
	for _, name := range sortedKeys(types.Sources) {
		table("Sources of type `"+name+"`", reflect.TypeOf(types.Sources[name]()).Elem())
	}
	for _, name := range sortedKeys(types.Sinks) {
		table("Sinks of type `"+name+"`", reflect.TypeOf(types.Sinks[name]()).Elem())
	}
	table("`resource_opts` of every sink", reflect.TypeFor[ResourceOptions]())
	table("Rules", reflect.TypeFor[ruleDefinition]())
	table("`pipeline`", reflect.TypeFor[pipelineOptions]())
	return b.String()
}

func rows(b *strings.Builder, prefix string, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("yaml")
		fmt.Fprintf(b, "| `%s` | %s |\n", name, strings.ReplaceAll(f.Tag.Get("doc"), "|", `\|`))
		inner := f.Type
		list := ""
		for inner.Kind() == reflect.Slice || inner.Kind() == reflect.Pointer {
			if inner.Kind() == reflect.Slice {
				list = "[]"
			}
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			rows(b, name+list+".", inner)
		}
	}
}

// The statements of docs/sql.md compile, and the Go of docs/extending.md is that of
// the example, which is compiled and run.
func TestDocumentedCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/sql.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		_, err := rule.New(rule.Config{SQL: m[1]})
		require.NoError(t, err, m[1])
	}
	text, err = os.ReadFile("../../docs/extending.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 2)
	flat := func(s string) string { return strings.ReplaceAll(s, "\t", "") }
	for _, m := range blocks {
		require.Contains(t, flat(string(example)), flat(strings.TrimSpace(m[1])))
	}
}
