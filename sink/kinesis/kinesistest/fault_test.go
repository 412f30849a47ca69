package kinesistest_test

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

// once makes the SDK show what happened instead of trying again.
func once(o *kinesis.Options) { o.RetryMaxAttempts = 1 }

// putKeys puts a record for each key, whose data is the key.
func putKeys(ctx context.Context, client *kinesis.Client, keys ...string) (*kinesis.PutRecordsOutput, error) {
	in := &kinesis.PutRecordsInput{StreamName: new("s")}
	for _, k := range keys {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: []byte(k), PartitionKey: new(k)})
	}
	return client.PutRecords(ctx, in)
}

// storedKeys are the keys of the records in the stream "s".
func storedKeys(srv *kinesistest.Server) (keys []string) {
	for _, r := range srv.Records("s") {
		keys = append(keys, r.PartitionKey)
	}
	return keys
}

// TestFaultsThroughTheSDK shows the exact effect of each kind, over a socket
// and without.
func TestFaultsThroughTheSDK(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fault  kinesistest.Fault
		stored bool
		check  func(*testing.T, *kinesis.PutRecordsOutput, error)
	}{
		{"internal failure", kinesistest.Fault{Kind: kinesistest.FailCall}, false, apiError(kinesistest.CodeInternalFailure, 500)},
		{"service unavailable", kinesistest.Fault{Kind: kinesistest.FailCall, Code: kinesistest.CodeServiceUnavailable}, false, apiError(kinesistest.CodeServiceUnavailable, 503)},
		{"bad gateway", kinesistest.Fault{Kind: kinesistest.FailCall, Code: "BadGateway", Status: 502}, false, apiError("BadGateway", 502)},
		{"throttled call", kinesistest.Fault{Kind: kinesistest.FailCall, Code: kinesistest.CodeThroughputExceeded}, false, apiError(kinesistest.CodeThroughputExceeded, 400)},
		{"expired token", kinesistest.Fault{Kind: kinesistest.FailCall, Code: kinesistest.CodeExpiredToken}, false, apiError(kinesistest.CodeExpiredToken, 400)},
		{"access denied", kinesistest.Fault{Kind: kinesistest.FailCall, Code: kinesistest.CodeAccessDenied}, false, apiError(kinesistest.CodeAccessDenied, 400)},
		{"KMS throttling", kinesistest.Fault{Kind: kinesistest.FailCall, Code: kinesistest.CodeKMSThrottling}, false, apiError(kinesistest.CodeKMSThrottling, 400)},
		{"KMS disabled", kinesistest.Fault{Kind: kinesistest.FailCall, Code: kinesistest.CodeKMSDisabled}, false, apiError(kinesistest.CodeKMSDisabled, 400)},
		{"failure after storing", kinesistest.Fault{Kind: kinesistest.FailCallAfter}, true, apiError(kinesistest.CodeInternalFailure, 500)},
		{"reset before storing", kinesistest.Fault{Kind: kinesistest.ResetBefore}, false, isReset},
		{"reset after storing", kinesistest.Fault{Kind: kinesistest.ResetAfter}, true, isReset},
		{"truncated reply", kinesistest.Fault{Kind: kinesistest.Truncate}, true, func(t *testing.T, _ *kinesis.PutRecordsOutput, err error) {
			require.ErrorContains(t, err, "deserialization failed")
		}},
		{"wrong record count", kinesistest.Fault{Kind: kinesistest.DropResults}, true, func(t *testing.T, out *kinesis.PutRecordsOutput, err error) {
			require.NoError(t, err)
			require.Len(t, out.Records, 1)
		}},
	}
	for _, tt := range tests {
		for way, cfg := range ways {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				fault := tt.fault
				fault.Op, fault.Times = "PutRecords", 1
				cfg.Faults = kinesistest.Plan{Faults: []kinesistest.Fault{fault}}
				srv := kinesistest.Start(t, withStream(cfg, "s", 1))
				out, err := putKeys(t.Context(), srv.Client(once), "a", "b")
				tt.check(t, out, err)
				require.Equal(t, []int{1}, srv.FaultHits())
				if tt.stored {
					require.Equal(t, []string{"a", "b"}, storedKeys(srv))
				} else {
					require.Empty(t, storedKeys(srv))
				}
				out, err = putKeys(t.Context(), srv.Client(once), "c")
				require.NoError(t, err)
				require.Len(t, out.Records, 1)
			})
		}
	}
}

func apiError(code string, status int) func(*testing.T, *kinesis.PutRecordsOutput, error) {
	return func(t *testing.T, _ *kinesis.PutRecordsOutput, err error) {
		t.Helper()
		var api smithy.APIError
		require.ErrorAs(t, err, &api)
		require.Equal(t, code, api.ErrorCode())
		require.NotEmpty(t, api.ErrorMessage())
		var res *smithyhttp.ResponseError
		require.ErrorAs(t, err, &res)
		require.Equal(t, status, res.HTTPStatusCode())
	}
}

// isReset accepts what a client sees of a connection that was broken off; only
// HTTP/1.1 without TLS, and no socket at all, show the reset as such.
func isReset(t *testing.T, _ *kinesis.PutRecordsOutput, err error) {
	t.Helper()
	require.Error(t, err)
	var api smithy.APIError
	require.NotErrorAs(t, err, &api)
	var send *smithyhttp.RequestSendError
	require.ErrorAs(t, err, &send)
}

func TestResetIsAReset(t *testing.T) {
	t.Parallel()
	for _, cfg := range []kinesistest.Config{{}, {NoSocket: true}} {
		cfg.Faults = kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.ResetAfter}}}
		srv := kinesistest.Start(t, withStream(cfg, "s", 1))
		_, err := putKeys(t.Context(), srv.Client(once), "a")
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
}

func TestFailRecord(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{Faults: kinesistest.Plan{Faults: []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Key: "b", Times: 2},
		{Kind: kinesistest.FailRecord, Key: "c", Skip: 1, Times: 1},
	}}}, "s", 1))
	codes := func() (codes []string) {
		out, err := putKeys(t.Context(), srv.Client(once), "a", "b", "c")
		require.NoError(t, err)
		failed := 0
		for _, r := range out.Records {
			code := ""
			if r.ErrorCode != nil {
				code = *r.ErrorCode
				failed++
				require.Nil(t, r.SequenceNumber)
				require.NotEmpty(t, *r.ErrorMessage)
			}
			codes = append(codes, code)
		}
		require.EqualValues(t, failed, *out.FailedRecordCount)
		return codes
	}
	require.Equal(t, []string{"", kinesistest.CodeThroughputExceeded, ""}, codes())
	require.Equal(t, []string{"", kinesistest.CodeThroughputExceeded, kinesistest.CodeInternalFailure}, codes())
	require.Equal(t, []string{"", "", ""}, codes())
	require.Equal(t, []string{"a", "c", "a", "a", "b", "c"}, storedKeys(srv))
	stats := srv.Stats("s")
	require.EqualValues(t, 2, stats.Throttled)
	require.EqualValues(t, 1, stats.Failed)
	require.EqualValues(t, 6, stats.Records)
	require.EqualValues(t, 3, stats.Requests)
}

func TestFaultOfOneShard(t *testing.T) {
	t.Parallel()
	const shard = "shardId-000000000001"
	srv := kinesistest.Start(t, withStream(kinesistest.Config{Faults: kinesistest.Plan{Faults: []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Shard: shard},
	}}}, "s", 2))
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprint(i))
	}
	out, err := putKeys(t.Context(), srv.Client(once), keys...)
	require.NoError(t, err)
	require.Positive(t, *out.FailedRecordCount)
	for _, r := range out.Records {
		if r.ErrorCode != nil {
			require.Contains(t, *r.ErrorMessage, shard)
		} else {
			require.NotEqual(t, shard, *r.ShardId)
		}
	}
	// A call fault of a shard hits a put with a record for it.
	require.NoError(t, srv.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.FailCall, Shard: shard}}}))
	_, err = putKeys(t.Context(), srv.Client(once), keys...)
	require.Error(t, err)
	for i, r := range out.Records {
		if r.ShardId != nil {
			_, err = putKeys(t.Context(), srv.Client(once), keys[i])
			require.NoError(t, err)
		}
	}
}

func TestSplitInTheMiddleOfARequest(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{Faults: kinesistest.Plan{Faults: []kinesistest.Fault{
		{Kind: kinesistest.SplitShard, Key: "k", Skip: 1, Times: 1},
	}}}, "s", 1))
	out, err := putKeys(t.Context(), srv.Client(once), "k", "k", "k")
	require.NoError(t, err)
	require.Equal(t, "shardId-000000000000", *out.Records[0].ShardId)
	require.NotEqual(t, "shardId-000000000000", *out.Records[1].ShardId)
	require.Equal(t, *out.Records[1].ShardId, *out.Records[2].ShardId)
	require.Less(t, *out.Records[0].SequenceNumber, *out.Records[1].SequenceNumber)
	sum, err := srv.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: new("s")})
	require.NoError(t, err)
	require.EqualValues(t, 2, *sum.StreamDescriptionSummary.OpenShardCount)
}

func TestSlowAndHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv, err := kinesistest.New(withStream(kinesistest.Config{NoSocket: true, Faults: kinesistest.Plan{Faults: []kinesistest.Fault{
			{Kind: kinesistest.Slow, Delay: 3 * time.Second, Times: 1},
			{Kind: kinesistest.Hang, Times: 1},
			{Kind: kinesistest.HangAfter, Times: 1},
		}}}, "s", 1))
		require.NoError(t, err)
		defer func() { _ = srv.Close() }()
		client := srv.Client(once)
		for i, want := range []int{0, 1} {
			// The first call is slow and then hangs.
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := putKeys(ctx, client, "k")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 10*time.Second, time.Since(begin))
			require.Len(t, srv.Records("s"), want, "call %d", i)
			cancel()
		}
		begin := time.Now()
		_, err = putKeys(t.Context(), client, "k")
		require.NoError(t, err)
		require.Zero(t, time.Since(begin))
		require.NoError(t, srv.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.Slow, Delay: 3 * time.Second}}}))
		_, err = putKeys(t.Context(), client, "k")
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestHangOverASocketEndsWithTheServer(t *testing.T) {
	t.Parallel()
	srv, err := kinesistest.New(withStream(kinesistest.Config{Faults: kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.HangAfter}}}}, "s", 1))
	require.NoError(t, err)
	failed := make(chan error)
	go func() {
		_, err := putKeys(context.WithoutCancel(t.Context()), srv.Client(once), "k")
		failed <- err
	}()
	for len(srv.Records("s")) == 0 { // The call is carried out, then hangs.
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
	}
	require.NoError(t, srv.Close())
	require.Error(t, <-failed)
}

func TestRandomFaultsRepeat(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (failed []int) {
		srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true, Faults: kinesistest.Plan{
			Seed: seed, Faults: []kinesistest.Fault{{Kind: kinesistest.FailRecord, Rate: 0.2}},
		}}, "s", 1))
		for i := range 100 {
			if out, err := putKeys(t.Context(), srv.Client(once), "k"); err != nil || *out.FailedRecordCount > 0 {
				failed = append(failed, i)
			}
		}
		return failed
	}
	first := run(1)
	require.Equal(t, first, run(1))
	require.NotEqual(t, first, run(2))
	require.InDelta(t, 20, len(first), 15)
}

func TestFaultsOfMethods(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true}, "s", 1))
	in := &kinesis.PutRecordInput{StreamName: new("s"), Data: []byte("d"), PartitionKey: new("k")}
	for kind, want := range map[kinesistest.Kind]error{
		kinesistest.ResetAfter: syscall.ECONNRESET, kinesistest.Truncate: io.ErrUnexpectedEOF,
	} {
		require.NoError(t, srv.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kind}}}))
		_, err := srv.PutRecord(t.Context(), in)
		require.ErrorIs(t, err, want)
	}
	require.NoError(t, srv.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded}}}))
	_, err := srv.PutRecord(t.Context(), in)
	var throttled *types.ProvisionedThroughputExceededException
	require.ErrorAs(t, err, &throttled)
	require.Len(t, srv.Records("s"), 2)
}

func TestInvalidPlan(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, kinesistest.Config{NoSocket: true})
	err := srv.SetFaults(kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: "?", Op: "[", Rate: 2}}})
	require.ErrorContains(t, err, "Faults[0].Kind")
	require.ErrorContains(t, err, "Faults[0].Op")
	require.ErrorContains(t, err, "Faults[0].Rate")
}
