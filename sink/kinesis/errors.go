package kinesis

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// ErrAutoDistribution is why a stream is not written to in strict order or with
// aggregates: its RecordDistributionStrategy is AUTO, so that the service puts
// records into shards regardless of their keys.
var ErrAutoDistribution = errors.New("the stream distributes records regardless of their keys " +
	"(RecordDistributionStrategy AUTO), which destroys order per key and makes consumers drop aggregates: " +
	"set it to USER_PARTITION_KEY, or use relaxed ordering without aggregation")

// Error is why Kinesis did not store a record; find it with errors.As.
type Error struct {
	// Stream is the name or ARN of the stream.
	Stream string
	// Shard is the shard that refused the record, where the service names it.
	Shard string
	// Code is the service's error code, such as
	// "ProvisionedThroughputExceededException"; empty when there was no answer.
	Code string
	// Message is the service's message or what else is known.
	Message string
	// RequestID identifies the request to AWS support.
	RequestID string
	// Hint says in plain words what to do; mostly empty.
	Hint string
	// Err is the error underneath, nil when the service refused a record.
	Err error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("kinesis: stream " + e.Stream)
	if e.Hint != "" {
		b.WriteString(": " + e.Hint)
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Unwrap returns the error underneath.
func (e *Error) Unwrap() error { return e.Err }

// mark makes of err what the pipeline understands.
func mark(c awsconn.Class, err error) error {
	switch c {
	case awsconn.Throttled:
		return bridge.Throttled(err, 0)
	case awsconn.Ambiguous:
		return bridge.Ambiguous(err)
	case awsconn.Unavailable, awsconn.Expired:
		return bridge.Unavailable(err)
	case awsconn.Rejected:
		return bridge.Permanent(err)
	default: // what may pass, and what nobody can say of: the record waits, and its key only
		return err
	}
}

const putAction = "kinesis:PutRecords"

// requestError describes the failure of a whole request, for which the
// credentials need the permission action; sent reports whether
// all of it may have gone out.
func (s *Sink) requestError(st *stream, err error, action string, sent bool) (*Error, awsconn.Class) {
	f := s.place.Explain(err, action, sent)
	return &Error{
		Stream: st.dest, Shard: shardIn(f.Message), Code: f.Code, Message: f.Message, RequestID: f.RequestID,
		Hint: cmp.Or(f.Hint, s.hint(f.Code)), Err: err,
	}, f.Class
}

// recordError describes the failure of one record in a reply.
func (s *Sink) recordError(st *stream, code, message, requestID string) (*Error, awsconn.Class) {
	return &Error{
		Stream: st.dest, Shard: shardIn(message), Code: code, Message: message, RequestID: requestID,
		Hint: cmp.Or(s.place.Hint(code, message, putAction), s.hint(code)),
	}, awsconn.ClassOfRecord(code)
}

// hint says in plain words what codes mean that are Kinesis' own.
func (s *Sink) hint(code string) string {
	switch code {
	case "ResourceNotFoundException":
		return fmt.Sprintf("there is no such stream in %s, or it is still being created", s.place)
	case "ResourceInUseException":
		return "the stream is being created or deleted"
	}
	return ""
}

// shardIn finds the shard that a throttling message names: "Rate exceeded for
// shard shardId-000000000001 in stream …".
func shardIn(message string) string {
	at := strings.Index(message, "shardId-")
	if at < 0 {
		return ""
	}
	rest := message[at+len("shardId-"):]
	n := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if n < 0 {
		n = len(rest)
	}
	return message[at : at+len("shardId-")+n]
}
