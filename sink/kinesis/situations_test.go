package kinesis_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// situation is one that producers have met in the field, with what the service, or
// something before it, answers.
type situation struct {
	faults []kinesistest.Fault
	// before is in front of the service; n counts the PutRecords calls from 1.
	before func(n int, w http.ResponseWriter, r *http.Request, service http.Handler)
	// exact says that nothing may be written twice: no outcome is in doubt.
	exact bool
	// calls bounds the calls of PutRecords.
	calls int64
}

// answer makes the first n calls get an answer that is not the service's.
func answer(n, status int, contentType, body string) func(int, http.ResponseWriter, *http.Request, http.Handler) {
	return func(call int, w http.ResponseWriter, r *http.Request, service http.Handler) {
		if call > n {
			service.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// afterwards lets the service answer, and hands the answer on in its own way.
func afterwards(hand func(call int, w http.ResponseWriter, answer *httptest.ResponseRecorder)) func(int, http.ResponseWriter, *http.Request, http.Handler) {
	return func(call int, w http.ResponseWriter, r *http.Request, service http.Handler) {
		rec := httptest.NewRecorder()
		service.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		hand(call, w, rec)
	}
}

// skewed is a service whose clock is ahead of ours: it takes requests of its own
// time only, and tells it.
func skewed(ahead time.Duration) func(int, http.ResponseWriter, *http.Request, http.Handler) {
	return func(_ int, w http.ResponseWriter, r *http.Request, service http.Handler) {
		now := time.Now().Add(ahead).UTC()
		w.Header().Set("Date", now.Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err == nil && now.Sub(signed).Abs() < 5*time.Minute {
			service.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		const text = "20060102T150405Z"
		fmt.Fprintf(w, `{"__type":"InvalidSignatureException","message":"Signature expired: %s is now earlier than %s (%s - 5 min.)"}`,
			signed.Format(text), now.Add(-5*time.Minute).Format(text), now.Format(text))
	}
}

func proxyPage(status int) string {
	return fmt.Sprintf("<html><head><title>%d %s</title></head></html>", status, http.StatusText(status))
}

var situations = map[string]situation{
	"clock behind": {before: skewed(20 * time.Minute), exact: true},
	"clock ahead":  {before: skewed(-20 * time.Minute), exact: true},
	"partial failures with four codes": {exact: true, faults: []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Op: "PutRecords", Code: kinesistest.CodeThroughputExceeded, Rate: 0.1},
		{Kind: kinesistest.FailRecord, Op: "PutRecords", Code: kinesistest.CodeInternalFailure, Rate: 0.1},
		{Kind: kinesistest.FailRecord, Op: "PutRecords", Code: kinesistest.CodeServiceUnavailable, Rate: 0.1},
		{Kind: kinesistest.FailRecord, Op: "PutRecords", Code: kinesistest.CodeKMSThrottling, Rate: 0.1},
	}},
	// What is refused as a whole is not sent again record by record.
	"retry storm": {exact: true, calls: worldMessages / 2, faults: []kinesistest.Fault{
		{Kind: kinesistest.FailCall, Op: "PutRecords", Code: kinesistest.CodeLimitExceeded, Times: 20},
		{Kind: kinesistest.FailCall, Op: "PutRecords", Code: kinesistest.CodeThroughputExceeded, Times: 20},
	}},
	"truncated replies": {faults: []kinesistest.Fault{{Kind: kinesistest.Truncate, Op: "PutRecords", Rate: 0.3}}},
	"replies cut anywhere": {before: afterwards(func(call int, w http.ResponseWriter, answer *httptest.ResponseRecorder) {
		body := answer.Body.Bytes()
		if call <= 20 {
			body = body[:len(body)*call/21] // whole, as far as HTTP can tell
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	})},
	"dripped replies": {exact: true, before: afterwards(func(_ int, w http.ResponseWriter, answer *httptest.ResponseRecorder) {
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		for _, c := range answer.Body.Bytes() {
			_, _ = w.Write([]byte{c})
			w.(http.Flusher).Flush()
		}
	})},
	"empty successes":        {before: answer(5, http.StatusOK, "application/x-amz-json-1.1", "")},
	"successes of nothing":   {before: answer(5, http.StatusOK, "application/x-amz-json-1.1", "{}")},
	"successes of no record": {before: answer(5, http.StatusOK, "application/x-amz-json-1.1", `{"FailedRecordCount":0,"Records":[]}`)},
	"pages of a portal":      {before: answer(5, http.StatusOK, "text/html", "<html><body>Welcome to the airport</body></html>")},
	"proxy with 407":         {before: answer(5, http.StatusProxyAuthRequired, "text/html", proxyPage(407)), exact: true},
	"proxy with 403":         {before: answer(5, http.StatusForbidden, "text/html", proxyPage(403)), exact: true},
	"proxy with 502":         {before: answer(5, http.StatusBadGateway, "text/html", proxyPage(502))},
	"proxy with 504":         {before: answer(5, http.StatusGatewayTimeout, "text/html", proxyPage(504))},
}

// world is a service with something before it, and a sink that writes there.
type world struct {
	service *kinesistest.Server
	sink    *kinesis.Sink
	puts    atomic.Int64
}

func newWorld(t *testing.T, at situation) *world {
	t.Helper()
	w := &world{service: kinesistest.Start(t, kinesistest.Config{
		NoSocket: true, Logger: slog.New(slog.DiscardHandler),
		Streams: []kinesistest.StreamConfig{{Name: "s", Shards: 4}},
		Faults:  kinesistest.Plan{Seed: 1, Faults: at.faults},
	})}
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		isPut := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords")
		if isPut {
			w.puts.Add(1)
		}
		if isPut && at.before != nil {
			at.before(int(w.puts.Load()), rw, r, w.service)
			return
		}
		w.service.ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	var err error
	w.sink, err = kinesis.New(kinesis.Config{
		Stream: "s", Endpoint: front.URL, Region: "us-east-1", AccessKeyID: "a", SecretAccessKey: "b",
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return w
}

const (
	worldMessages = 2000
	worldKeys     = 50
)

// publish gives a source the messages, and the checker what they are.
func publish(src *bridgetest.Source, c *bridgetest.Checker) {
	for i := range worldMessages {
		key, seq := fmt.Sprint("device-", i%worldKeys), uint64(i/worldKeys)
		c.Sent(key, seq)
		src.Publish(bridge.Message{Topic: key, Payload: strconv.AppendUint(nil, seq, 10), QoS: 1})
	}
}

// pipe makes the pipeline from a source to the sink.
func (w *world) pipe(t *testing.T, src bridge.Source) *bridge.Pipeline {
	t.Helper()
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"devices": src},
		Rules:   map[string]bridge.Rule{"all": byTopic()},
		Sinks:   map[string]bridge.Sink{"kinesis": w.sink},
		Queue: bridge.QueueConfig{
			BatchTime: time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, ResumeInterval: time.Millisecond,
		},
		DrainTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return p
}

// complete checks that everything has arrived and all counters say so.
func (w *world) complete(t *testing.T, p *bridge.Pipeline, src *bridgetest.Source, c *bridgetest.Checker) (duplicates int) {
	t.Helper()
	for _, r := range w.service.UserRecords("s") {
		seq, err := strconv.ParseUint(string(r.Data), 10, 64)
		require.NoError(t, err)
		c.Got(r.PartitionKey, seq)
	}
	report := c.Report()
	require.True(t, report.OK(), report)
	require.Equal(t, map[bridge.Outcome]int{bridge.Stored: worldMessages}, src.Outcomes())
	_, _, open, twice := src.Counts()
	require.Zero(t, open)
	require.Zero(t, twice, "settled once")
	stats := p.Stats()
	require.EqualValues(t, worldMessages, stats.Sources["devices"].Received)
	require.EqualValues(t, worldMessages, stats.Rules["all"].ActionsSuccess)
	k := stats.Sinks["kinesis"]
	require.EqualValues(t, worldMessages, k.Matched)
	require.EqualValues(t, worldMessages, k.Ended[bridge.Stored])
	require.Zero(t, k.Queue.Inflight+k.Queue.Waiting+k.Queue.Bytes)
	require.LessOrEqual(t, report.Duplicates, int(k.Ambiguous), "a duplicate without a doubtful outcome")
	return report.Duplicates
}

// TestSituations runs a pipeline through what other producers have lost records,
// order or their minds to.
func TestSituations(t *testing.T) {
	t.Parallel()
	for name, at := range situations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, c := newWorld(t, at), new(bridgetest.Source), new(bridgetest.Checker)
			publish(src, c)
			src.End()
			p := w.pipe(t, src)
			require.NoError(t, p.Run(t.Context()))
			duplicates := w.complete(t, p, src, c)
			if at.exact {
				require.Zero(t, duplicates)
			}
			if at.calls > 0 {
				require.LessOrEqual(t, w.puts.Load(), at.calls)
			}
		})
	}
}

// TestDeletedStream deletes the stream under a bridge, which waits and says why,
// and makes it again.
func TestDeletedStream(t *testing.T) {
	t.Parallel()
	w, src, c := newWorld(t, situation{}), new(bridgetest.Source), new(bridgetest.Checker)
	client := w.service.Client()
	_, err := client.DeleteStream(t.Context(), &sdk.DeleteStreamInput{StreamName: aws.String("s")})
	require.NoError(t, err)
	publish(src, c)
	src.End()
	p := w.pipe(t, src)
	ran := make(chan error, 1)
	go func() { ran <- p.Run(context.WithoutCancel(t.Context())) }()
	require.Eventually(t, func() bool {
		h := p.Stats().Sinks["kinesis"].Health
		return h.State == bridge.Disconnected && strings.Contains(h.Reason, kinesistest.CodeResourceNotFound)
	}, time.Minute, time.Millisecond)
	require.Empty(t, src.Outcomes())
	require.Eventually(t, func() bool {
		_, err := client.CreateStream(t.Context(), &sdk.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(2)})
		return err == nil
	}, time.Minute, time.Millisecond, "it is gone after a while")
	require.NoError(t, <-ran)
	require.Zero(t, w.complete(t, p, src, c))
}
