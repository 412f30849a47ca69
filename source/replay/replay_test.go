package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/source/replay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readAll(t *testing.T, src *replay.Source) (all []bridge.Message) {
	t.Helper()
	buf := make([]bridge.Message, 2)
	for {
		n, err := src.Read(t.Context(), buf)
		all = append(all, buf[:n]...)
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, src.Close(t.Context()))
			return all
		}
	}
}

func TestRecordAndReplay(t *testing.T) {
	t.Parallel()
	messages := []bridge.Message{
		{Topic: "t/1", Payload: []byte(`{"temp":21.5}`), ClientID: "c", Username: "u", PeerHost: "h", PeerName: "h:1", QoS: 2, Retain: true},
		{Topic: "t/2", Payload: []byte{0xff, 0}, Received: time.Unix(1, 5)},
		{Topic: "t/3", Payload: []byte{}, Dup: true},
		{Topic: "t/4", Payload: []byte("x"), Props: &bridge.Properties{
			PayloadFormat: new(byte), MessageExpiry: new(uint32), ContentType: "c", ResponseTopic: "r", CorrelationData: []byte{0xff},
			SubscriptionIDs: []int{7}, User: []bridge.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
		}},
		{Event: "$events/client/connected", ClientID: "d", Payload: []byte{}, Columns: map[string]any{"keepalive": json.Number("60"), "x": nil}},
	}
	var text []byte
	for i := range messages {
		var err error
		text, err = replay.Append(text, &messages[i])
		require.NoError(t, err)
	}
	path := filepath.Join(t.TempDir(), "recording")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	src, err := replay.New(replay.Config{Path: path})
	require.NoError(t, err)
	got := readAll(t, src)
	for i := range got {
		require.False(t, got[i].Received.IsZero())
		got[i].Received, messages[i].Received = time.Time{}, time.Time{}
	}
	require.Equal(t, messages, got)
}

func TestOriginalTiming(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, err := replay.New(replay.Config{Speed: 2, Reader: strings.NewReader(`
{"topic":"a","at":"2026-01-01T00:00:00Z"}
{"topic":"b","at":"2026-01-01T00:00:10Z"}
{"topic":"c"}
{"topic":"d","at":"2026-01-01T00:01:00Z"}
`)})
		require.NoError(t, err)
		start := time.Now()
		var got []string
		for _, m := range readAll(t, src) {
			got = append(got, fmt.Sprint(m.Topic, m.Received.Sub(start)))
		}
		require.Equal(t, []string{"a0s", "b5s", "c5s", "d30s"}, got)
	})
}

func TestReadEndsWithContext(t *testing.T) {
	t.Parallel()
	src, err := replay.New(replay.Config{Speed: 1, Reader: strings.NewReader(
		`{"topic":"a","at":"2026-01-01T00:00:00Z"}` + "\n" + `{"topic":"b","at":"2027-01-01T00:00:00Z"}`,
	)})
	require.NoError(t, err)
	buf := make([]bridge.Message, 1)
	_, err = src.Read(t.Context(), buf)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = src.Read(ctx, buf)
	require.ErrorIs(t, err, context.Canceled)
}

func TestBadLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"topic":"a"}` + "\n" + `{`:                      "line 2",
		`{"payload":1}`:                                   "neither topic nor event",
		`{"topic":"a","qos":3}`:                           "qos is not 0, 1 or 2",
		`{"topic":"a","payload":1,"payload_base64":"AA"}`: "both payload",
		`{"topic":"a","payload_base64":"!"}`:              "illegal base64",
		`{"topic":"a","paylod":1}`:                        "paylod",
		`{"topic":"a"} {}`:                                "more than one",
	} {
		src, err := replay.New(replay.Config{Reader: strings.NewReader(text)})
		require.NoError(t, err)
		buf := make([]bridge.Message, 5)
		if n, err := src.Read(t.Context(), buf); n > 0 { // what is good comes first
			require.NoError(t, err)
		}
		for range 2 {
			_, err = src.Read(t.Context(), buf)
			require.ErrorContains(t, err, want, text)
		}
	}
}

// TestSuite runs the conformance suite, with the recording coming through a pipe.
func TestSuite(t *testing.T) {
	pipes := make(map[bridge.Source]*io.PipeWriter)
	var written sync.WaitGroup
	bridgetest.TestSource(t, bridgetest.SourceSuite{
		New: func(t *testing.T) bridge.Source {
			r, w := io.Pipe()
			s, err := replay.New(replay.Config{Reader: r})
			require.NoError(t, err)
			pipes[s] = w
			return s
		},
		Publish: func(t *testing.T, s bridge.Source, msgs []bridge.Message) {
			var text []byte
			for i := range msgs {
				var err error
				text, err = replay.Append(text, &msgs[i])
				require.NoError(t, err)
			}
			written.Go(func() { _, _ = pipes[s].Write(text) }) // ends with the source at the latest
		},
	})
	written.Wait()
}

// TestRulesSelectTheSource by its type and name.
func TestRulesSelectTheSource(t *testing.T) {
	t.Parallel()
	sources := make(map[string]bridge.Source)
	for _, name := range []string{"one", "two"} {
		s, err := replay.New(replay.Config{Reader: strings.NewReader(`{"topic":"t","payload":"of ` + name + `"}`)})
		require.NoError(t, err)
		sources[name] = s
	}
	sink := new(bridgetest.Sink)
	p, err := bridge.New(bridge.Config{
		Sources: sources,
		Rules: map[string]bridge.Rule{"r": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Dest: "d", Data: m.Payload})
			return nil
		}, "$sources/replay:two")},
		Sinks:  map[string]bridge.Sink{"sink": sink},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, p.Run(t.Context()))
	require.Len(t, sink.Records(), 1)
	require.Equal(t, "of two", sink.Records()[0].Data)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := replay.New(replay.Config{Speed: -1})
	require.ErrorContains(t, err, "Path or Reader")
	require.ErrorContains(t, err, "Speed")
	_, err = replay.New(replay.Config{Path: filepath.Join(t.TempDir(), "none")})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzRead: whatever the recording holds, reading it ends without a panic.
func FuzzRead(f *testing.F) {
	f.Add(`{"topic":"a","payload":{"x":1},"at":"2026-01-01T00:00:00Z"}` + "\n\n{")
	f.Fuzz(func(t *testing.T, text string) {
		src, err := replay.New(replay.Config{Reader: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close(context.Background())
		buf := make([]bridge.Message, 3)
		for range strings.Count(text, "\n") + 2 {
			n, err := src.Read(context.Background(), buf)
			for i := range buf[:n] {
				if _, err := replay.Append(nil, &buf[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err != nil {
				return
			}
		}
		t.Fatal("no end")
	})
}

func Example() {
	src, err := replay.New(replay.Config{Reader: strings.NewReader(
		`{"topic":"t/1","payload":{"temp":20},"clientid":"dev-1"}` + "\n" +
			`{"topic":"t/2","payload":"plain text"}` + "\n",
	)})
	if err != nil {
		fmt.Println(err)
		return
	}
	buf := make([]bridge.Message, 10)
	n, _ := src.Read(context.Background(), buf)
	for _, m := range buf[:n] {
		fmt.Printf("%s %s\n", m.Topic, m.Payload)
	}
	// Output:
	// t/1 {"temp":20}
	// t/2 plain text
}
