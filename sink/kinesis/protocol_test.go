package kinesis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
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

	sent, all := b.detach()
	require.True(t, sent)
	require.True(t, all)
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
			Credentials: testCredentials(),
		})
		s.streams.byDefault.asked.Store(true)
		s.streams.byDefault.due.Store(1 << 62)
		before, start := s.room.get(), time.Now()
		b := new(bridge.Batch)
		b.Add(bridge.Record{Key: []byte("k"), Data: make([]byte, 1<<20-1)})
		b.Add(bridge.Record{Key: []byte("l"), Data: make([]byte, 1<<20-1)})
		err := bridgetest.Write(t.Context(), s, b)
		require.Equal(t, 7*time.Second, time.Since(start))
		require.ErrorIs(t, err, bridge.ErrAmbiguous)
		require.ErrorContains(t, err, "did not answer in time")
		require.Len(t, bridgetest.Failed(b), 2)
		require.Less(t, s.room.get(), before)
	})
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
		err = bridgetest.Write(t.Context(), s, batchOf(s, "a=1"))
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

// partly reads n bytes of each body and then fails.
type partly int64

func (n partly) Do(r *http.Request) (*http.Response, error) {
	if _, err := io.CopyN(io.Discard, r.Body, int64(n)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, syscall.ECONNRESET
}

// TestIncompleteRequestIsNotAmbiguous breaks the connection at every stage of a
// request. Only one that has gone out to its end may be stored.
func TestIncompleteRequestIsNotAmbiguous(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		read      int64
		ambiguous bool
	}{
		"nothing": {0, false}, "a byte": {1, false}, "half": {500, false}, "all": {1 << 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := New(Config{Client: clientOf(partly(c.read)), Stream: "s", Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			b := &bridge.Batch{Records: []bridge.Record{{Key: []byte("k"), Data: make([]byte, 1000)}}}
			err = s.Write(t.Context(), b)
			if err == nil {
				err = b.Err(&b.Records[0])
			}
			require.Error(t, err)
			require.Equal(t, c.ambiguous, errors.Is(err, bridge.ErrAmbiguous), "%v", err)
			require.NoError(t, s.Close(t.Context()))
		})
	}
}
