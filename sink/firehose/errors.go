package firehose

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// requestError describes the failure of a whole request, for which the credentials
// need the permission action.
func (s *Sink) requestError(stream string, err error, action string) (*failure, awsconn.Class) {
	f := s.place.Explain(err, action, !awsconn.IsUnsent(err))
	parts := []string{"firehose: stream " + stream, cmp.Or(f.Hint, s.hint(f.Code)), f.Code, f.Message}
	text := parts[0]
	for _, p := range parts[1:] {
		if p != "" {
			text += ": " + p
		}
	}
	return &failure{text, err}, classOf(f.Code, f.Class)
}

// failure has a text that is fit for an operator.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// recordError describes the failure of one record of an accepted request.
func recordError(stream, code, message string) error {
	err := fmt.Errorf("firehose: stream %s: %s", stream, strings.TrimSuffix(code+": "+message, ": "))
	return mark(classOf(code, awsconn.ClassOfRecord(code)), err)
}

// classOf knows how Firehose says that the stream's limits are exceeded.
func classOf(code string, c awsconn.Class) awsconn.Class {
	if code == "ServiceUnavailableException" || code == "ServiceUnavailable" {
		return awsconn.Throttled
	}
	return c
}

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
	default: // what may pass, and what nobody can say of: the record waits
		return err
	}
}

// hint says in plain words what codes mean that are Firehose's own.
func (s *Sink) hint(code string) string {
	switch code {
	case "ResourceNotFoundException":
		return fmt.Sprintf("there is no such delivery stream in %s", s.place)
	case "InvalidSourceException":
		return "the stream takes no direct puts, since it reads from elsewhere"
	}
	return ""
}
