package kinesis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// fake answers the SDK in the place of the network: exactly what a test scripts,
// which kinesistest, a whole service, is too good for.
type fake struct {
	mu sync.Mutex
	// put answers PutRecords; nil stores everything.
	put func(putRequest) answer
	// call answers other operations; nil: a stream of one shard.
	call     func(op string) answer
	requests []putRequest
	calls    map[string]int
	stored   []putEntry
}

type putRequest struct {
	Records               []putEntry
	StreamName, StreamARN string
	DryRun                bool
}

type putEntry struct {
	Data            []byte
	PartitionKey    string
	ExplicitHashKey string
}

// answer is a reply, or what happens instead of one.
type answer struct {
	status int
	body   string
	length int64 // of the body as the head tells it; 0 for the true one, -1 for none
	err    error // after the request was read
	unsent error // before
}

func fail(status int, code, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"__type":%q,"message":%q}`, code, message)}
}

// results is the answer to a put of n entries in which those of failed failed.
func results(n int, failed map[int]string) answer {
	var list []string
	for i := range n {
		if code, ok := failed[i]; ok {
			list = append(list, fmt.Sprintf(`{"ErrorCode":%q,"ErrorMessage":"Rate exceeded for shard shardId-000000000007 in stream s under account 1."}`, code))
		} else {
			list = append(list, fmt.Sprintf(`{"SequenceNumber":"%056d","ShardId":"shardId-000000000000"}`, i))
		}
	}
	return answer{body: fmt.Sprintf(`{"FailedRecordCount":%d,"Records":[%s]}`, len(failed), strings.Join(list, ","))}
}

func (f *fake) Do(r *http.Request) (*http.Response, error) {
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "Kinesis_20131202.")
	if _, ok := r.Body.(io.WriterTo); ok {
		return nil, errors.New(op + ": the body has WriteTo, see awsconn.Protocol")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[op]++
	var a answer
	if op == "PutRecords" {
		a = f.answerPut(r)
	} else {
		a = f.answerCall(op)
	}
	if a.err != nil {
		return nil, a.err
	}
	if a.status == 0 {
		a.status = 200
	}
	if a.length == 0 {
		a.length = int64(len(a.body))
	}
	return &http.Response{
		StatusCode: a.status, Header: http.Header{"X-Amzn-Requestid": {"req-1"}},
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: a.length, Request: r,
	}, nil
}

func (f *fake) answerPut(r *http.Request) answer {
	if f.put != nil {
		if a := f.put(putRequest{}); a.unsent != nil {
			return answer{err: a.unsent}
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return answer{err: err}
	}
	_ = r.Body.Close()
	var in putRequest
	if err := json.Unmarshal(body, &in); err != nil {
		return answer{err: err}
	}
	if int64(len(body)) != r.ContentLength {
		return answer{err: fmt.Errorf("content length %d for %d bytes", r.ContentLength, len(body))}
	}
	f.requests = append(f.requests, in)
	a := answer{}
	if f.put != nil {
		a = f.put(in)
	}
	if a == (answer{}) {
		a = results(len(in.Records), nil)
		f.stored = append(f.stored, in.Records...)
	}
	return a
}

func (f *fake) answerCall(op string) answer {
	if f.call != nil {
		if a := f.call(op); a != (answer{}) {
			return a
		}
	}
	switch op {
	case "DescribeStreamSummary":
		return answer{body: summary("ACTIVE", 1024, "PARTITION_KEY")}
	case "ListShards":
		return answer{body: shardList("00", hash{}, hash{^uint64(0), ^uint64(0)})}
	}
	return answer{body: "{}"}
}

func summary(status string, kib int, strategy string) string {
	return fmt.Sprintf(`{"StreamDescriptionSummary":{"StreamName":"s","StreamStatus":%q,"OpenShardCount":1,"MaxRecordSizeInKiB":%d,"RecordDistributionStrategy":%q}}`,
		status, kib, strategy)
}

func shardList(id string, start, end hash) string {
	return fmt.Sprintf(`{"Shards":[{"ShardId":"shardId-0000000000%s","HashKeyRange":{"StartingHashKey":"%s","EndingHashKey":"%s"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}`,
		id, start.append(nil), end.append(nil))
}

func testCredentials() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
	})
}

// client returns an SDK client on the fake.
func (f *fake) client() *sdk.Client {
	return sdk.New(sdk.Options{
		Region: "us-east-1", HTTPClient: f, Retryer: aws.NopRetryer{},
		Credentials: testCredentials(),
	})
}

// sink returns a Sink on the fake.
func (f *fake) sink(t testing.TB, cfg Config) *Sink {
	t.Helper()
	cfg.Client = f.client()
	s, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return s
}

// batchOf makes a batch of "key=data" or "stream/key=data" records, in lanes.
func batchOf(s *Sink, records ...string) *bridge.Batch {
	b := new(bridge.Batch)
	for _, text := range records {
		var r bridge.Record
		if dest, rest, ok := strings.Cut(text, "/"); ok {
			r.Dest, text = dest, rest
		}
		key, data, _ := strings.Cut(text, "=")
		r.Key, r.Data = []byte(key), []byte(data)
		r.Lane, _ = s.Lane(&r)
		b.Add(r)
	}
	return b
}

// failures are the errors of the records that a Write has failed, by index.
func failures(t testing.TB, s *Sink, b *bridge.Batch) map[int]error {
	t.Helper()
	b = &bridge.Batch{Records: b.Records}
	require.NoError(t, s.Write(t.Context(), b))
	return bridgetest.Failed(b)
}

func (f *fake) keys() (keys []string) {
	for _, e := range f.stored {
		keys = append(keys, e.PartitionKey)
	}
	return keys
}

func repeat(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }
