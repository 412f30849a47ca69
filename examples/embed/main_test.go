package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"
)

// TestRun starts the program, publishes, changes the rule by a request, publishes
// again, and ends it.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	up := make(chan world, 1)
	done := make(chan error, 1)
	go func() { done <- run(ctx, "127.0.0.1:0", "127.0.0.1:0", func(w world) { up <- w }) }()
	var at world
	select {
	case at = <-up:
	case err := <-done:
		require.NoError(t, err)
	}
	publish := device(t, strings.TrimPrefix(at.mqtt, "mqtt://"))
	publish(`{"temp":24,"humidity":80}`)
	records := at.kinesis.UserRecords(stream)
	require.Len(t, records, 1)
	require.JSONEq(t, `{"dew_point":20.3,"temp":24,"topic":"house/1/air"}`, string(records[0].Data))

	code, text := request(t, http.MethodPut, at.http+"/rule", `SELECT payload.temp AS t FORM "house/+/air"`)
	require.Equal(t, http.StatusBadRequest, code)
	require.Contains(t, text, "did you mean FROM?")
	_, text = request(t, http.MethodGet, at.http+"/rule", "")
	require.Equal(t, firstSQL+"\n", text)

	const other = `SELECT payload.temp AS t FROM "house/+/air"`
	code, text = request(t, http.MethodPut, at.http+"/rule", other)
	require.Equal(t, http.StatusNoContent, code, text)
	_, text = request(t, http.MethodGet, at.http+"/rule", "")
	require.Equal(t, other+"\n", text)
	publish(`{"temp":25}`)
	records = at.kinesis.UserRecords(stream)
	require.Len(t, records, 2)
	require.Equal(t, `{"t":25}`, string(records[1].Data))

	code, _ = request(t, http.MethodGet, at.http+"/health", "")
	require.Equal(t, http.StatusOK, code)
	_, text = request(t, http.MethodGet, at.http+"/console/", "")
	require.Contains(t, text, "<html")
	stop()
	require.NoError(t, <-done)
}

// device connects a device and returns what publishes a reading of its. The
// broker acknowledges a reading when it is stored.
func device(t *testing.T, address string) (publish func(payload string)) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	c := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: "house-1"})
	_, err = c.Connect(t.Context(), &paho.Connect{ClientID: "house-1", CleanStart: true, KeepAlive: 30})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return func(payload string) {
		_, err := c.Publish(t.Context(), &paho.Publish{Topic: "house/1/air", QoS: 1, Payload: []byte(payload)})
		require.NoError(t, err)
	}
}

func request(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}
