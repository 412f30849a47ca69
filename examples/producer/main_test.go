package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// serve returns a stream and the service in front of it.
func serve(t *testing.T, queue bridge.QueueConfig) (*kinesistest.Server, *httptest.Server) {
	t.Helper()
	stream := kinesistest.Start(t, kinesistest.Config{NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s"}}})
	aws := stream.AWSConfig()
	queue.BatchTime = 5 * time.Millisecond
	producer, err := kinesis.NewProducer(t.Context(), kinesis.Config{AWS: &aws, Stream: "s", Aggregate: true, IDs: true},
		bridge.ProducerConfig{IDs: true, Queue: queue, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	srv := httptest.NewServer(newHandler(producer))
	t.Cleanup(func() {
		srv.Close()
		require.NoError(t, producer.Close(t.Context()))
	})
	return stream, srv
}

func post(t *testing.T, srv *httptest.Server, body string) int {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second}
	r, err := client.Post(srv.URL+"/devices/kitchen", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	return r.StatusCode
}

func TestAnswersWhenStored(t *testing.T) {
	stream, srv := serve(t, bridge.QueueConfig{})
	require.Equal(t, http.StatusAccepted, post(t, srv, `{"temp":21}`))
	require.Len(t, stream.UserRecords("s"), 1, "it is there before the answer")
	require.Equal(t, http.StatusRequestEntityTooLarge, post(t, srv, strings.Repeat("x", 2<<20)))
	ready, err := srv.Client().Get(srv.URL + "/readyz")
	require.NoError(t, err)
	require.NoError(t, ready.Body.Close())
	require.Equal(t, http.StatusOK, ready.StatusCode)
}

func TestSaysThatItIsFull(t *testing.T) {
	stream, srv := serve(t, bridge.QueueConfig{MaxRecords: 1, OnFull: bridge.DropNewest, BackoffMax: 50 * time.Millisecond})
	require.NoError(t, stream.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.FailRecord}}}))
	codes := make(chan int)
	for range 2 {
		go func() {
			r, err := http.Post(srv.URL+"/devices/kitchen", "", strings.NewReader("1"))
			if err == nil {
				_ = r.Body.Close()
				codes <- r.StatusCode
			}
		}()
	}
	require.Equal(t, http.StatusTooManyRequests, <-codes)
	require.NoError(t, stream.SetFaults(kinesistest.Plan{}))
	require.Equal(t, http.StatusAccepted, <-codes)
}
