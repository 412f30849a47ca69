package kinesistest_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/stretchr/testify/require"
)

const perRequest = 500

// request is a PutRecords of 500 records of 200 bytes.
func request() *kinesis.PutRecordsInput {
	in := &kinesis.PutRecordsInput{StreamName: new("s")}
	for i := range perRequest {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: make([]byte, 200), PartitionKey: new(fmt.Sprintf("device-%08d", i))})
	}
	return in
}

// BenchmarkPutRecords reports records per second through the methods of Server,
// through the SDK without a socket, and through the SDK over loopback. Records
// kept are bounded, as they should be in a long run.
func BenchmarkPutRecords(b *testing.B) {
	for _, bb := range []struct {
		name string
		cfg  kinesistest.Config
		put  func(*kinesistest.Server) func() error
	}{
		{"methods", kinesistest.Config{NoSocket: true}, func(srv *kinesistest.Server) func() error {
			in := request()
			return func() error { _, err := srv.PutRecords(b.Context(), in); return err }
		}},
		{"methods with a folder", kinesistest.Config{NoSocket: true, Dir: b.TempDir()}, func(srv *kinesistest.Server) func() error {
			in := request()
			return func() error { _, err := srv.PutRecords(b.Context(), in); return err }
		}},
		{"SDK without socket", kinesistest.Config{NoSocket: true}, throughSDK(b)},
		{"SDK over loopback", kinesistest.Config{}, throughSDK(b)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			bb.cfg.MaxShardRecords = 10_000
			srv := kinesistest.Start(b, withStream(bb.cfg, "s", 8))
			put := bb.put(srv)
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, put())
			}
			b.ReportMetric(perRequest*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

func throughSDK(b *testing.B) func(*kinesistest.Server) func() error {
	return func(srv *kinesistest.Server) func() error {
		client, in := srv.Client(), request()
		return func() error { _, err := client.PutRecords(b.Context(), in); return err }
	}
}

// TestPutRecordsAllocatesPerRequest guards the speed: nothing is allocated per
// record.
func TestPutRecordsAllocatesPerRequest(t *testing.T) {
	srv := kinesistest.Start(t, withStream(kinesistest.Config{NoSocket: true, MaxShardRecords: 10_000}, "s", 8))
	in := request()
	require.Less(t, testing.AllocsPerRun(20, func() {
		_, err := srv.PutRecords(t.Context(), in)
		require.NoError(t, err)
	}), 30.0)
}
