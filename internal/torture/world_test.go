package torture

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/internal/oracle"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// world is what is around a bridge.
type world struct {
	broker *mqttfake.Broker
	addr   string // of the broker
	server *kinesistest.Server
	url    string // of Kinesis
	skewed atomic.Int64
}

func newWorld(t *testing.T) *world {
	w := &world{
		broker: mqttfake.New(mqttfake.Options{}),
		server: kinesistest.Start(t, kinesistest.Config{Streams: []kinesistest.StreamConfig{
			{Name: oracle.Streams[0], Shards: 4}, {Name: oracle.Streams[1], Shards: 2},
		}}),
	}
	t.Cleanup(w.broker.Close)
	var err error
	w.addr, err = w.broker.Listen()
	require.NoError(t, err)
	front := httptest.NewServer(w)
	t.Cleanup(front.Close)
	w.url = front.URL
	return w
}

// ServeHTTP refuses requests that were signed more than five minutes ago or
// ahead, as AWS does, and hands on the others.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if away := time.Since(signed).Abs(); err != nil || away > 5*time.Minute {
		w.skewed.Add(1)
		out.Header().Set("Content-Type", "application/x-amz-json-1.1")
		out.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(out, `{"__type":"InvalidSignatureException","message":"Signature expired: %s is %v away"}`, r.Header.Get("X-Amz-Date"), away)
		return
	}
	w.server.ServeHTTP(out, r)
}

// split halves one of the open shards of a stream.
func (h *torture) split() {
	h.events["split"]++
	ctx, stream := h.Context(), oracle.Streams[h.rng.IntN(2)]
	list, err := h.server.ListShards(ctx, &sdk.ListShardsInput{
		StreamName: aws.String(stream), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	})
	require.NoError(h, err)
	if len(list.Shards) >= 32 {
		return
	}
	s := list.Shards[h.rng.IntN(len(list.Shards))]
	_, err = h.server.SplitShard(ctx, &sdk.SplitShardInput{
		StreamName: aws.String(stream), ShardToSplit: s.ShardId, NewStartingHashKey: middle(s.HashKeyRange),
	})
	require.NoError(h, err)
}

// setFaults lets Kinesis misbehave.
func (h *torture) setFaults(p kinesistest.Plan) { require.NoError(h, h.server.SetFaults(p)) }

func (h *torture) randomFaults() kinesistest.Plan {
	kinds := []kinesistest.Fault{
		{Kind: kinesistest.FailRecord, Code: kinesistest.CodeThroughputExceeded, Rate: 0.3},
		{Kind: kinesistest.FailRecord, Rate: 0.2},
		{Kind: kinesistest.FailCall, Op: "PutRecords", Rate: 0.3},
		{Kind: kinesistest.ResetBefore, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.ResetAfter, Op: "PutRecords", Rate: 0.2},
		{Kind: kinesistest.Slow, Op: "PutRecords", Rate: 0.5, Delay: 30 * time.Millisecond},
		{Kind: kinesistest.FailCall, Code: kinesistest.CodeAccessDenied, Op: "PutRecords", Rate: 0.1},
		{Kind: kinesistest.FailCall, Op: "PutRecords"},
	}
	p := kinesistest.Plan{Seed: h.rng.Uint64()}
	for range 1 + h.rng.IntN(3) {
		p.Faults = append(p.Faults, kinds[h.rng.IntN(len(kinds))])
	}
	return p
}

// smallDisk is a file system that can be filled.
type smallDisk struct{ dir string }

func (d *smallDisk) filler() string { return d.dir + "/filler" }

// fill takes all the space that is left.
func (d *smallDisk) fill(t *testing.T) {
	for size := 1 << 20; size >= 4096; size /= 2 {
		for {
			f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			require.NoError(t, err)
			_, err = f.Write(make([]byte, size))
			require.NoError(t, f.Close())
			if err != nil {
				break
			}
		}
	}
}

func (d *smallDisk) free(t *testing.T) {
	if err := os.Remove(d.filler()); !os.IsNotExist(err) {
		require.NoError(t, err)
	}
}
