package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/sink/kinesis"
)

// redriveStream sends the letters that a sink has written to a stream. A record has the
// payload and the key of the letter alone.
func (p *program) redriveStream(ctx context.Context, def *config.Definition, r *redriving) error {
	stream, client, err := def.Stream(r.sink, p.log)
	if err != nil {
		return usageError{err}
	}
	letters := &letterStream{
		client: client, name: &stream, settled: map[string]string{},
		letter: func(u *kinesis.UserRecord) *config.Letter {
			l := &config.Letter{Topic: r.topic, Rule: r.rule, Key: []byte(u.PartitionKey), Payload: u.Data, Data: u.Data}
			if l.Topic == "" {
				l.Topic = u.PartitionKey
			}
			return l
		},
	}
	if strings.HasPrefix(stream, "arn:") {
		letters.arn, letters.name = letters.name, nil
	}
	text, err := os.ReadFile(r.checkpoint)
	if err == nil {
		err = json.Unmarshal(text, &letters.settled)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return usageError{fmt.Errorf("checkpoint %s: %w", r.checkpoint, err)}
	}
	if !r.dryRun {
		return p.runRedrive(ctx, def, letters, r.failed, func() error { return writeJSON(r.checkpoint, letters.progress()) })
	}
	for {
		_, records, err := letters.next(ctx)
		for u := range kinesis.Deaggregate(records...) {
			p.showRedrive(def, letters.letter(&u))
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// letterStream reads a stream up to where it ends: one shard after the other, parents
// first, so that each key is in order. It implements bridge.Source.
type letterStream struct {
	client    *sdk.Client
	name, arn *string
	letter    func(*kinesis.UserRecord) *config.Letter
	since     time.Time // where reading begins; zero: with the oldest record

	listed   bool
	shards   []string // that are not read to their ends
	iterator *string
	last     string // sequence number that was read last of the first shard
	waiting  []kinesis.UserRecord

	mu      sync.Mutex
	open    []openRecord
	first   uint64
	settled map[string]string // sequence number by shard
}

type openRecord struct {
	shard, sequence string
	done            bool
}

// listShards returns all shards that a stream, named in one of two ways, has.
func listShards(ctx context.Context, client *sdk.Client, name, arn *string) iter.Seq2[types.Shard, error] {
	return func(yield func(types.Shard, error) bool) {
		in := &sdk.ListShardsInput{StreamName: name, StreamARN: arn}
		for in != nil {
			page, err := client.ListShards(ctx, in)
			if err != nil {
				yield(types.Shard{}, err)
				return
			}
			for _, sh := range page.Shards {
				if !yield(sh, nil) {
					return
				}
			}
			if in = nil; page.NextToken != nil {
				in = &sdk.ListShardsInput{NextToken: page.NextToken}
			}
		}
	}
}

// list finds the shards, each behind its parents.
func (s *letterStream) list(ctx context.Context) error {
	parents := map[string][]string{}
	for sh, err := range listShards(ctx, s.client, s.name, s.arn) {
		if err != nil {
			return err
		}
		parents[aws.ToString(sh.ShardId)] = []string{aws.ToString(sh.ParentShardId), aws.ToString(sh.AdjacentParentShardId)}
	}
	var add func(id string)
	add = func(id string) {
		if _, known := parents[id]; !known || slices.Contains(s.shards, id) {
			return // a parent may be gone
		}
		for _, parent := range parents[id] {
			add(parent)
		}
		s.shards = append(s.shards, id)
	}
	for _, id := range slices.Sorted(maps.Keys(parents)) {
		add(id)
	}
	s.listed = true
	return nil
}

// pollInterval is within the service's limit of reads.
const pollInterval = 250 * time.Millisecond

// next returns records of a shard, perhaps none, or io.EOF when all shards are
// read to their ends.
func (s *letterStream) next(ctx context.Context) (shard string, records []types.Record, err error) {
	if !s.listed {
		if err := s.list(ctx); err != nil {
			return "", nil, err
		}
	}
	if len(s.shards) == 0 {
		return "", nil, io.EOF
	}
	shard = s.shards[0]
	if s.iterator == nil {
		if err := s.seek(ctx); err != nil {
			return "", nil, err
		}
	}
	out, err := s.client.GetRecords(ctx, &sdk.GetRecordsInput{ShardIterator: s.iterator, StreamARN: s.arn})
	if expired := (*types.ExpiredIteratorException)(nil); errors.As(err, &expired) {
		s.iterator = nil // the records before were long under way
		return shard, nil, nil
	} else if err != nil {
		return "", nil, err
	}
	s.iterator = out.NextShardIterator
	if n := len(out.Records); n > 0 {
		s.last = aws.ToString(out.Records[n-1].SequenceNumber)
	}
	switch {
	case s.iterator == nil || aws.ToInt64(out.MillisBehindLatest) == 0:
		s.shards, s.iterator, s.last = s.shards[1:], nil, ""
	case len(out.Records) == 0:
		select {
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
	return shard, out.Records, nil
}

// seek goes to where reading the first shard goes on.
func (s *letterStream) seek(ctx context.Context) error {
	after := s.last
	if after == "" {
		s.mu.Lock()
		after = s.settled[s.shards[0]]
		s.mu.Unlock()
	}
	in := &sdk.GetShardIteratorInput{
		StreamName: s.name, StreamARN: s.arn, ShardId: &s.shards[0], ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}
	if !s.since.IsZero() {
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &s.since
	}
	if after != "" {
		in.Timestamp = nil
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &after
	}
	out, err := s.client.GetShardIterator(ctx, in)
	if err == nil {
		s.iterator = out.ShardIterator
	}
	return err
}

// Read implements bridge.Source.
func (s *letterStream) Read(ctx context.Context, dst []bridge.Message) (n int, err error) {
	for len(s.waiting) == 0 {
		shard, records, err := s.next(ctx)
		if err != nil {
			return 0, err
		}
		s.waiting = slices.Collect(kinesis.Deaggregate(records...))
		s.hold(shard)
	}
	for n < len(dst) && len(s.waiting) > 0 {
		s.mu.Lock()
		seq := s.first + uint64(len(s.open)-len(s.waiting))
		s.mu.Unlock()
		dst[n] = s.letter(&s.waiting[0]).Message()
		dst[n].Delivery = bridge.NewDelivery(s, seq)
		s.waiting = s.waiting[1:]
		n++
	}
	return n, nil
}

// hold notes what waits. A record of the stream is settled with its last letter.
func (s *letterStream) hold(shard string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.waiting {
		r := openRecord{shard: shard}
		if i+1 == len(s.waiting) || s.waiting[i+1].SequenceNumber != s.waiting[i].SequenceNumber {
			r.sequence = s.waiting[i].SequenceNumber
		}
		s.open = append(s.open, r)
	}
}

// Done implements bridge.Acker.
func (s *letterStream) Done(seq uint64, o bridge.Outcome, _ error) {
	if o != bridge.Stored && o != bridge.DeadLettered {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[seq-s.first].done = true
	for len(s.open) > 0 && s.open[0].done {
		if r := s.open[0]; r.sequence != "" {
			s.settled[r.shard] = r.sequence
		}
		s.open = s.open[1:]
		s.first++
	}
}

// progress returns the sequence numbers up to which all is settled.
func (s *letterStream) progress() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.settled)
}

// Close implements bridge.Source.
func (*letterStream) Close(context.Context) error { return nil }

// middleOf returns the hash key at which a range falls into halves.
func middleOf(r *types.HashKeyRange) (string, error) {
	from, ok := new(big.Int).SetString(aws.ToString(r.StartingHashKey), 10)
	to, ok2 := new(big.Int).SetString(aws.ToString(r.EndingHashKey), 10)
	if !ok || !ok2 {
		return "", fmt.Errorf("the service names a hash range from %q to %q", aws.ToString(r.StartingHashKey), aws.ToString(r.EndingHashKey))
	}
	sum := from.Add(from, to)
	return sum.Rsh(sum, 1).Add(sum, big.NewInt(1)).String(), nil
}
