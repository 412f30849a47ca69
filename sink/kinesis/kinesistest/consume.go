package kinesistest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Reader is the part of *kinesis.Client that Consume uses.
type Reader interface {
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
}

var (
	_ Reader = (*kinesis.Client)(nil)
	_ Reader = (*Server)(nil)
)

// ConsumeConfig says how Consume reads.
type ConsumeConfig struct {
	// Follow goes on at the end of the stream, until the context is done.
	// Without it reading ends when each shard has been read to its end.
	Follow bool

	// Poll is how long Consume waits when there is nothing new. Default 100 ms
	// for Follow; without it reading goes on at once.
	Poll time.Duration
}

const defaultPoll = 100 * time.Millisecond

// Consume reads a stream from its oldest record, through any client, and takes
// KPL aggregates apart. It follows the lineage of shards: all of a parent comes
// before its children, so that the records of a key come in their order. An
// error ends it; with Follow the end of the context is no error.
func Consume(ctx context.Context, client Reader, streamName string, cfg ConsumeConfig) iter.Seq2[UserRecord, error] {
	return func(yield func(UserRecord, error) bool) {
		c := &consumer{ctx: ctx, client: client, name: streamName, cfg: cfg, known: map[string]*cursor{}}
		err := c.run(func(u UserRecord) bool { return yield(u, nil) })
		if err == nil || errors.Is(err, errEnough) || cfg.Follow && ctx.Err() != nil {
			return
		}
		yield(UserRecord{}, fmt.Errorf("kinesistest: consuming %s: %w", streamName, err))
	}
}

// errEnough says that the caller stopped iterating.
var errEnough = errors.New("enough")

type consumer struct {
	ctx    context.Context
	client Reader
	name   string
	cfg    ConsumeConfig
	known  map[string]*cursor
}

// cursor is how far a shard has been read.
type cursor struct {
	shard    types.Shard
	iterator *string
	started  bool
	tip      bool // caught up with an open shard
	done     bool // read to the end of a closed shard
}

func (c *consumer) run(yield func(UserRecord) bool) error {
	for ended := true; ; {
		if ended { // Only the end of a shard brings new ones.
			if err := c.discover(); err != nil {
				return err
			}
		}
		news := false
		ended = false
		for _, cur := range c.readable() {
			n, err := c.read(cur, yield)
			if err != nil {
				return err
			}
			news, ended = news || n > 0, ended || cur.done
		}
		switch {
		case news || ended:
		case !c.cfg.Follow && c.caughtUp():
			return nil
		default:
			if err := c.wait(); err != nil {
				return err
			}
		}
	}
}

// discover finds shards that are new.
func (c *consumer) discover() error {
	in := &kinesis.ListShardsInput{StreamName: &c.name}
	for {
		out, err := c.client.ListShards(c.ctx, in)
		if err != nil {
			return err
		}
		for _, sh := range out.Shards {
			if c.known[*sh.ShardId] == nil {
				c.known[*sh.ShardId] = &cursor{shard: sh}
			}
		}
		if out.NextToken == nil {
			return nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// readable are the shards whose parents have been read out, in order.
func (c *consumer) readable() (out []*cursor) {
	for _, cur := range c.known {
		if !cur.done && c.finished(cur.shard.ParentShardId) && c.finished(cur.shard.AdjacentParentShardId) {
			out = append(out, cur)
		}
	}
	slices.SortFunc(out, func(a, b *cursor) int {
		if *a.shard.ShardId < *b.shard.ShardId {
			return -1
		}
		return 1
	})
	return out
}

// finished is true of a parent that is read out, expired or none.
func (c *consumer) finished(parent *string) bool {
	return parent == nil || c.known[*parent] == nil || c.known[*parent].done
}

func (c *consumer) caughtUp() bool {
	for _, cur := range c.known {
		if !cur.done && !cur.tip {
			return false
		}
	}
	return true
}

// read takes one page of records from a shard.
func (c *consumer) read(cur *cursor, yield func(UserRecord) bool) (int, error) {
	if !cur.started {
		it, err := c.client.GetShardIterator(c.ctx, &kinesis.GetShardIteratorInput{
			ShardId: cur.shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon, StreamName: &c.name,
		})
		if err != nil {
			return 0, err
		}
		cur.iterator, cur.started = it.ShardIterator, true
	}
	out, err := c.client.GetRecords(c.ctx, &kinesis.GetRecordsInput{ShardIterator: cur.iterator})
	if err != nil {
		return 0, err
	}
	cur.iterator, cur.done = out.NextShardIterator, out.NextShardIterator == nil
	cur.tip = len(out.Records) == 0 && deref(out.MillisBehindLatest) == 0
	for _, r := range out.Records {
		rec := Record{
			ShardID: *cur.shard.ShardId, SequenceNumber: *r.SequenceNumber, Arrival: deref(r.ApproximateArrivalTimestamp),
			PartitionKey: *r.PartitionKey, Data: r.Data,
		}
		for _, u := range Deaggregate([]Record{rec}) {
			if !yield(u) {
				return 0, errEnough
			}
		}
	}
	return len(out.Records), nil
}

func (c *consumer) wait() error {
	d := c.cfg.Poll
	if d == 0 && c.cfg.Follow {
		d = defaultPoll
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
}
