package bridge

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

// Errors that the pipeline reports; match them with errors.Is.
var (
	// ErrClosed is the error of a call to a pipeline that has stopped.
	ErrClosed = errors.New("pipeline is closed")
	// ErrDrainTimeout is returned by Run when messages were still unsettled
	// at the end of the drain; they stay unacknowledged at their source.
	ErrDrainTimeout = errors.New("drain timed out")
	// ErrQueueFull is why a record was dropped from a full queue.
	ErrQueueFull = errors.New("queue is full")
	// ErrExpired is why a record was dropped after its time to live.
	ErrExpired = errors.New("record expired")
)

// Marks for errors of Sink.Write, made by the functions of the same name and
// matched with errors.Is.
var (
	// ErrPermanent marks an error that trying again will not cure.
	ErrPermanent = errors.New("permanent")
	// ErrThrottled marks a refusal for want of capacity.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable marks an error that an operator has to cure.
	ErrUnavailable = errors.New("unavailable")
	// ErrAmbiguous marks an error after which the record may be stored or not.
	ErrAmbiguous = errors.New("ambiguous")
)

// Permanent marks err as one that trying again will not cure. The record is not
// written again: it goes to the sink's fallback and counts as failed.
func Permanent(err error) error { return mark(err, ErrPermanent, 0) }

// Throttled marks err as a refusal for want of capacity: the record's group
// (see Grouper) is written to more slowly until it accepts again. With after > 0
// the lane waits at least that long.
func Throttled(err error, after time.Duration) error { return mark(err, ErrThrottled, after) }

// Unavailable marks err as a state that does not pass quickly, such as a missing
// stream or a missing permission: the sink is reported as disconnected with the
// error's text, and tried again at the queue's resume interval.
func Unavailable(err error) error { return mark(err, ErrUnavailable, 0) }

// Ambiguous marks err as an outcome that is not known, such as a timeout after
// the request was sent. The record is written again and counted, because it may
// then be stored twice.
func Ambiguous(err error) error { return mark(err, ErrAmbiguous, 0) }

type marked struct {
	err   error
	mark  error
	after time.Duration
}

func mark(err, m error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &marked{err, m, after}
}

func (e *marked) Error() string   { return e.err.Error() }
func (e *marked) Unwrap() []error { return []error{e.err, e.mark} }

// RecordError is the failure of one record of a batch.
type RecordError struct {
	Index int // in Batch.Records
	Err   error
}

// BatchError reports that some records of a batch failed; the others are stored.
type BatchError struct {
	// Failed holds each failed record once, by ascending index.
	Failed []RecordError
}

// Fail adds the failure of record index.
func (e *BatchError) Fail(index int, err error) {
	e.Failed = append(e.Failed, RecordError{index, err})
	if n := len(e.Failed); n > 1 && e.Failed[n-2].Index > index {
		sort.Slice(e.Failed, func(i, j int) bool { return e.Failed[i].Index < e.Failed[j].Index })
	}
}

// ErrorOrNil returns e as an error, or nil when nothing failed.
func (e *BatchError) ErrorOrNil() error {
	if e == nil || len(e.Failed) == 0 {
		return nil
	}
	return e
}

// Error names how many records failed and the first reasons.
func (e *BatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records failed", len(e.Failed))
	for i, f := range e.Failed {
		if i == 3 {
			b.WriteString("; …")
			break
		}
		fmt.Fprintf(&b, "; record %d: %v", f.Index, f.Err)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As access to the records' errors.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i := range e.Failed {
		errs[i] = e.Failed[i].Err
	}
	return errs
}
