package kinesis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/internal/awsconn"
)

// settings are those of DescribeStreamSummary that matter for writing.
type settings struct {
	status         types.StreamStatus
	openShards     int
	maxRecordBytes int
	auto           bool  // RecordDistributionStrategy AUTO
	channel        error // what a delivery channel cannot read, nil for nothing
	blocked        bool  // the channel was there before we wrote anything
}

// maxRecord is the highest size of a Kinesis record. While the stream's setting
// is not known, the service has the last word.
func (s *Sink) maxRecord(st *stream) int {
	if s.cfg.MaxRecordBytes > 0 {
		return s.cfg.MaxRecordBytes
	}
	if set := st.settings.Load(); set != nil {
		return set.maxRecordBytes
	}
	return maxRecordBytes
}

// admit refuses streams that cannot give what the Config asks for. The first
// write to a stream waits for its settings; later ones only see to it that they
// are read again from time to time.
func (s *Sink) admit(ctx context.Context, st *stream) error {
	if !st.asked.Load() {
		return s.learnFirst(ctx, st)
	}
	if time.Now().UnixNano() >= st.due.Load() {
		s.refresh(st)
	}
	return s.unfit(st)
}

func (s *Sink) unfit(st *stream) error {
	set := st.settings.Load()
	if s.needsKeys() && (set != nil && set.auto || st.placement.ignoresKeys()) {
		return ErrAutoDistribution
	}
	if set != nil && set.blocked {
		return set.channel
	}
	return nil
}

func (s *Sink) logUnfit(st *stream) {
	if err := s.unfit(st); err != nil {
		s.log.Error("the stream is not written to", slog.String("stream", st.dest), slog.Any("error", err))
	}
}

// openTimeout bounds how long Open, or the first write to a stream, waits for
// the stream's settings.
const openTimeout = 5 * time.Second

// turn is a mutex for which nobody waits longer than their context. It is held during
// calls of the service.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn, or until ctx ends, with its error.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// learnFirst reads the settings of a stream that nothing is known about. It
// fails only if they are unfit: not to know them is no reason not to write.
func (s *Sink) learnFirst(ctx context.Context, st *stream) error {
	if st.first.take(ctx) != nil {
		return s.unfit(st) // the put will end with ctx
	}
	defer st.first.give()
	if !st.asked.Load() {
		ctx, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		_ = s.read(ctx, st) // it was logged; the put will say what is wrong
		st.asked.Store(true)
	}
	return s.unfit(st)
}

// once are the options of calls other than puts. They are made again by themselves:
// the SDK's retries would only hold up whoever waits, and use up the quota.
func once(o *sdk.Options) {
	o.Protocol = awsconn.Protocol{ClientProtocol: o.Protocol}
	o.Retryer = aws.NopRetryer{}
}

// renewing makes a call, and again with fresh credentials when those that it was
// made with have expired.
func renewing[T any](s *Sink, call func() (T, error)) (T, error) {
	out, err := call()
	if err != nil && awsconn.IsExpired(err) && s.renewer.Renew() {
		return call()
	}
	return out, err
}

// refreshPause is the shortest time between two reads of a stream's settings and
// shards. A resharding makes several shards appear one after the other.
const refreshPause = 2 * time.Second

// refresh reads the settings and shards of a stream in the background.
func (s *Sink) refresh(st *stream) {
	if !st.reading.CompareAndSwap(false, true) {
		return
	}
	s.tasks.Go(func() {
		defer st.reading.Store(false)
		ctx, cancel := context.WithTimeout(s.ctx, s.cfg.RequestTimeout)
		defer cancel()
		_ = s.read(ctx, st)
	})
}

// read reads the settings and shards of a stream.
func (s *Sink) read(ctx context.Context, st *stream) error {
	err := errors.Join(s.readSettings(ctx, st), s.readShards(ctx, st))
	wait := s.cfg.RefreshInterval
	if err != nil && s.ctx.Err() == nil {
		wait = min(wait, 10*time.Second)
		s.log.Debug("settings or shards of the stream are not known",
			slog.String("stream", st.dest), slog.Any("error", err))
	}
	now := time.Now()
	st.due.Store(now.Add(wait).UnixNano())
	st.soonest.Store(now.Add(refreshPause).UnixNano())
	return err
}

var (
	errNoDescription = errors.New("the reply does not describe the stream")
	errTooManyShards = errors.New("the list of shards has no end")
)

// maxShards is far more than the open shards that an account can have.
const maxShards = 100_000

func (s *Sink) readSettings(ctx context.Context, st *stream) error {
	if err := s.quota.wait(ctx); err != nil {
		return err
	}
	out, err := renewing(s, func() (*sdk.DescribeStreamSummaryOutput, error) {
		return s.client.DescribeStreamSummary(ctx, &sdk.DescribeStreamSummaryInput{
			StreamName: st.put.StreamName, StreamARN: st.put.StreamARN,
		}, once)
	})
	if err != nil {
		return err
	}
	d := out.StreamDescriptionSummary
	if d == nil {
		return errNoDescription
	}
	set := &settings{
		status: d.StreamStatus, openShards: int(aws.ToInt32(d.OpenShardCount)), maxRecordBytes: defaultRecordBytes,
		auto: d.RecordDistributionStrategy == types.RecordDistributionStrategyAuto,
	}
	if kib := aws.ToInt32(d.MaxRecordSizeInKiB); kib > 0 {
		set.maxRecordBytes = int(kib) << 10
	}
	if !set.auto {
		st.placement.acquit()
	}
	was := st.settings.Load()
	if !s.cfg.IgnoreChannels {
		set.channel = s.readChannels(ctx, d)
		// A channel that is made later stops nobody's readers.
		set.blocked = set.channel != nil && (was == nil || was.blocked)
	}
	st.settings.Store(set)
	if was == nil || was.auto != set.auto || (was.channel == nil) != (set.channel == nil) {
		s.logUnfit(st)
	}
	if set.channel != nil && !set.blocked && was.channel == nil {
		s.log.Error("what is written does not reach all readers", slog.String("stream", st.dest), slog.Any("error", set.channel))
	}
	if s.cfg.Aggregate && set.openShards > 1 && 2*set.openShards > s.cfg.Slots {
		s.log.Warn("few hash slots for many shards: load will be uneven",
			slog.String("stream", st.dest), slog.Int("shards", set.openShards), slog.Int("slots", s.cfg.Slots))
	}
	return nil
}

func (s *Sink) readShards(ctx context.Context, st *stream) error {
	var list []types.Shard
	in := &sdk.ListShardsInput{
		StreamName: st.put.StreamName, StreamARN: st.put.StreamARN,
		ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	}
	for {
		out, err := s.client.ListShards(ctx, in, once) // its quota is the stream's, and large
		if err != nil {
			return err
		}
		list = append(list, out.Shards...)
		if len(list) > maxShards || len(out.Shards) == 0 && out.NextToken != nil {
			return errTooManyShards
		}
		if out.NextToken == nil {
			st.setShards(newShardMap(list))
			return nil
		}
		in = &sdk.ListShardsInput{NextToken: out.NextToken} // the token stands for all the rest
	}
}

func (st *stream) setShards(m *shardMap) {
	if was := st.shards.Swap(m); was != nil && !was.same(m) {
		st.counters.forgetShares() // they would mix the shards of then and now
	}
}

// samplePause is the time between two replies of a stream that are decoded for
// their shards although nothing failed.
const samplePause = 500 * time.Millisecond

// sampleDue reports whether the next reply should be decoded: more often while
// replies are the only way to know the stream, and each when there is doubt.
func (st *stream) sampleDue() bool {
	pause := samplePause
	switch {
	case st.placement.inDoubt():
		return true
	case st.settings.Load() == nil || st.shards.Load() == nil:
		pause /= 10
	}
	now := time.Now().UnixNano()
	last := st.sampled.Load()
	return now-last >= int64(pause) && st.sampled.CompareAndSwap(last, now)
}

// learn takes the shards from a reply: figures, and a refresh when a shard
// appears that is not in the map.
func (s *Sink) learn(st *stream, results []types.PutRecordsResultEntry) {
	m := st.shards.Load()
	unknown := false
	st.counters.sample(results)
	for i := range results {
		if id := results[i].ShardId; id != nil && m != nil && !unknown {
			_, known := m.byID[*id]
			unknown = !known
		}
	}
	if unknown && time.Now().UnixNano() >= st.soonest.Load() {
		s.refresh(st)
	}
}

// quota spaces the calls other than puts, so that however many streams there are
// the account's quotas (5 to 20 calls per second) are left to others.
type quota struct {
	mu   sync.Mutex
	next time.Time
}

const quotaPause = 100 * time.Millisecond

func (q *quota) wait(ctx context.Context) error {
	q.mu.Lock()
	now := time.Now()
	at := q.next
	if at.Before(now) {
		at = now
	}
	q.next = at.Add(quotaPause)
	q.mu.Unlock()
	if !at.After(now) {
		return ctx.Err()
	}
	t := time.NewTimer(at.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
