package awsconn

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/certs"
)

func TestBounded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 9, 10} {
		got, err := io.ReadAll(Bounded(strings.NewReader("0123456789"[:n]), 10))
		require.NoError(t, err)
		require.Len(t, got, n)
	}
	for _, n := range []int{0, 1, 9} {
		r := Bounded(iotestOneByte{strings.NewReader("0123456789")}, n)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, ErrReplyTooLarge)
		require.Len(t, got, n)
		_, err = r.Read(make([]byte, 1))
		require.ErrorIs(t, err, ErrReplyTooLarge)
	}
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// A reply that grows when it is decompressed is bounded in what it becomes.
func TestRepliesAreBounded(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(make([]byte, MaxReply+1))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}))
	defer srv.Close()
	transport, err := newTransport(http.DefaultTransport.(*http.Transport).Clone(), certs.Files{}, nil)
	require.NoError(t, err)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, http.NoBody)
	require.NoError(t, err)
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	require.ErrorIs(t, err, ErrReplyTooLarge)
	require.EqualValues(t, MaxReply, n)
}
