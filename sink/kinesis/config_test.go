package kinesis

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, Config{}.Validate())
	bad := Config{
		Stream: "no/name", Endpoint: "localhost:4567", AccessKeyID: "a", SessionToken: "t", Ordering: 7, Compression: 7,
		AggregateBytes: 100, Slots: 100, MaxRecordBytes: 11 << 20, MaxRequestBytes: 1, RequestTimeout: -1, RefreshInterval: -1,
		Client: new(fake).client(),
	}
	err := bad.Validate()
	for _, field := range []string{
		"Stream", "Endpoint", "AccessKeyID", "Ordering", "Compression", "AggregateBytes", "Slots", "MaxRecordBytes",
		"MaxRequestBytes", "RequestTimeout", "RefreshInterval", "Client",
	} {
		require.ErrorContains(t, err, "kinesis: Config."+field+": ")
	}
	_, err = New(bad)
	require.Error(t, err)
	require.ErrorContains(t, Config{SessionToken: "very secret"}.Validate(), "SessionToken")
	require.NotContains(t, Config{SessionToken: "very secret"}.Validate().Error(), "very secret")
	for _, stream := range []string{
		"arn:aws:kinesis:eu-west-1:123456789012:stream/a", "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b_c-1", "a",
	} {
		require.NoError(t, Config{Stream: stream}.Validate())
	}
	for _, stream := range []string{"arn:aws:s3:::bucket", "arn:aws:kinesis:eu-west-1:1:stream/", "a b", strings.Repeat("a", 129)} {
		require.Error(t, Config{Stream: stream}.Validate(), stream)
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, o := range []Ordering{Strict, Relaxed} {
		var back Ordering
		require.NoError(t, back.UnmarshalText([]byte(o.String())))
		require.Equal(t, o, back)
	}
	for _, c := range []Compression{None, Gzip, Zstd} {
		var back Compression
		require.NoError(t, back.UnmarshalText([]byte(c.String())))
		require.Equal(t, c, back)
	}
	require.Error(t, new(Ordering).UnmarshalText([]byte("loose")))
	require.Error(t, new(Compression).UnmarshalText([]byte("lz4")))
}

func TestRegion(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-3")
	for want, cfg := range map[string]Config{
		"eu-west-1":  {Region: "eu-west-1", Stream: "arn:aws:kinesis:eu-west-2:123456789012:stream/a"},
		"eu-west-2":  {Stream: "arn:aws:kinesis:eu-west-2:123456789012:stream/a"},
		"ap-south-1": {Endpoint: "https://kinesis-fips.ap-south-1.api.aws"},
		"eu-west-3":  {Endpoint: "http://localhost:4567"},
	} {
		s, err := New(cfg)
		require.NoError(t, err)
		require.Equal(t, want, s.client.Options().Region)
		require.NoError(t, s.Close(t.Context()))
	}
}

// TestStandardChain takes region and credentials from the environment.
func TestStandardChain(t *testing.T) {
	none := t.TempDir() + "/none"
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	_, err := New(Config{Stream: "s"})
	require.ErrorContains(t, err, "no AWS region")

	t.Setenv("AWS_REGION", "eu-north-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	s, err := New(Config{Stream: "s", Endpoint: "http://127.0.0.1:1"})
	require.NoError(t, err)
	require.Equal(t, "eu-north-1", s.place.Region)
	err = bridgetest.Write(t.Context(), s, batchOf(s, "a=1"))
	require.ErrorContains(t, err, "no usable AWS credentials")
	require.ErrorIs(t, err, bridge.ErrUnavailable)
	require.NoError(t, s.Close(t.Context()))

	t.Setenv("AWS_ACCESS_KEY_ID", "from-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	s, err = New(Config{Stream: "s"})
	require.NoError(t, err)
	c, err := s.client.Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, "from-environment", c.AccessKeyID)
	require.NoError(t, s.Close(t.Context()))

	s, err = New(Config{Stream: "s", AccessKeyID: "fixed", SecretAccessKey: "secret", AWS: &aws.Config{Region: "x"}})
	require.NoError(t, err)
	c, err = s.client.Options().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	require.Equal(t, "fixed", c.AccessKeyID)
	require.NoError(t, s.Close(t.Context()))
}

func TestCompression(t *testing.T) {
	t.Parallel()
	undo := map[Compression]func([]byte) ([]byte, error){
		Gzip: func(b []byte) ([]byte, error) {
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return nil, err
			}
			return io.ReadAll(r)
		},
		Zstd: func(b []byte) ([]byte, error) {
			r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return r.DecodeAll(b, nil)
		},
	}
	for c, undo := range undo {
		for _, aggregate := range []bool{false, true} {
			f := new(fake)
			s := f.sink(t, Config{Stream: "s", Compression: c, Aggregate: aggregate, Slots: 1})
			b := new(bridge.Batch)
			var want []string
			for i := range 100 {
				data := fmt.Sprintf("%d %s", i, strings.Repeat("abc", i))
				want = append(want, data)
				b.Add(bridge.Record{Key: []byte("k"), Data: []byte(data)})
			}
			for range 3 { // with used buffers, too
				f.stored = nil
				require.NoError(t, bridgetest.Write(t.Context(), s, b))
				var got []string
				for _, data := range userData(f.stored) {
					plain, err := undo([]byte(data))
					require.NoError(t, err)
					got = append(got, string(plain))
				}
				require.Equal(t, want, got)
			}
		}
	}
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	var got []Receipt
	f := &fake{put: func(r putRequest) answer {
		if len(r.Records) < 2 {
			return answer{}
		}
		return results(len(r.Records), map[int]string{0: "InternalFailure"})
	}}
	s := f.sink(t, Config{Stream: "s", OnReceipt: func(r []Receipt) { got = append(got, r...) }})
	b := batchOf(s, "a=1", "=refused", "b=2")
	b.Records[2].Topic, b.Records[2].Rule = "t/1", "r"
	require.Error(t, bridgetest.Write(t.Context(), s, b))
	require.Equal(t, []Receipt{{
		Index: 2, Topic: "t/1", Rule: "r", Stream: "s",
		ShardID: "shardId-000000000000", SequenceNumber: fmt.Sprintf("%056d", 1),
	}}, got)

	got = nil
	s = f.sink(t, Config{Stream: "s", Aggregate: true, Slots: 1, OnReceipt: func(r []Receipt) { got = append(got, r...) }})
	require.Error(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1", "=refused", "b=2")))
	require.Len(t, got, 2)
	require.Equal(t, []int{0, 0, 2, 1}, []int{got[0].Index, got[0].SubSequence, got[1].Index, got[1].SubSequence})
}

func TestStats(t *testing.T) {
	t.Parallel()
	f := new(fake)
	s := f.sink(t, Config{Stream: "s"})
	require.NoError(t, s.Open(t.Context()))
	b := batchOf(s, "a=1", "=refused", "b=2")
	b.Add(bridge.Record{Key: []byte("c"), Data: make([]byte, PayloadUnit)})
	require.Error(t, bridgetest.Write(t.Context(), s, b))
	f.put = func(putRequest) answer {
		return results(2, map[int]string{1: "ProvisionedThroughputExceededException"})
	}
	require.Error(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1", "b=2")))
	f.put = func(putRequest) answer { return fail(500, "InternalFailure", "x") }
	require.Error(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1", "b=2")))
	require.Equal(t, Stats{Requests: 3, FailedRequests: 1, Streams: []StreamStats{{
		Stream: "s", Records: 4, Entries: 4, Bytes: 2 + 2 + PayloadUnit + 1 + 2, PayloadUnits: 5,
		Throttled: 1, Ambiguous: 2, Rejected: 1, Failed: 4, OpenShards: 1,
		Shards: []ShardStats{{Shard: "shardId-000000000000", Share: 1}, {Shard: "shardId-000000000007", Throttled: 1}},
	}}}, s.Stats())
}

// TestStreamsAreBounded addresses streams whose names come from messages.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	ss := &streams{byDest: map[string]*stream{}}
	var err error
	ss.byDefault, err = ss.get("default")
	require.NoError(t, err)
	for i := range 3 * maxStreams {
		st, err := ss.get(fmt.Sprintf("s%d", i))
		require.NoError(t, err)
		st.used.Store(int64(i + 1))
	}
	require.LessOrEqual(t, len(ss.byDest), maxStreams)
	st, err := ss.get("default")
	require.NoError(t, err)
	require.Same(t, ss.byDefault, st)
	require.Contains(t, ss.byDest, fmt.Sprintf("s%d", 3*maxStreams-1))
}

func TestCloseWaits(t *testing.T) {
	t.Parallel()
	s := new(fake).sink(t, Config{Stream: "s"})
	release := make(chan struct{})
	s.tasks.Go(func() { <-release })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Close(ctx), context.DeadlineExceeded)
	close(release)
}

func TestPlan(t *testing.T) {
	t.Parallel()
	prices, ok := PricesOf("us-east-1")
	require.True(t, ok)
	plain := Plan(Workload{MessagesPerSecond: 100, MessageBytes: 200, Keys: 1}, prices)
	require.InDelta(t, 50, plain.MaxPerKey, 0.1, "one record per round trip")
	aggregated := Plan(Workload{MessagesPerSecond: 100, MessageBytes: 200, Keys: 1, Aggregate: true}, prices)
	require.Greater(t, aggregated.MaxPerKey, 20*plain.MaxPerKey)
	require.InDelta(t, 10, aggregated.MessagesPerEntry, 0.1)
	large := Plan(Workload{MessagesPerSecond: 100, MessageBytes: 30_000, Keys: 100}, prices)
	require.InDelta(t, 200, large.PayloadUnitsPerSecond, 0.1)
	require.Equal(t, 3, large.Shards)

	lines := Workload{MessagesPerSecond: 10_000, MessageBytes: 200, KeyBytes: 16, Keys: 100, Pack: Lines, MaxDelay: time.Second}
	few := Plan(lines, prices)
	require.InDelta(t, 100, few.MessagesPerEntry, 0.1, "as many of a key as come in MaxDelay")
	lines.Keys = 100_000
	require.InDelta(t, 1, Plan(lines, prices).MessagesPerEntry, 0.1, "keys of which little comes do not gain")
}

// TestPlanOfAdvantage pays less for each gigabyte, but no less than was committed.
func TestPlanOfAdvantage(t *testing.T) {
	t.Parallel()
	prices, _ := PricesOf("us-east-1")
	plan := func(rate float64) Estimate {
		return Plan(Workload{MessagesPerSecond: rate, MessageBytes: 1000, KeyBytes: 24, Keys: 1000}, prices)
	}
	month := prices.HoursPerMonth * 3600
	least := prices.AdvantageMiBPerSecond * month / 1024 * (prices.AdvantageGigabyteIn + prices.AdvantageGigabyteOut)
	require.InDelta(t, least, plan(1).Advantage, 0.01)
	require.InDelta(t, least, plan(prices.AdvantageMiBPerSecond*1024).Advantage, 0.01)
	require.Greater(t, plan(1024).Advantage, plan(1024).OnDemand)
	big := plan(100 * 1024)
	require.Less(t, big.Advantage, 0.5*big.OnDemand)
	require.Equal(t, big.Shards, big.WarmMiBPerSecond)
}

func TestListPrices(t *testing.T) {
	t.Parallel()
	list := ListPrices()
	require.NotEmpty(t, list)
	for _, p := range list {
		require.Regexp(t, `^[a-z-]+-[0-9]$`, p.Region)
		_, err := time.Parse("2006-01", p.Date)
		require.NoError(t, err)
		for name, v := range map[string]float64{
			"hours": p.HoursPerMonth, "shard": p.ShardHour, "units": p.MillionPayloadUnits, "stream": p.StreamHour, "in": p.GigabyteIn,
			"advantage in": p.AdvantageGigabyteIn, "advantage out": p.AdvantageGigabyteOut, "committed": p.AdvantageMiBPerSecond,
		} {
			require.Positive(t, v, name)
		}
		require.LessOrEqual(t, p.AdvantageGigabyteIn, 0.4*p.GigabyteIn)
	}
	_, ok := PricesOf("nowhere-1")
	require.False(t, ok)
}
