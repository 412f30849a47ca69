package kinesistest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

// send posts a body as an operation, as a client that is not the SDK would.
func send(t *testing.T, client *http.Client, url, op, contentType string, body []byte) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kinesis/aws4_request, SignedHeaders=host, Signature=0")
	res, err := client.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res, raw
}

// TestCBOR speaks as the Java SDKs do, whose maps and lists have no length in
// front, and whose times are milliseconds.
func TestCBOR(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, kinesistest.Config{})
	call := func(op string, in map[string]any) (int, map[string]any) {
		var buf bytes.Buffer
		enc := cbor.NewEncoder(&buf)
		require.NoError(t, enc.StartIndefiniteMap())
		for name, value := range in {
			require.NoError(t, enc.Encode(name))
			require.NoError(t, enc.Encode(value))
		}
		require.NoError(t, enc.EndIndefinite())
		res, raw := send(t, srv.HTTPClient(), srv.URL(), op, "application/x-amz-cbor-1.1", buf.Bytes())
		require.Equal(t, "application/x-amz-cbor-1.1", res.Header.Get("Content-Type"))
		out := map[string]any{}
		if len(raw) > 0 {
			require.NoError(t, cbor.Unmarshal(raw, &out))
		}
		return res.StatusCode, out
	}
	status, _ := call("CreateStream", map[string]any{"StreamName": "s", "ShardCount": 1})
	require.Equal(t, 200, status)
	begin := time.Now().Add(-time.Minute)
	status, out := call("PutRecords", map[string]any{"StreamName": "s", "Records": []any{
		map[string]any{"Data": []byte("one"), "PartitionKey": "k"}, map[string]any{"Data": []byte{}, "PartitionKey": "k"},
	}})
	require.Equal(t, 200, status)
	require.EqualValues(t, 0, out["FailedRecordCount"])
	require.Len(t, out["Records"], 2)
	status, out = call("GetShardIterator", map[string]any{
		"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP",
		"Timestamp": cbor.Tag{Number: 1, Content: begin.UnixMilli()},
	})
	require.Equal(t, 200, status)
	status, out = call("GetRecords", map[string]any{"ShardIterator": out["ShardIterator"]})
	require.Equal(t, 200, status)
	records := out["Records"].([]any)
	require.Len(t, records, 2)
	first := records[0].(map[any]any)
	require.Equal(t, []byte("one"), first["Data"])
	millis := first["ApproximateArrivalTimestamp"].(time.Time).Unix() // The library takes them for seconds.
	require.InDelta(t, time.Now().UnixMilli(), millis, float64(time.Hour.Milliseconds()))
	status, out = call("PutRecords", map[string]any{"StreamName": "nobody", "Records": []any{map[string]any{"Data": []byte("d"), "PartitionKey": "k"}}})
	require.Equal(t, 400, status)
	require.Equal(t, map[string]any{"__type": "ResourceNotFoundException", "message": "Stream nobody under account 123456789012 not found."}, out)
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cfg  kinesistest.Config
		make func(*kinesistest.Server) *http.Client
	}{
		"TLS": {kinesistest.Config{TLS: true}, (*kinesistest.Server).HTTPClient},
		"plain": {kinesistest.Config{}, func(*kinesistest.Server) *http.Client {
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			return &http.Client{Transport: &http.Transport{Protocols: protocols}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := kinesistest.Start(t, tt.cfg)
			client := tt.make(srv)
			defer client.CloseIdleConnections()
			res, body := send(t, client, srv.URL(), "ListStreams", "application/x-amz-json-1.1", []byte("{}"))
			require.Equal(t, 2, res.ProtoMajor)
			require.Equal(t, 200, res.StatusCode)
			require.JSONEq(t, `{"HasMoreStreams":false,"StreamNames":[],"StreamSummaries":[]}`, string(body))
			require.NotEmpty(t, res.Header.Get("X-Amzn-Requestid"))
		})
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{}, "s", 1))
	const amzJSON = "application/x-amz-json-1.1"
	for _, tt := range []struct {
		op, contentType, body string
		status                int
		code                  string
	}{
		{"PutRecords", amzJSON, "", 400, "SerializationException"},
		{"PutRecords", amzJSON, "{", 400, "SerializationException"},
		{"PutRecords", amzJSON, "[]", 400, "SerializationException"},
		{"PutRecords", amzJSON, `{"StreamName":7}`, 400, "SerializationException"},
		{"Nonsense", amzJSON, "{}", 400, "UnknownOperationException"},
		{"PutRecords", "text/plain", "{}", 404, "UnknownOperationException"},
		{"PutRecords", amzJSON, strings.Repeat(" ", 17<<20), 413, ""},
	} {
		res, body := send(t, srv.HTTPClient(), srv.URL(), tt.op, tt.contentType, []byte(tt.body))
		require.Equal(t, tt.status, res.StatusCode)
		require.Contains(t, string(body), tt.code)
	}
	res, err := srv.HTTPClient().Get(srv.URL())
	require.NoError(t, err)
	require.Equal(t, 403, res.StatusCode)
	require.NoError(t, res.Body.Close())
	res, err = srv.HTTPClient().Post(srv.URL(), amzJSON, strings.NewReader("{}"))
	require.NoError(t, err)
	require.Equal(t, 400, res.StatusCode)
	require.NoError(t, res.Body.Close())
}

// TestUnusualJSON is what the fast decoder leaves to the general one.
func TestUnusualJSON(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true}, "s", 1))
	body := `{"Records":[{"PartitionKey":"\u006b\"","Data":"aGVsbG8=","Extra":{"a":[1]}}],"StreamName":"s","StreamId":null}`
	res, out := send(t, srv.HTTPClient(), srv.URL(), "PutRecords", "application/x-amz-json-1.1", []byte(body))
	require.Equal(t, 200, res.StatusCode, "%s", out)
	var reply struct {
		FailedRecordCount int
		Records           []struct{ SequenceNumber, ShardId string }
	}
	require.NoError(t, json.Unmarshal(out, &reply))
	require.Len(t, reply.Records, 1)
	stored := srv.Records("s")
	require.Equal(t, `k"`, stored[0].PartitionKey)
	require.Equal(t, "hello", string(stored[0].Data))
	require.Equal(t, reply.Records[0].SequenceNumber, stored[0].SequenceNumber)
}

func TestTransportWithASocket(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, kinesistest.Config{})
	res, _ := send(t, &http.Client{Transport: srv.Transport()}, "http://anything", "ListStreams", "application/x-amz-json-1.1", []byte("{}"))
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, map[string]int64{"ListStreams": 1}, srv.Calls())
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	err := kinesistest.Config{
		NoSocket: true, TLS: true, MaxShardBytes: -1, MaxShardRecords: -1, ShardLimit: -1,
		Streams: []kinesistest.StreamConfig{{Name: "a b", Shards: -1, MaxRecordSizeInKiB: 5, Auto: true}},
		Faults:  kinesistest.Plan{Faults: []kinesistest.Fault{{}}},
	}.Validate()
	for _, field := range []string{"NoSocket", "MaxShardBytes", "MaxShardRecords", "ShardLimit", "Streams[0].Name", "Streams[0].Shards", "Streams[0].MaxRecordSizeInKiB", "Streams[0].Auto", "Faults[0].Kind"} {
		require.ErrorContains(t, err, field+": ")
	}
	_, err = kinesistest.New(kinesistest.Config{Addr: "nowhere:x"})
	require.Error(t, err)
	tb := &failingTB{}
	require.Nil(t, kinesistest.Start(tb, kinesistest.Config{MaxShardBytes: -1}))
	require.Contains(t, tb.message, "MaxShardBytes")
}

type failingTB struct{ message string }

func (f *failingTB) Cleanup(func())                    {}
func (f *failingTB) Helper()                           {}
func (f *failingTB) Fatalf(format string, args ...any) { f.message = fmt.Sprintf(format, args...) }
