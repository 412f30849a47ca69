package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// fleet is a number of devices, each of which publishes its messages with QoS 1
// and in order, on a connection of its own.
type fleet struct{ devices, messages int }

func (f fleet) total() int { return f.devices * f.messages }

// The rule, the key and the data of what the devices publish.
const (
	fleetSQL = `SELECT payload.id AS id, payload.seq AS seq, topic FROM "t/+"`
	fleetKey = "${id}"
)

func deviceName(i int) string { return fmt.Sprintf("dev-%d", i) }

// publish publishes everything and returns when the broker has taken all.
func (f fleet) publish(t *testing.T, address string) {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, f.devices)
	for i := range f.devices {
		all.Go(func() { errs[i] = f.device(t.Context(), address, i) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func (f fleet) device(ctx context.Context, address string, i int) error {
	name := deviceName(i)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: name})
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: name, CleanStart: true, KeepAlive: 60}); err != nil {
		return err
	}
	for seq := range f.messages {
		payload := fmt.Sprintf(`{"id":%q,"seq":%d,"temp":21.5,"msg":"hello Amazon Kinesis"}`, name, seq)
		if _, err := c.Publish(ctx, &paho.Publish{Topic: "t/" + name, QoS: 1, Payload: []byte(payload)}); err != nil {
			return err
		}
	}
	return c.Disconnect(&paho.Disconnect{})
}

// reader reads what is stored in all shards of a stream, as it comes.
type reader struct {
	client    *kinesis.Client
	iterators []*string
	records   []types.Record
}

func newReader(t *testing.T, s *kinesistest.Server) *reader {
	t.Helper()
	r := &reader{client: s.Client()}
	list, err := r.client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String(stream)})
	require.NoError(t, err)
	for _, shard := range list.Shards {
		it, err := r.client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: aws.String(stream), ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		require.NoError(t, err)
		r.iterators = append(r.iterators, it.ShardIterator)
	}
	return r
}

// read reads what there is beyond what was read.
func (r *reader) read(t *testing.T) {
	t.Helper()
	for i := range r.iterators {
		for {
			out, err := r.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: r.iterators[i]})
			require.NoError(t, err)
			r.records, r.iterators[i] = append(r.records, out.Records...), out.NextShardIterator
			if len(out.Records) == 0 {
				break
			}
		}
	}
}

// tally is what was found of a fleet's messages.
type tally struct {
	next       map[string]int // by device: how many messages are there, without a gap
	unique     int
	duplicates int
	outOfOrder []string // the first violations of the order, in words
}

// count checks records of the fleet: per device the first occurrences must come
// in the order of publishing. A message that is missing shows as one of these
// violations, or as a total that is too low.
func count(t *testing.T, records []types.Record) tally {
	t.Helper()
	s := tally{next: map[string]int{}}
	for _, r := range records {
		var m struct {
			ID  string `json:"id"`
			Seq int    `json:"seq"`
		}
		require.NoError(t, json.Unmarshal(r.Data, &m), "%s", r.Data)
		require.Equal(t, m.ID, *r.PartitionKey)
		switch want := s.next[m.ID]; {
		case m.Seq == want:
			s.next[m.ID]++
			s.unique++
		case m.Seq < want:
			s.duplicates++
		default:
			s.outOfOrder = append(s.outOfOrder, fmt.Sprintf("%s: %d where %d was next", m.ID, m.Seq, want))
		}
	}
	return s
}
