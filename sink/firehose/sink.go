package firehose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// Sink writes records to delivery streams. It implements bridge.Sink,
// bridge.Checker and bridge.Limiter.
type Sink struct {
	cfg       Config
	client    *sdk.Client
	transport *awsconn.Transport // nil when it is the caller's
	renewer   *awsconn.Renewer
	place     awsconn.Place
	most      atomic.Int64  // bytes of a request
	unordered atomic.Uint64 // lanes of records without a key

	mu     sync.Mutex
	blames map[string]*awsconn.Blame // by stream
}

var (
	_ bridge.Sink    = (*Sink)(nil)
	_ bridge.Checker = (*Sink)(nil)
	_ bridge.Limiter = (*Sink)(nil)
)

// New makes a sink. It does not connect; see Check.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("firehose: %w", err)
	}
	s := &Sink{cfg: cfg.withDefaults(), blames: make(map[string]*awsconn.Blame)}
	s.most.Store(MaxRequestBytes)
	if err := s.connect(); err != nil {
		return nil, fmt.Errorf("firehose: %w", err)
	}
	return s, nil
}

// Limits tells the pipeline what a request takes.
func (s *Sink) Limits() bridge.Limits {
	return bridge.Limits{Records: MaxRecords, LaneRecords: 1, Bytes: MaxRequestBytes, Overhead: len(s.cfg.Delimiter)}
}

// Write sends a request for each delivery stream; more, when the records do not
// fit into one. Records that the service refuses fail by themselves. What is
// larger than MaxRecordBytes, or names no stream, fails for good.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	errs := make([]error, len(b.Records))
	var order []string
	byStream := make(map[string][]int)
	for i := range b.Records {
		r := &b.Records[i]
		stream := cmp.Or(r.Dest, s.cfg.Stream)
		if errs[i] = s.refuse(r, stream); errs[i] != nil {
			continue
		}
		if byStream[stream] == nil {
			order = append(order, stream)
		}
		byStream[stream] = append(byStream[stream], i)
	}
	for _, stream := range order {
		w := &write{sink: s, stream: stream, records: b.Records, errs: errs}
		for rest := byStream[stream]; len(rest) > 0; {
			n := w.fit(rest)
			if err := w.send(ctx, rest[:n]); err != nil {
				w.fail(rest[n:], err)
				break
			}
			rest = rest[n:]
		}
	}
	for i, err := range errs {
		if err != nil {
			b.Fail(&b.Records[i], err)
		}
	}
	return nil
}

func (s *Sink) refuse(r *bridge.Record, stream string) error {
	switch size := len(r.Data) + len(s.cfg.Delimiter); {
	case stream == "":
		return bridge.Permanent(errors.New("firehose: the record names no delivery stream and the sink has no default"))
	case !streamName.MatchString(stream):
		return bridge.Permanent(fmt.Errorf("firehose: %.100q is not the name of a delivery stream", stream))
	case size > MaxRecordBytes:
		return bridge.Permanent(fmt.Errorf("firehose: the record has %d bytes, the service takes at most %d", size, MaxRecordBytes))
	}
	return nil
}

// fit is how many of the records with the indexes go into one request.
func (w *write) fit(indexes []int) int {
	size, most := 0, int(w.sink.most.Load())
	for n, i := range indexes {
		size += len(w.records[i].Data) + len(w.sink.cfg.Delimiter)
		if n == MaxRecords || n > 0 && size > most {
			return n
		}
	}
	return len(indexes)
}

// bound remembers that a request of that size was too large, for a proxy say.
func (s *Sink) bound(size int) {
	for {
		was := s.most.Load()
		if int64(size) > was || s.most.CompareAndSwap(was, int64(size-size/8)) {
			return
		}
	}
}

// maxStreams bounds the memory for streams whose names come from messages.
const maxStreams = 1000

func (s *Sink) blameOf(stream string) *awsconn.Blame {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blames[stream]
	if b == nil {
		if len(s.blames) >= maxStreams {
			clear(s.blames)
		}
		b = new(awsconn.Blame)
		s.blames[stream] = b
	}
	return b
}

// Check asks whether the default delivery stream is there and active. Without a
// default stream it has nothing to ask for.
func (s *Sink) Check(ctx context.Context) error {
	if s.cfg.Stream == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	in := &sdk.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String(s.cfg.Stream)}
	out, err := s.client.DescribeDeliveryStream(ctx, in)
	if err != nil && awsconn.IsExpired(err) && s.renewer.Renew() {
		out, err = s.client.DescribeDeliveryStream(ctx, in)
	}
	switch {
	case err != nil && awsconn.IsDenied(err):
		return nil // the credentials are known, but meant for less
	case err != nil:
		e, c := s.requestError(s.cfg.Stream, err, "firehose:DescribeDeliveryStream")
		return mark(c, e)
	}
	if d := out.DeliveryStreamDescription; d != nil && d.DeliveryStreamStatus != types.DeliveryStreamStatusActive {
		return fmt.Errorf("firehose: stream %s: its status is %s", s.cfg.Stream, d.DeliveryStreamStatus)
	}
	return nil
}

// Close closes idle connections.
func (s *Sink) Close(context.Context) error {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	return nil
}
