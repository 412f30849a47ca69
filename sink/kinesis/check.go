package kinesis

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/sluiceio/sluice/internal/awsconn"
)

// health is the last finding of Check.
type health struct {
	asking turn // of the Check that asks
	at     time.Time
	err    error
}

const (
	// checkPause is how long a finding holds, however often Check is called.
	checkPause = time.Second
	// freshPut is how long a stored record proves that all is well.
	freshPut = 10 * time.Second
)

// Check reports whether the default stream can be written to, in words for an
// operator; without a default stream, whether the service answers. A record
// stored within the last seconds is proof enough; else one call is made, with
// Config.DryRun two, at most ten per second. A call refused for the account's
// quota changes nothing about the last finding.
//
// Permissions: kinesis:DescribeStreamSummary (kinesis:ListStreams without a
// default stream). Where that is denied, the credentials are known at least, and
// all is taken to be well; it is logged once that more is not known.
func (s *Sink) Check(ctx context.Context) error {
	if err := s.health.asking.take(ctx); err != nil {
		return err
	}
	defer s.health.asking.give()
	if time.Since(s.health.at) < checkPause {
		return s.health.err
	}
	err := s.check(ctx)
	if ctx.Err() != nil && !s.health.at.IsZero() {
		return s.health.err // cut short, so what was found before is the best there is
	} else if ctx.Err() != nil {
		return err
	}
	if api := smithy.APIError(nil); errors.As(err, &api) && awsconn.ClassOf(api.ErrorCode(), 0) == awsconn.Throttled {
		err = s.health.err
	}
	s.health.at, s.health.err = time.Now(), err
	return err
}

func (s *Sink) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	st := s.streams.byDefault
	if st == nil {
		return s.checkService(ctx)
	}
	if time.Since(st.blame.Accepted()) < freshPut {
		return s.finding(st, s.concern(st))
	}
	switch err := s.readSettings(ctx, st); {
	case err == nil:
		switch status := st.settings.Load().status; status {
		case types.StreamStatusActive, types.StreamStatusUpdating:
		default:
			return &Error{Stream: st.dest, Message: "its status is " + string(status)}
		}
	case awsconn.IsDenied(err):
		s.noteDenied(st)
	default:
		e, _ := s.requestError(st, err, "kinesis:DescribeStreamSummary", false)
		return e
	}
	if err := s.concern(st); err != nil || !s.cfg.DryRun {
		return s.finding(st, err)
	}
	return s.dryRun(ctx, st)
}

// concern is why a stream cannot be written to, or why not all readers can read it.
func (s *Sink) concern(st *stream) error {
	if err := s.unfit(st); err != nil {
		return err
	}
	if set := st.settings.Load(); set != nil {
		return set.channel
	}
	return nil
}

func (s *Sink) finding(st *stream, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Stream: st.dest, Message: err.Error(), Err: err}
}

// checkService asks for the names of streams, and takes a refusal to list them
// for an answer: the credentials are known, but meant for less.
func (s *Sink) checkService(ctx context.Context) error {
	if err := s.quota.wait(ctx); err != nil {
		return err
	}
	_, err := renewing(s, func() (*sdk.ListStreamsOutput, error) {
		return s.client.ListStreams(ctx, &sdk.ListStreamsInput{Limit: aws.Int32(1)}, once)
	})
	if err == nil {
		return nil
	}
	if awsconn.IsDenied(err) {
		return nil
	}
	e, _ := s.requestError(&stream{dest: "(any)"}, err, "kinesis:ListStreams", false)
	return e
}

// dryRun asks the service whether it would take a record. When all is well it
// answers with an error of its own.
func (s *Sink) dryRun(ctx context.Context, st *stream) error {
	if err := s.quota.wait(ctx); err != nil {
		return err
	}
	in := *st.put
	in.DryRun = aws.Bool(true)
	in.Records = []types.PutRecordsRequestEntry{{Data: []byte("dry run"), PartitionKey: aws.String("dry-run")}}
	_, err := renewing(s, func() (*sdk.PutRecordsOutput, error) { return s.client.PutRecords(ctx, &in, once) })
	if err == nil {
		s.log.Warn("the endpoint does not know dry runs and stored the record", slog.String("stream", st.dest))
		return nil
	}
	e, _ := s.requestError(st, err, "kinesis:PutRecords", false)
	if e.Code == "DryRunOperationException" {
		return nil
	}
	return e
}

// noteDenied says once that a stream cannot be described, and what follows.
func (s *Sink) noteDenied(st *stream) {
	if st.denied.Swap(true) {
		return
	}
	s.log.Info("the credentials do not allow kinesis:DescribeStreamSummary: whether the stream exists and takes records "+
		"shows with the first write, its limit of record sizes is not known", slog.String("stream", st.dest))
}
