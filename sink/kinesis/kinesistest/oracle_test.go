package kinesistest_test

import (
	"encoding/hex"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/internal/kpl"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Aggregates that npm's aws-kinesis-agg 4.2.8 makes of the same records.
const (
	aggregate         = "f3899ac20a056465762d310a056465762d321a0908001a0568656c6c6f1a0908011a05776f726c641a0908001a05616761696ecdbb3f4ec26019aa8f96129e3989ea91"
	aggregateWithHash = "f3899ac20a056465762d310a056465762d32120531323334351a0b080010001a0568656c6c6f1a0b080110001a05776f726c641a0b080010001a05616761696ea29c6d8bc9c54f1dde0f7d03a9400bb9"
)

func TestUserRecords(t *testing.T) {
	t.Parallel()
	for golden, hash := range map[string]string{aggregate: "", aggregateWithHash: "12345"} {
		srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true}, "s", 1))
		raw, err := hex.DecodeString(golden)
		require.NoError(t, err)
		put := func(data []byte) {
			_, err := srv.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: new("s"), Data: data, PartitionKey: new("a")})
			require.NoError(t, err)
		}
		put(raw)
		put([]byte("plain"))
		raw[len(raw)-1]++
		put(raw) // damaged
		got := srv.UserRecords("s")
		require.Len(t, got, 5)
		var text []string
		for _, u := range got[:4] {
			text = append(text, fmt.Sprintf("%s %s %d %t", u.PartitionKey, u.Data, u.SubSequence, u.Aggregated))
		}
		require.Equal(t, []string{"dev-1 hello 0 true", "dev-2 world 1 true", "dev-1 again 2 true", "a plain 0 false"}, text)
		require.Equal(t, hash, got[0].ExplicitHashKey)
		require.Equal(t, got[0].SequenceNumber, got[2].SequenceNumber)
		require.False(t, got[4].Aggregated)
	}
}

// TestAggregatesOfTheNodeLibrary puts what aws-kinesis-agg makes.
func TestAggregatesOfTheNodeLibrary(t *testing.T) {
	t.Parallel()
	dir := npmModule(t, "aws-kinesis-agg")
	const script = `const agg = require(process.argv[1]), records = []
for (let i = 0; i < 40; i++) records.push({ partitionKey: 'key-' + i % 7, data: Buffer.from('data ' + i) })
agg.aggregate(records, (r, done) => { process.stdout.write(r.data.toString('hex') + '\n'); done() }, () => {}, (err) => { throw err })`
	out, err := exec.CommandContext(t.Context(), "node", "-e", script, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	raw, err := hex.DecodeString(strings.TrimSpace(string(out)))
	require.NoError(t, err)
	var ledger kinesistest.Ledger
	for i := range 40 {
		ledger.Sent(fmt.Sprint("key-", i%7), fmt.Append(nil, "data ", i))
	}
	rep := ledger.Check(kinesistest.Deaggregate([]kinesistest.Record{{Data: raw}}))
	require.NoError(t, rep.Err())
	require.Equal(t, 40, rep.Arrived)
}

func TestDroppedByKCL(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true}, "s", 4))
	var enc kpl.Encoder
	put := func(hash string) {
		enc.Reset([]byte(hash))
		for i := range 10 {
			enc.Add(fmt.Append(nil, "key-", i), []byte("d"), nil)
		}
		in := &kinesis.PutRecordInput{StreamName: new("s"), Data: enc.Append(nil), PartitionKey: new("a")}
		if hash != "" {
			in.ExplicitHashKey = &hash
		}
		_, err := srv.PutRecord(t.Context(), in)
		require.NoError(t, err)
	}
	put("12345")
	require.Empty(t, srv.DroppedByKCL("s"), "one hash key for all is safe")
	put("")
	require.Len(t, srv.DroppedByKCL("s"), 10)
	require.Len(t, srv.UserRecords("s"), 20)
}

func TestLedger(t *testing.T) {
	t.Parallel()
	var l kinesistest.Ledger
	for i := range 6 {
		l.Sent("a", fmt.Append(nil, i))
		l.Sent("b", fmt.Append(nil, i))
	}
	var got []kinesistest.UserRecord
	arrive := func(key string, data ...string) {
		for _, d := range data {
			got = append(got, kinesistest.UserRecord{Record: kinesistest.Record{PartitionKey: key, Data: []byte(d)}})
		}
	}
	arrive("a", "0", "1", "0", "1", "2", "3", "4", "5")
	arrive("b", "0", "2", "1", "3", "5", "?")
	rep := l.Check(got)
	require.Equal(t, kinesistest.Report{
		Sent: 12, Arrived: 11, Duplicates: 2,
		Lost: []kinesistest.Entry{{Key: "b", Data: "4"}}, Unknown: []kinesistest.Entry{{Key: "b", Data: "?"}}, Reordered: []kinesistest.Entry{{Key: "b", Data: "1"}},
	}, rep)
	require.ErrorContains(t, rep.Err(), `1 records lost, of 12 sent; first: [{"b" "4"}]`)
	require.ErrorContains(t, rep.Err(), "out of order")
	require.ErrorContains(t, rep.Err(), "never sent")
	require.Len(t, l.Check(nil).Lost, 12)
}

// TestConsumeFollowsLineage writes between random splits and merges; a consumer
// sees each key's records in order.
func TestConsumeFollowsLineage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		srv := kinesistest.Start(rapidTB{rt}, withStream(kinesistest.Config{NoSocket: true}, "s", rapid.IntRange(1, 5).Draw(rt, "shards")))
		var ledger kinesistest.Ledger
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			in := &kinesis.PutRecordsInput{StreamName: new("s")}
			for k := range 10 {
				key, data := fmt.Sprint("k", k), fmt.Append(nil, step)
				ledger.Sent(key, data)
				in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: &key})
			}
			_, err := srv.PutRecords(t.Context(), in)
			require.NoError(rt, err)
			sum, err := srv.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: new("s")})
			require.NoError(rt, err)
			open := *sum.StreamDescriptionSummary.OpenShardCount
			want := rapid.Int32Range((open+1)/2, 2*open).Draw(rt, "count")
			_, err = srv.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: new("s"), TargetShardCount: &want, ScalingType: types.ScalingTypeUniformScaling})
			require.NoError(rt, err)
		}
		var got []kinesistest.UserRecord
		for u, err := range kinesistest.Consume(t.Context(), srv, "s", kinesistest.ConsumeConfig{}) {
			require.NoError(rt, err)
			got = append(got, u)
		}
		rep := ledger.Check(got)
		require.NoError(rt, rep.Err())
		require.Zero(rt, rep.Duplicates)
		require.NoError(rt, ledger.Check(srv.UserRecords("s")).Err())
	})
}

// rapidTB is a test of rapid as Start wants it.
type rapidTB struct{ *rapid.T }

func (rapidTB) Cleanup(func()) {} // Servers without a socket need no Close.

func TestConsumeFollows(t *testing.T) {
	t.Parallel()
	srv := kinesistest.Start(t, withStream(kinesistest.Config{}, "s", 1))
	fill(t, srv, "s", 0, 5)
	n := 0
	for u, err := range kinesistest.Consume(t.Context(), srv.Client(), "s", kinesistest.ConsumeConfig{Follow: true, Poll: 1}) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(n), string(u.Data))
		if n++; n == 5 {
			_, err := srv.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: new("s"), ShardToSplit: new("shardId-000000000000"), NewStartingHashKey: new("1000")})
			require.NoError(t, err)
			fill(t, srv, "s", 5, 5)
		}
		if n == 10 {
			break
		}
	}
	for _, err := range kinesistest.Consume(t.Context(), srv.Client(once), "nobody", kinesistest.ConsumeConfig{}) {
		require.ErrorContains(t, err, "not found")
	}
}
