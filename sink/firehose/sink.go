package firehose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/sluiceio/sluice/bridge"
)

// Sink writes records to delivery streams. It implements bridge.Sink,
// bridge.Checker and bridge.Limiter.
type Sink struct {
	cfg    Config
	client *sdk.Client
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
	client, err := cfg.client()
	if err != nil {
		return nil, fmt.Errorf("firehose: %w", err)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	return &Sink{cfg, client}, nil
}

// Limits tells the pipeline what a request takes.
func (s *Sink) Limits() bridge.Limits {
	return bridge.Limits{Records: MaxRecords, Bytes: MaxRequestBytes, Overhead: len(s.cfg.Delimiter)}
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
		for rest := byStream[stream]; len(rest) > 0; {
			n := s.fit(b, rest)
			if err := s.put(ctx, stream, b, rest[:n], errs); err != nil {
				for _, i := range rest {
					errs[i] = err // what was not sent as well: more would fail like it
				}
				break
			}
			rest = rest[n:]
		}
	}
	failed := new(bridge.BatchError)
	for i, err := range errs {
		if err != nil {
			failed.Fail(i, err)
		}
	}
	return failed.ErrorOrNil()
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
func (s *Sink) fit(b *bridge.Batch, indexes []int) int {
	size := 0
	for n, i := range indexes {
		size += len(b.Records[i].Data) + len(s.cfg.Delimiter)
		if n == MaxRecords || size > MaxRequestBytes {
			return n
		}
	}
	return len(indexes)
}

// put sends one request and notes the outcomes of its records. The error is that
// of the request as a whole.
func (s *Sink) put(ctx context.Context, stream string, b *bridge.Batch, indexes []int, errs []error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	in := &sdk.PutRecordBatchInput{DeliveryStreamName: aws.String(stream), Records: make([]types.Record, len(indexes))}
	for n, i := range indexes {
		data := b.Records[i].Data
		in.Records[n].Data = append(append(make([]byte, 0, len(data)+len(s.cfg.Delimiter)), data...), s.cfg.Delimiter...)
	}
	out, err := s.client.PutRecordBatch(ctx, in)
	if err != nil {
		return requestError(stream, err)
	}
	if len(out.RequestResponses) != len(indexes) {
		return bridge.Ambiguous(fmt.Errorf("firehose: stream %s: the answer has %d results for %d records", stream, len(out.RequestResponses), len(indexes)))
	}
	for n, i := range indexes {
		if r := out.RequestResponses[n]; aws.ToString(r.ErrorCode) != "" {
			errs[i] = recordError(stream, aws.ToString(r.ErrorCode), aws.ToString(r.ErrorMessage))
		}
	}
	return nil
}

// Check asks whether the default delivery stream is there and active. Without a
// default stream it has nothing to ask for.
func (s *Sink) Check(ctx context.Context) error {
	if s.cfg.Stream == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	out, err := s.client.DescribeDeliveryStream(ctx, &sdk.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String(s.cfg.Stream)})
	if err != nil {
		return requestError(s.cfg.Stream, err)
	}
	if d := out.DeliveryStreamDescription; d != nil && d.DeliveryStreamStatus != types.DeliveryStreamStatusActive {
		return fmt.Errorf("firehose: stream %s: its status is %s", s.cfg.Stream, d.DeliveryStreamStatus)
	}
	return nil
}

// Close closes idle connections.
func (s *Sink) Close(context.Context) error {
	if c, ok := s.client.Options().HTTPClient.(interface{ GetTransport() *http.Transport }); ok && s.cfg.AWS == nil {
		c.GetTransport().CloseIdleConnections()
	}
	return nil
}
