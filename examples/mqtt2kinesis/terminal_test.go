package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge/trace"
)

// hostileText moves the cursor, sets the title, forges lines and turns the
// direction of writing.
const hostileText = "a\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202eb\u2066\x00\x7f\nforged: line\xff"

func requireHarmless(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		require.False(t, r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)), "%q in %q", r, text)
	}
}

func TestTraceShowsWhatDevicesSendAndDoesNotDoIt(t *testing.T) {
	t.Parallel()
	h := hostileText
	e := trace.Excerpt{Text: h, Size: len(h)}
	var out bytes.Buffer
	events := []trace.Event{
		{Message: &trace.Message{Source: "s", Topic: h, ClientID: h, Username: h, PeerName: h, Payload: e, Rules: []string{h}}},
		{Rule: &trace.Rule{Rule: h, Error: h, Steps: []trace.Step{{Name: h, Text: h, Result: h}}}},
		{Rule: &trace.Rule{Rule: "r", Records: []trace.Record{{Sink: h, Key: e, Data: e}}}},
		{Write: &trace.Write{Sink: h, Error: h}},
		{Write: &trace.Write{Fallback: h, Error: h}},
		{End: &trace.End{Error: h}},
		{Settled: &trace.Settled{Error: h}},
	}
	for i := range events {
		events[i].Time = time.Unix(0, 0)
		printEvent(terminal{&out}, &events[i])
	}
	requireHarmless(t, out.String())
	for text := range strings.SplitSeq(out.String(), "\n") {
		require.False(t, strings.HasPrefix(text, "forged"), "a device has made a line")
	}
	require.Contains(t, out.String(), `a\u001b[2J\u001b]0;owned\u0007\u000d`)

	// JSON as well, where letters may stand as they are.
	text, err := json.Marshal(events[0])
	require.NoError(t, err)
	out.Reset()
	require.Error(t, printTrace(terminal{&out}, bytes.NewReader(append(text, '\n')), true)) // it has ended
	requireHarmless(t, out.String())
	require.True(t, json.Valid(out.Bytes()), out.String())
}

func TestTestShowsWhatDevicesSendAndDoesNotDoIt(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-sql", `SELECT payload FROM "#"`, "-template", "${payload}"},
		{"-sql", `SELECT payload FROM "#"`},
		{"-sql", `SELECT 1 AS x FROM "#" WHERE payload = 'x'`},
		{"-sql", `SELECT payload.x FROM "#"`},
		{"-sql", "SELECT \x1b[2J FROM \"#\""},
	} {
		_, stdout, stderr := execute(t, append([]string{"test", "-payload", hostileText}, args...)...)
		require.NotEmpty(t, stdout+stderr)
		requireHarmless(t, stdout)
		requireHarmless(t, stderr)
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":               "",
		"plain é 漢\n\tx": "plain é 漢\n\tx",
		"\x1b[2J":        `\u001b[2J`,
		"a\r\nb":         "a\\u000d\nb",
		"\x9b\xff":       `\x9b\xff`,
		"\U000e0001":     `\udb40\udc01`,
		"\u009b31m":      `\u009b31m`,
		"\u202e":         `\u202e`,
	} {
		require.Equal(t, want, visible(text))
	}
	require.Equal(t, `a\nb\tc`, line("a\nb\tc"))
}
