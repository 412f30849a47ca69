package file_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleStdout() {
	out, _ := file.New(file.Config{Writer: os.Stdout, Format: file.Raw})
	_ = out.Write(context.Background(), &bridge.Batch{Records: []bridge.Record{{Data: []byte(`{"temp":20.5}`)}}})
	// Output: {"temp":20.5}
}

func TestConfigReportsEverything(t *testing.T) {
	t.Parallel()
	err := file.Config{Format: 9, MaxAge: -1, MaxBackups: -1, MaxSize: -1}.Validate()
	for _, field := range []string{"Path", "Format", "MaxAge", "MaxBackups", "MaxSize"} {
		require.ErrorContains(t, err, field+":")
	}
	_, err = file.New(file.Config{})
	require.ErrorContains(t, err, "Path:")
}

func TestSuite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "all.jsonl")
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New: func(t *testing.T) bridge.Sink {
			require.NoError(t, errors.Join(os.WriteFile(path, nil, 0o600)))
			s, err := file.New(file.Config{Path: path})
			require.NoError(t, err)
			return s
		},
		Stored: func(t *testing.T, _ bridge.Sink) []bridgetest.Stored {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var list []bridgetest.Stored
			for line := range strings.Lines(string(text)) {
				list = append(list, parse(t, line))
			}
			return list
		},
	})
}

func parse(t *testing.T, line string) bridgetest.Stored {
	t.Helper()
	var v struct {
		Key     string          `json:"key"`
		Base64K []byte          `json:"key_base64"`
		Data    json.RawMessage `json:"data"`
		Base64  []byte          `json:"data_base64"`
	}
	require.NoError(t, json.Unmarshal([]byte(line), &v), line)
	st := bridgetest.Stored{Key: v.Key + string(v.Base64K), Data: string(v.Data) + string(v.Base64)}
	var text string
	if json.Unmarshal(v.Data, &text) == nil && v.Data != nil {
		st.Data = text
	}
	return st
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, want string
		rec        bridge.Record
	}{
		{"json", `"data":{"a":1}`, bridge.Record{Data: []byte(`{"a":1}`)}},
		{"json of several lines", `"data":"{\n}"`, bridge.Record{Data: []byte("{\n}")}},
		{"text", `"data":"a \"b\""`, bridge.Record{Data: []byte(`a "b"`)}},
		{"bytes", `"data_base64":"/w=="`, bridge.Record{Data: []byte{0xff}}},
		{"empty", `"data":""`, bridge.Record{}},
		{
			"all", `"topic":"t","rule":"r","dest":"d","key":"k","hash_key":"1","attempt":2,"data":1,"attrs":{"a":"1","payload":{"p":1}}`,
			bridge.Record{
				Topic: "t", Rule: "r", Dest: "d", Key: []byte("k"), HashKey: []byte("1"), Data: []byte("1"), Attempt: 2,
				Attrs: []bridge.Attr{{Name: "a", Value: []byte("1")}, {Name: "a", Value: []byte("2")}, {Name: "payload", Value: []byte(`{"p":1}`)}},
			},
		},
	} {
		var out bytes.Buffer
		s, err := file.New(file.Config{Writer: &out})
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{tc.rec}}))
		require.True(t, json.Valid(out.Bytes()), out.String())
		_, rest, _ := strings.Cut(out.String(), `Z",`)
		require.Equal(t, tc.want+"}\n", rest, tc.name)
	}
}

// shortWriter fails once in the middle of a write.
type shortWriter struct {
	bytes.Buffer
	failed bool
}

func (w *shortWriter) Write(p []byte) (int, error) {
	if !w.failed {
		w.failed = true
		n, _ := w.Buffer.Write(p[:3])
		return n, errors.New("disk full")
	}
	return w.Buffer.Write(p)
}

func TestATornLineIsEnded(t *testing.T) {
	t.Parallel()
	w := new(shortWriter)
	s, err := file.New(file.Config{Writer: w, Format: file.Raw})
	require.NoError(t, err)
	b := &bridge.Batch{Records: []bridge.Record{{Data: []byte("first")}, {Data: []byte("second")}}}
	require.ErrorIs(t, s.Write(t.Context(), b), bridge.ErrUnavailable)
	require.NoError(t, s.Write(t.Context(), b))
	require.Equal(t, "fir\nfirst\nsecond\n", w.String())
	require.NoError(t, s.Close(t.Context()))
}

// TestALineTornByAKill: what comes after a restart begins a line of its own.
func TestALineTornByAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out.log")
	require.NoError(t, os.WriteFile(path, []byte("first\nsec"), 0o600))
	for range 2 {
		s, err := file.New(file.Config{Path: path, Format: file.Raw})
		require.NoError(t, err)
		require.NoError(t, s.Open(t.Context()))
		require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Data: []byte("third")}}}))
		require.NoError(t, s.Close(t.Context()))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "first\nsec\nthird\nthird\n", string(text))
}

func TestRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := file.New(file.Config{Path: filepath.Join(dir, "sub", "out.log"), Format: file.Raw, MaxSize: 1, MaxBackups: 2, Compress: true, Sync: true})
	require.NoError(t, err)
	require.NoError(t, s.Open(t.Context()))
	line := bytes.Repeat([]byte("x"), 100_000)
	for i := range 45 {
		require.NoError(t, s.Write(t.Context(), &bridge.Batch{Records: []bridge.Record{{Data: fmt.Append(line, i)}}}))
	}
	require.NoError(t, s.Close(t.Context()))
	files, err := filepath.Glob(filepath.Join(dir, "sub", "*"))
	require.NoError(t, err)
	require.Greater(t, len(files), 1, files)
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := file.New(file.Config{Path: dir})
	require.NoError(t, err)
	require.Error(t, s.Open(t.Context()))
	require.NoError(t, s.Close(t.Context()))
}
