package kinesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

func quiet(c Config) Config {
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// TestNobodyWaitsLongerThanTheirContext makes the service silent. The first Write and
// the first Check ask it; others wait for their answers, but not after their contexts
// have ended.
func TestNobodyWaitsLongerThanTheirContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kinesistest.Start(t, kinesistest.Config{
			NoSocket: true, Streams: []kinesistest.StreamConfig{{Name: "s"}},
			Faults: kinesistest.Plan{Faults: []kinesistest.Fault{{Kind: kinesistest.Hang}}},
		})
		awsConfig := server.AWSConfig()
		s, err := New(quiet(Config{AWS: &awsConfig, Stream: "s"}))
		require.NoError(t, err)
		var all sync.WaitGroup
		began := time.Now()
		for range 3 {
			for _, do := range []func(ctx context.Context) error{
				func(ctx context.Context) error { return bridgetest.Write(ctx, s, batchOf(s, "a=1")) }, s.Check,
			} {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					require.Error(t, do(ctx))
				})
			}
		}
		all.Wait()
		require.Less(t, time.Since(began), time.Second)
		require.NoError(t, s.Close(t.Context()))
	})
}

// TestAutoDistribution refuses a stream that ignores keys, and takes it back when
// it no longer does.
func TestAutoDistribution(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg    Config
		refuse bool
	}{
		"strict":             {Config{}, true},
		"relaxed":            {Config{Ordering: Relaxed}, false},
		"relaxed, aggregate": {Config{Ordering: Relaxed, Aggregate: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var auto atomic.Bool
				auto.Store(true)
				f := &fake{call: func(op string) answer {
					if op == "DescribeStreamSummary" && auto.Load() {
						return answer{body: summary("ACTIVE", 1024, "AUTO")}
					}
					return answer{}
				}}
				cfg := quiet(tc.cfg)
				cfg.Stream = "s"
				s := f.sink(t, cfg)
				open, write := s.Open(t.Context()), bridgetest.Write(t.Context(), s, batchOf(s, "a=1"))
				if !tc.refuse {
					require.NoError(t, errors.Join(open, write))
					return
				}
				require.ErrorIs(t, open, ErrAutoDistribution)
				require.ErrorIs(t, write, ErrAutoDistribution)
				require.ErrorIs(t, write, bridge.ErrUnavailable)
				require.ErrorIs(t, s.Check(t.Context()), ErrAutoDistribution)
				require.Empty(t, f.requests)

				auto.Store(false)
				time.Sleep(s.cfg.RefreshInterval + time.Second)
				require.Error(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")), "this one starts the refresh")
				synctest.Wait()
				require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
			})
		})
	}
}

func TestRecordSizeFollowsTheStream(t *testing.T) {
	t.Parallel()
	f := &fake{call: func(op string) answer {
		if op == "DescribeStreamSummary" {
			return answer{body: summary("ACTIVE", 2048, "")}
		}
		return answer{}
	}}
	s := f.sink(t, Config{Stream: "s"})
	require.NoError(t, s.Open(t.Context()))
	b := new(bridge.Batch)
	b.Add(bridge.Record{Key: []byte("k"), Data: make([]byte, 2<<20-1)})
	b.Add(bridge.Record{Key: []byte("l"), Data: make([]byte, 2<<20)})
	failed := failures(t, s, b)
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed[1], "at most 2097152")

	fixed := f.sink(t, Config{Stream: "s", MaxRecordBytes: 10})
	require.ErrorIs(t, bridgetest.Write(t.Context(), fixed, batchOf(fixed, "key=12345678")), bridge.ErrPermanent)
}

// TestWithoutPermissionToDescribe writes all the same.
func TestWithoutPermissionToDescribe(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := &fake{call: func(string) answer { return fail(400, "AccessDeniedException", "no") }}
	s := f.sink(t, Config{Stream: "s", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, s.Open(t.Context()))
	for range 3 {
		require.NoError(t, s.Check(t.Context()), "before the first record, too")
		s.health.at = time.Time{}
	}
	require.Equal(t, 1, strings.Count(log.String(), "kinesis:DescribeStreamSummary"), log.String())
	b := new(bridge.Batch)
	b.Add(bridge.Record{Key: []byte("k"), Data: make([]byte, 3<<20)})
	require.NoError(t, bridgetest.Write(t.Context(), s, b), "the service has the last word on sizes")
}

// TestNewShardRefreshesTheMap sees a shard in a reply that is not in the map.
func TestNewShardRefreshesTheMap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		s := f.sink(t, Config{Stream: "s"})
		require.NoError(t, s.Open(t.Context()))
		st := s.streams.byDefault
		require.Contains(t, st.shards.Load().byID, "shardId-000000000000")

		f.call = func(op string) answer {
			if op == "ListShards" {
				return answer{body: shardList("07", hash{}, hash{^uint64(0), ^uint64(0)})}
			}
			return answer{}
		}
		f.put = func(r putRequest) answer {
			return answer{body: `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"shardId-000000000007"}]}`}
		}
		time.Sleep(refreshPause)
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
		synctest.Wait()
		require.Contains(t, st.shards.Load().byID, "shardId-000000000007")

		listed := f.calls["ListShards"]
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
		synctest.Wait()
		require.Equal(t, listed, f.calls["ListShards"], "nothing new")
	})
}

func TestShardPages(t *testing.T) {
	t.Parallel()
	pages := 0
	f := &fake{call: func(op string) answer {
		if op != "ListShards" {
			return answer{}
		}
		pages++
		body := shardList(fmt.Sprintf("%02d", pages), hash{hi: uint64(pages-1) << 62}, hash{uint64(pages)<<62 - 1, ^uint64(0)})
		if pages < 3 {
			body = body[:len(body)-1] + `,"NextToken":"more"}`
		}
		return answer{body: body}
	}}
	s := f.sink(t, Config{Stream: "s"})
	require.NoError(t, s.Open(t.Context()))
	require.Len(t, s.streams.byDefault.shards.Load().shards, 3)
	require.Equal(t, 3, s.Stats().Streams[0].OpenShards)
}

// TestRefreshesWithinQuota writes to many streams at once: the calls that have a
// quota of the account come no faster than ten per second.
func TestRefreshesWithinQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		s := f.sink(t, Config{})
		start := time.Now()
		var records []string
		for i := range 20 {
			records = append(records, fmt.Sprintf("s%d/a=1", i))
		}
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, records...)))
		require.Equal(t, 20, f.calls["DescribeStreamSummary"])
		require.GreaterOrEqual(t, time.Since(start), 19*quotaPause)
	})
}

func TestExpiredCredentialsAreRenewed(t *testing.T) {
	t.Parallel()
	var fetched atomic.Int32
	expired := true
	f := &fake{put: func(putRequest) answer {
		if fetched.Load() < 2 || expired {
			return fail(400, "ExpiredTokenException", "The security token included in the request is expired")
		}
		return answer{}
	}}
	client := sdk.New(sdk.Options{
		Region: "us-east-1", HTTPClient: f,
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			fetched.Add(1)
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b", CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil
		})),
	})
	s, err := New(Config{Client: client, Stream: "s"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	err = bridgetest.Write(t.Context(), s, batchOf(s, "a=1"))
	require.ErrorIs(t, err, bridge.ErrUnavailable)
	require.ErrorContains(t, err, "credentials have expired")
	require.EqualValues(t, 2, fetched.Load())
	require.Error(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
	require.EqualValues(t, 2, fetched.Load(), "not again so soon")
	expired = false
	require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
	require.Len(t, f.stored, 1)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg    Config
		call   answer
		put    answer
		unsent error
		want   string // "" for nil
	}{
		"fine":            {cfg: Config{Stream: "s"}},
		"missing":         {cfg: Config{Stream: "s"}, call: fail(400, "ResourceNotFoundException", "gone"), want: "no such stream in region us-east-1"},
		"creating":        {cfg: Config{Stream: "s"}, call: answer{body: summary("CREATING", 0, "")}, want: "its status is CREATING"},
		"denied":          {cfg: Config{Stream: "s"}, call: fail(400, "AccessDeniedException", "x")},
		"all denied":      {cfg: Config{Stream: "s", DryRun: true}, call: fail(400, "AccessDeniedException", "x"), put: fail(400, "AccessDeniedException", "x"), want: "do not allow kinesis:PutRecords"},
		"only puts":       {cfg: Config{Stream: "s", DryRun: true}, call: fail(400, "AccessDeniedException", "x"), put: fail(400, "DryRunOperationException", "would have worked")},
		"firewall":        {cfg: Config{Stream: "s"}, call: answer{status: 403, body: "<html>"}, want: "proxy or firewall"},
		"redirect":        {cfg: Config{Stream: "s"}, call: answer{status: 302}, want: "redirects elsewhere"},
		"wrong key":       {cfg: Config{Stream: "s"}, call: fail(400, "UnrecognizedClientException", "x"), want: "access key is not known"},
		"wrong secret":    {cfg: Config{Stream: "s"}, call: fail(400, "InvalidSignatureException", "x"), want: "secret access key is wrong"},
		"not kinesis":     {cfg: Config{Stream: "s"}, call: answer{status: 404, body: "nothing here"}, want: "not Kinesis"},
		"no stream":       {call: answer{body: `{"StreamNames":[],"HasMoreStreams":false}`}},
		"may not list":    {call: fail(400, "AccessDeniedException", "x")},
		"no stream, key":  {call: fail(400, "UnrecognizedClientException", "x"), want: "access key is not known"},
		"dry run":         {cfg: Config{Stream: "s", DryRun: true}, put: fail(400, "DryRunOperationException", "would have worked")},
		"dry run, denied": {cfg: Config{Stream: "s", DryRun: true}, put: fail(400, "AccessDeniedException", "x"), want: "do not allow kinesis:PutRecords"},
		"dry run ignored": {cfg: Config{Stream: "s", DryRun: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{call: func(string) answer { return tc.call }, put: func(putRequest) answer { return tc.put }}
			s := f.sink(t, quiet(tc.cfg))
			err := s.Check(t.Context())
			if tc.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.want)
			}
			require.Equal(t, err, s.Check(t.Context()))
			for op, n := range f.calls {
				require.Equal(t, 1, n, op)
			}
			require.Equal(t, tc.cfg.DryRun, len(f.requests) == 1 && f.requests[0].DryRun)
		})
	}
}

// TestCheckKeepsItsFinding when the account's quota is used up by others, and
// asks nothing while records are being stored.
func TestCheckKeepsItsFinding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reply := answer{}
		f := &fake{call: func(string) answer { return reply }}
		s := f.sink(t, quiet(Config{Stream: "s"}))
		require.NoError(t, s.Check(t.Context()))
		reply = fail(400, "LimitExceededException", "Rate exceeded")
		time.Sleep(checkPause)
		require.NoError(t, s.Check(t.Context()))
		reply = fail(400, "ResourceNotFoundException", "gone")
		time.Sleep(checkPause)
		missing := s.Check(t.Context())
		require.Error(t, missing)
		reply = fail(400, "LimitExceededException", "Rate exceeded")
		time.Sleep(checkPause)
		require.Equal(t, missing, s.Check(t.Context()))

		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
		time.Sleep(checkPause)
		asked := f.calls["DescribeStreamSummary"]
		require.NoError(t, s.Check(t.Context()))
		require.Equal(t, asked, f.calls["DescribeStreamSummary"])
	})
}
