package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The log has the format and the level that the environment says.
func TestLogFormatAndLevel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		format, level string
		begins        string // what the line of a warning begins with
	}{
		{"", "", "time="},
		{"text", "WARN", "time="},
		{"json", "", "{"},
		{"JSON", "debug", "{"},
		{"json", "error", ""},
	} {
		var log output
		p := &program{lookup: environment(map[string]string{envLogFormat: test.format, envLogLevel: test.level}), stdout: io.Discard, stderr: &log}
		code := p.run(t.Context(), []string{
			"-mqtt", "mqtt://127.0.0.1:1", "-start-timeout", "1ms", "-stream", "s", "-region", "eu-west-1",
			"-sql", `SELECT payload.temp AS t FROM "t/#"`, "-payload", "${temp}",
		})
		require.Equal(t, 1, code)
		at := strings.Index(log.String(), "WARN")
		if test.begins == "" {
			require.Negative(t, at, "%s", &log)
			continue
		}
		require.GreaterOrEqual(t, at, 0, "%s", &log)
		line, _, _ := strings.Cut(log.String()[strings.LastIndex(log.String()[:at], "\n")+1:], "\n")
		require.True(t, strings.HasPrefix(line, test.begins), line)
		if test.begins == "{" {
			require.True(t, json.Valid([]byte(line)), line)
		}
	}
	for name, wrong := range map[string]string{envLogFormat: "xml", envLogLevel: "loud"} {
		var log output
		p := &program{lookup: environment(map[string]string{name: wrong}), stdout: io.Discard, stderr: &log}
		require.Equal(t, 2, p.run(t.Context(), []string{"version"}))
		require.Contains(t, log.String(), name)
		require.Contains(t, log.String(), wrong)
	}
}
