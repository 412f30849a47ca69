package firehose

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// write is the part of a Write that goes to one stream.
type write struct {
	sink    *Sink
	stream  string
	records []bridge.Record
	errs    []error // of records

	refusals int // requests in a row, without a record accepted in between
}

// send sends the records with the indexes in one request and notes their outcomes.
// The error says why it makes no sense to send more now; it is that of records
// which are not sent.
func (w *write) send(ctx context.Context, indexes []int) error {
	out, err := w.call(ctx, indexes)
	if err != nil && awsconn.IsExpired(err) && w.sink.renewer.Renew() {
		out, err = w.call(ctx, indexes) // it was refused before anything was stored
	}
	if err == nil {
		w.outcomes(indexes, out)
		return nil
	}
	e, c := w.sink.requestError(w.stream, err, "firehose:PutRecordBatch")
	switch c {
	case awsconn.Rejected, awsconn.Suspect, awsconn.TooLarge:
		return w.isolate(ctx, indexes, e, c)
	}
	w.fail(indexes, mark(c, e))
	if c == awsconn.Ambiguous {
		return fmt.Errorf("not sent, because a request before it failed: %w", e)
	}
	return mark(c, e)
}

// isolate handles a request that was refused as a whole, for sure or perhaps
// because of what is in it. It finds the records to blame and sends the others.
func (w *write) isolate(ctx context.Context, indexes []int, e error, c awsconn.Class) error {
	w.refusals++
	switch {
	case len(indexes) == 1:
		r := &w.records[indexes[0]]
		if c == awsconn.Suspect && w.sink.blameOf(w.stream).IsRecord(r.Key, r.Data, r.Attempt) {
			c = awsconn.Rejected
		}
		w.fail(indexes, mark(c, e))
		return nil
	case c == awsconn.Suspect && w.refusals > awsconn.MaxRefusals:
		w.fail(indexes, e)
		return e
	case c == awsconn.TooLarge:
		w.sink.bound(w.size(indexes))
	}
	mid := len(indexes) / 2
	if err := w.send(ctx, indexes[:mid]); err != nil {
		w.fail(indexes[mid:], err)
		return err
	}
	return w.send(ctx, indexes[mid:])
}

func (w *write) call(ctx context.Context, indexes []int) (*sdk.PutRecordBatchOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, w.sink.cfg.Timeout)
	defer cancel()
	in := &sdk.PutRecordBatchInput{DeliveryStreamName: aws.String(w.stream), Records: make([]types.Record, len(indexes))}
	delimiter := w.sink.cfg.Delimiter
	for n, i := range indexes {
		data := w.records[i].Data
		in.Records[n].Data = append(append(make([]byte, 0, len(data)+len(delimiter)), data...), delimiter...)
	}
	return w.sink.client.PutRecordBatch(ctx, in)
}

// outcomes notes what a reply says of each record; a record counts as stored only
// when it says so.
func (w *write) outcomes(indexes []int, out *sdk.PutRecordBatchOutput) {
	doubt := func(indexes []int, why string) {
		w.fail(indexes, bridge.Ambiguous(fmt.Errorf("firehose: stream %s: %s", w.stream, why)))
	}
	if len(out.RequestResponses) != len(indexes) {
		doubt(indexes, fmt.Sprintf("the answer has %d results for %d records", len(out.RequestResponses), len(indexes)))
		return
	}
	failed, accepted := 0, false
	for i := range out.RequestResponses {
		if !isStored(&out.RequestResponses[i]) {
			failed++
		}
	}
	for n, i := range indexes {
		r := &out.RequestResponses[n]
		code := aws.ToString(r.ErrorCode)
		switch {
		case isStored(r) && failed < int(aws.ToInt32(out.FailedPutCount)):
			doubt(indexes[n:n+1], "the answer counts more failed records than it names")
		case isStored(r):
			accepted = true
			w.refusals = 0
		case code == "" || aws.ToString(r.RecordId) != "":
			doubt(indexes[n:n+1], "the answer does not say plainly what became of the record")
		default:
			w.errs[i] = recordError(w.stream, code, aws.ToString(r.ErrorMessage))
		}
	}
	if accepted {
		w.sink.blameOf(w.stream).Accept()
	}
}

func isStored(r *types.PutRecordBatchResponseEntry) bool {
	return aws.ToString(r.ErrorCode) == "" && aws.ToString(r.RecordId) != ""
}

func (w *write) fail(indexes []int, err error) {
	for _, i := range indexes {
		w.errs[i] = err
	}
}

// size is what the records count together.
func (w *write) size(indexes []int) (n int) {
	for _, i := range indexes {
		n += len(w.records[i].Data) + len(w.sink.cfg.Delimiter)
	}
	return n
}
