package kinesis

import (
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// placement notices by where records land that a stream ignores their keys
// (RecordDistributionStrategy AUTO). The stream's description says so, too, but
// not every minute, and not to credentials that may only put.
//
// A shard has one range of hashes for as long as it lives: when a hash within it
// lands elsewhere, it was split or merged away and takes no more records. Under
// AUTO it does. So a shard that takes records although it gave up a part of its
// range is a contradiction. A stream that was deleted and made again has one, since
// its shards have the names of the old ones, and is then consistent.
type placement struct {
	mu             sync.Mutex
	ranges         map[string]*shardRange
	contradictions int       // in a row
	last           time.Time // of them
	lost           time.Time // when a shard was last seen to have lost a part
	found          time.Time // when there were enough, zero for never
}

// shardRange is the span of hashes that a shard was seen to take.
type shardRange struct {
	low, high hash
	gone      time.Time // when it was seen to have lost a part, zero for never
}

const (
	// enoughContradictions within a minute are proof.
	enoughContradictions = 3
	contradictionsFor    = time.Minute
	// maxPlaced bounds what is looked at of one reply.
	maxPlaced = 64
	// trialTime is how long after a contradiction a stream is written to with care:
	// one record in each Kinesis record, which consumers take in any case.
	trialTime = 10 * time.Second
)

// see takes in where a hash landed, in a request that began at start. It reports
// whether that is the proof.
func (p *placement) see(h hash, shard string, start, now time.Time) (proof bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.contradictions > 0 && now.Sub(p.last) > contradictionsFor {
		p.contradictions = 0
	}
	r := p.ranges[shard]
	switch {
	case r == nil:
		if p.ranges == nil || len(p.ranges) >= maxShardCounters {
			p.ranges = make(map[string]*shardRange)
		}
		r = &shardRange{low: h, high: h}
		p.ranges[shard] = r
	case !r.gone.IsZero() && start.After(r.gone):
		// Begun later, so it is no reply that was overtaken by others.
		p.ranges = nil
		p.contradictions++
		p.last = now
		if p.contradictions < enoughContradictions || !p.found.IsZero() {
			return false
		}
		p.found = now
		return true
	case !r.gone.IsZero():
		return false
	case h.less(r.low):
		r.low = h
	case r.high.less(h):
		r.high = h
	}
	for _, o := range p.ranges {
		if o != r && o.gone.IsZero() && !h.less(o.low) && !o.high.less(h) {
			o.gone, p.lost = now, now
		}
	}
	return false
}

// ignoresKeys reports whether there is proof.
func (p *placement) ignoresKeys() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.found.IsZero()
}

// inDoubt reports whether there may soon be proof, so that each reply counts.
func (p *placement) inDoubt() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.contradictions > 0 || time.Since(p.lost) < time.Second
}

// acquit forgets the proof, for the stream's description says otherwise.
func (p *placement) acquit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.contradictions, p.found, p.ranges = 0, time.Time{}, nil
}

// onTrial forgets the proof when it is older than a time: nobody says whether the
// stream was changed, so it is tried. It reports whether the stream is to be
// written to with care.
func (p *placement) onTrial(age time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.found.IsZero() && now.Sub(p.found) >= age {
		// One more contradiction is enough.
		p.found, p.ranges = time.Time{}, nil
		p.contradictions, p.last = enoughContradictions-1, now
	}
	return p.contradictions > 0 && p.found.IsZero() && now.Sub(p.last) < trialTime
}

// watch looks at where the entries from a on landed.
func (p *put) watch(a int, out *sdk.PutRecordsOutput) {
	s, st := p.write.sink, p.stream
	if !s.needsKeys() {
		return
	}
	now := time.Now()
	for i := range min(len(out.Records), maxPlaced) {
		r := &out.Records[i]
		if !isStored(r) || r.ShardId == nil {
			continue
		}
		if st.placement.see(s.hashOfEntry(p, a+i), aws.ToString(r.ShardId), p.started, now) {
			s.logUnfit(st)
			s.refresh(st)
			return
		}
	}
}

// needsKeys reports whether the Config asks for what a stream cannot give that
// ignores keys.
func (s *Sink) needsKeys() bool { return s.cfg.Aggregate || s.cfg.Ordering == Strict }
