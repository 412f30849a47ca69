package kinesis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

func FuzzAppendEntry(f *testing.F) {
	f.Add("key", "123", []byte("data"))
	f.Add("k\"\\\x00\x1f\u2028é\U0001F600", "", []byte{0, 0xff})
	f.Fuzz(func(t *testing.T, key, hashKey string, data []byte) {
		if keyProblem([]byte(key)) != "" {
			t.Skip()
		}
		if _, ok := parseHash(hashKey); !ok {
			hashKey = ""
		}
		text := appendEntry(nil, []byte(key), []byte(hashKey), data)
		require.True(t, json.Valid(text), "%q", text)
		var e putEntry
		require.NoError(t, json.Unmarshal(text, &e))
		require.Equal(t, key, e.PartitionKey)
		require.Equal(t, hashKey, e.ExplicitHashKey)
		require.True(t, bytes.Equal(data, e.Data))
	})
}

func TestNothingFailed(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]bool{
		`{"FailedRecordCount":0,"Records":[]}`:                        true,
		`{"Records":[], "FailedRecordCount" : 0 }`:                    true,
		`{"FailedRecordCount":1,"Records":[]}`:                        false,
		`{"FailedRecordCount":01}`:                                    false,
		`{"FailedRecordCount":0.5}`:                                   false,
		`{"FailedRecordCount":0`:                                      false,
		`{"Records":[]}`:                                              false,
		`{"Message":"\"FailedRecordCount\":0"}`:                       false,
		`{"Message":"\"FailedRecordCount\":0","FailedRecordCount":2}`: false,
		``: false,
	} {
		require.Equal(t, want, nothingFailed([]byte(reply)), reply)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	var b body
	b.set([]byte("entries"), []byte("tail"))
	whole := head + "entries" + "tail"
	require.Equal(t, len(whole), b.Len())

	var signed bytes.Buffer
	_, err := io.Copy(&signed, &b)
	require.NoError(t, err)
	require.Equal(t, whole, signed.String())
	require.Zero(t, b.Len())
	require.False(t, b.sent, "reading it for the signature sends nothing")

	_, err = b.Seek(0, io.SeekStart)
	require.NoError(t, err)
	got, err := io.ReadAll(iotestOneByte{&b})
	require.NoError(t, err)
	require.Equal(t, whole, string(got))
	_, err = b.Seek(1, io.SeekStart)
	require.Error(t, err)

	require.True(t, b.detach())
	_, err = b.Read(make([]byte, 10))
	require.ErrorIs(t, err, errDetached)
	require.NotImplements(t, (*io.WriterTo)(nil), &b, "see Read")
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// silent reads requests and never answers.
type silent struct{}

func (silent) Do(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestTimeout does not know the outcome of a request that was sent, and makes
// the next one smaller.
func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(fake).sink(t, Config{Stream: "s", RequestTimeout: 7 * time.Second})
		s.client = sdk.New(sdk.Options{
			Region: "us-east-1", HTTPClient: silent{},
			Credentials: fixedCredentials(Config{AccessKeyID: "AKID", SecretAccessKey: "secret"}),
		})
		s.streams.byDefault.asked.Store(true)
		s.streams.byDefault.due.Store(1 << 62)
		before, start := s.room.get(), time.Now()
		b := new(bridge.Batch)
		b.Add(bridge.Record{Key: []byte("k"), Data: make([]byte, 1<<20-1)})
		b.Add(bridge.Record{Key: []byte("l"), Data: make([]byte, 1<<20-1)})
		err := s.Write(t.Context(), b)
		require.Equal(t, 7*time.Second, time.Since(start))
		require.ErrorIs(t, err, bridge.ErrAmbiguous)
		require.ErrorContains(t, err, "did not answer in time")
		require.Len(t, failures(t, err), 2)
		require.Less(t, s.room.get(), before)
	})
}

func TestRoom(t *testing.T) {
	t.Parallel()
	var r room
	r.init(10 << 20)
	r.timedOut(10 << 20)
	require.Equal(t, 5<<20, r.get())
	r.timedOut(10 << 20) // of a request that was sent before
	require.Equal(t, 5<<20, r.get())
	r.answered(100)
	require.Equal(t, 5<<20, r.get(), "a small request proves nothing")
	for range 100 {
		r.timedOut(r.get())
	}
	require.Equal(t, minRoom, r.get())
	for range 100 {
		r.answered(r.get())
	}
	require.Equal(t, 10<<20, r.get())
}

// TestConnectionFailures are those from before anything was sent: nothing is in
// doubt, and the text says what is wrong.
func TestConnectionFailures(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(plain) })
	t.Cleanup(func() {
		_ = server.Close()
		done.Wait()
	})
	for endpoint, want := range map[string]struct {
		text        string
		unavailable bool
	}{
		"http://" + closed.Addr().String(): {"refuses connections", false},
		"https://" + plain.Addr().String(): {"does not speak TLS", true},
		"http://" + plain.Addr().String():  {"", true}, // a 404 of something else
	} {
		s, err := New(Config{Endpoint: endpoint, Stream: "s", AccessKeyID: "a", SecretAccessKey: "b"})
		require.NoError(t, err)
		s.streams.byDefault.asked.Store(true)
		s.streams.byDefault.due.Store(1 << 62)
		err = s.Write(t.Context(), batchOf(s, "a=1"))
		require.ErrorContains(t, err, want.text)
		require.Equal(t, want.unavailable, errors.Is(err, bridge.ErrUnavailable), "%s: %v", endpoint, err)
		require.NotErrorIs(t, err, bridge.ErrAmbiguous)
		require.NoError(t, s.Close(context.Background()))
	}
}

func TestKeyProblem(t *testing.T) {
	t.Parallel()
	require.Empty(t, keyProblem([]byte("a")))
	require.Empty(t, keyProblem([]byte(strings.Repeat("\U0001F600", 256))))
	require.True(t, utf8.ValidString(strings.Repeat("\U0001F600", 256)))
}
