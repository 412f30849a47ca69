package rule_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/rule"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// TestGolden runs the statements of testdata/golden. A case is a block of lines,
// separated from the next by an empty one: its statement, then further lines that
// start with "topic ", "event ", "payload ", "columns " or "template ", and after
// a line of dashes what comes out. Settings of a line "default …" hold for the
// cases behind it. Run with -update to rewrite the files, and read the difference.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := runGolden(t, string(text))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

func runGolden(t *testing.T, text string) string {
	var out []string
	defaults := make(map[string]string)
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		head, _, _ := strings.Cut(block, "\n----")
		if strings.HasPrefix(head, "#") {
			out = append(out, block)
			continue
		}
		if rest, ok := strings.CutPrefix(head, "default "); ok {
			key, value, _ := strings.Cut(rest, " ")
			defaults[key] = value
			out = append(out, block)
			continue
		}
		out = append(out, head+"\n----\n"+runCase(t, head, defaults))
	}
	return strings.Join(out, "\n\n") + "\n"
}

func runCase(t *testing.T, head string, defaults map[string]string) string {
	settings := map[string]string{}
	for k, v := range defaults {
		settings[k] = v
	}
	var sql []string
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "topic", "event", "payload", "columns", "template":
			settings[key] = value
		default:
			sql = append(sql, line)
		}
	}
	engine, err := rule.NewEngine(rule.EngineConfig{
		Location: time.UTC, Node: "node", Now: func() time.Time { return time.UnixMilli(1700000000123).UTC() },
	})
	require.NoError(t, err)
	in := rule.TestInput{
		SQL: strings.Join(sql, "\n"), Topic: settings["topic"], EventTopic: settings["event"],
		Template: settings["template"], Columns: make(map[string]any), Engine: engine,
	}
	if text, ok := settings["columns"]; ok {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.UseNumber()
		require.NoError(t, d.Decode(&in.Columns), head)
	}
	if p, ok := settings["payload"]; ok {
		in.Columns["payload"] = p
	}
	result, err := rule.Test(in)
	if err != nil {
		return fmt.Sprintf("error: %v", err)
	}
	lines := result.JSON
	if in.Template != "" {
		lines = result.Rendered
	}
	for _, w := range result.Warnings {
		lines = append(lines, "warning: "+w.Summary())
	}
	if result.NoMatch != rule.Matched {
		lines = append(lines, "no match: "+string(result.NoMatch)+": "+result.Reason)
	}
	return strings.Join(lines, "\n")
}
