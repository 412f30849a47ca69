package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/smallfile"
)

func TestTextsThatWouldTakeTooMuchAreRefused(t *testing.T) {
	t.Parallel()
	const n = 200_000
	for name, text := range map[string]string{
		"lists":         strings.Repeat("[", n),
		"closed lists":  "a: " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"mappings":      strings.Repeat("{a: ", n),
		"both":          strings.Repeat("[{a: ", n/2),
		"dashes":        strings.Repeat("- ", n) + "a",
		"dashes below":  "a:\n  " + strings.Repeat("- ", n) + "a",
		"question mark": strings.Repeat("? ", n) + "a",
		"block":         nested(60),
	} {
		_, err := Parse("f", []byte(text), testOptions)
		require.ErrorContains(t, err, "nests deeper than", name)
	}
	for name, text := range map[string]string{
		"keys":       strings.Repeat("a: b\n", n),
		"entries":    "a:\n" + strings.Repeat("- b\n", n),
		"flow":       "a: [" + strings.Repeat("b, ", n) + "]",
		"flow pairs": "{" + strings.Repeat("b: c, ", n/2) + "}",
		"documents":  strings.Repeat("---\n", n),
		"tags":       "a: " + strings.Repeat("!x ", n),
		"anchors":    strings.Repeat("&a\n", n),
	} {
		_, err := Parse("f", []byte(text), testOptions)
		require.ErrorContains(t, err, "more than 50000 entries", name)
	}
	_, err := Parse("f", make([]byte, maxText+1), testOptions)
	require.ErrorContains(t, err, "more than 1048576")
	_, _, err = ImportEMQX(make([]byte, maxText+1))
	require.ErrorContains(t, err, "more than 1048576")
	for _, text := range []string{strings.Repeat("a{", maxText/2), "a=" + strings.Repeat("[", maxText/2), strings.Repeat(`{"a":`, maxText/5), strings.Repeat("a.", maxText/2-2) + "a=1"} {
		_, _, err = ImportEMQX([]byte(text))
		require.ErrorContains(t, err, "nests deeper than")
	}
	// Not a bomb: what would expand is refused before.
	_, err = Parse("f", []byte("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"), testOptions)
	require.Error(t, err)
}

func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// What is within the bounds is not mistaken: brackets in texts open nothing.
func TestBracketsInTextsDoNotNest(t *testing.T) {
	t.Parallel()
	brackets := strings.Repeat("[{", 100)
	def, err := Parse("f", []byte("# "+brackets+`
sources: {s: {type: broker, listeners: ["mqtt://127.0.0.1:0"], users_file: }}
sinks: {f: {type: file, path: "`+brackets+`"}}
rules:
  r:
    description: '`+brackets+`'
    sql: |
      SELECT '`+brackets+`' as x FROM "t/#"
    actions:
    - {key: "${x}"}
`), testOptions)
	require.NoError(t, err)
	require.Equal(t, []string{"r"}, def.Rules())
}

func TestFilesWithoutEndAreRefused(t *testing.T) {
	t.Parallel()
	large := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(large, make([]byte, smallfile.Max+1), 0o600))
	_, err := Load("/dev/zero", Options{})
	require.ErrorContains(t, err, "has more than")
	for _, path := range []string{large, "/dev/zero"} {
		for _, part := range []string{
			"sources: {s: {type: mqtt, servers: mqtts://h, client_id: c, ssl: {cacertfile: " + path + "}}}",
			"sources: {s: {type: mqtt, servers: mqtts://h, client_id: c, ssl: {certfile: " + path + ", keyfile: " + path + "}}}",
			"sources: {s: {type: broker, users_file: " + path + "}}",
			"sources: {s: {type: broker, acl_file: " + path + "}}",
			"sources: {s: {type: broker, listeners: [{url: 'mqtts://127.0.0.1:0', ssl: {certfile: " + path + ", keyfile: " + path + "}}]}}",
			"sources: {s: {type: mqtt, servers: mqtt://h, client_id: c, password: '${file:" + path + "}'}}",
		} {
			_, err := Parse("f", []byte(part+"\nsinks: {f: {type: file, path: p}}\n"), Options{})
			require.ErrorContains(t, err, "has more than 4 MiB", part)
		}
	}
}

// A part of a text is never beyond the bounds where the whole is not, wherever it is
// cut: in quotes, in a block of text, in a comment.
func TestBoundsOfParts(t *testing.T) {
	t.Parallel()
	nested := strings.Repeat("[", maxDepth-2)
	for _, text := range []string{
		`a: "` + strings.Repeat("b: [", 100) + "\"\nc: " + nested + "x",
		`a: '` + strings.Repeat("{b: ", 100) + "'\nc: " + nested + "x",
		"a: |\n" + strings.Repeat("  - b: [{\n", 100) + "c: " + nested + "x",
		"a: >\n" + strings.Repeat("  ? {[\n", 100) + "c: " + nested + "x",
		"# " + strings.Repeat("[{", 100) + "\nc: " + nested + "x",
	} {
		for i := range len(text) {
			_, problem := excess(text[:i])
			require.Empty(t, problem, "%.20q cut at %d", text, i)
		}
		_, problem := excess(text + "[[[[")
		require.NotEmpty(t, problem, "%.20q", text)
	}
	for _, quote := range []string{`"`, `'`} { // longer than the first part
		_, err := Parse("f", []byte("a: "+quote+strings.Repeat("b: ", 2*maxEntries)+quote), Options{})
		require.ErrorContains(t, err, "unknown section")
		require.NotContains(t, err.Error(), "entries")
	}
}
