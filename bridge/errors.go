package bridge

import (
	"errors"
	"fmt"
	"time"
)

// Errors that the pipeline reports; match them with errors.Is.
var (
	// ErrClosed is the error of a call to a pipeline that has stopped.
	ErrClosed = errors.New("pipeline is closed")
	// ErrDrainTimeout is returned by Run if messages are not settled at the end
	// of the drain; they stay unacknowledged at their source.
	ErrDrainTimeout = errors.New("drain timed out")

	// ErrFull is why a record was dropped, or not accepted by a Producer.
	ErrFull = errors.New("queue is full")

	errExpired = errors.New("record expired")
)

// DrainError says how many records were not stored at the end of a drain. It
// matches ErrDrainTimeout.
type DrainError struct {
	// Left counts the records by sink; those of removed sinks are under "".
	Left map[string]uint64
}

// Error returns the number of records.
func (e *DrainError) Error() string {
	n := uint64(0)
	for _, left := range e.Left {
		n += left
	}
	return fmt.Sprintf("%v: %d records were not stored", ErrDrainTimeout, n)
}

// Unwrap returns ErrDrainTimeout.
func (e *DrainError) Unwrap() error { return ErrDrainTimeout }

// Marks for errors of Sink.Write, made by the functions of the same name and
// matched with errors.Is.
var (
	// ErrPermanent marks an error that a retry cannot fix.
	ErrPermanent = errors.New("permanent")
	// ErrThrottled marks a refusal because the sink is at capacity.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable marks an error that an operator has to fix.
	ErrUnavailable = errors.New("unavailable")
	// ErrAmbiguous marks an error after which the record may or may not be stored.
	ErrAmbiguous = errors.New("ambiguous")
)

// Permanent marks err as one that a retry cannot fix. The record is not written
// again: it goes to the sink's fallback, or ends as Refused.
func Permanent(err error) error { return mark(err, ErrPermanent, 0) }

// Throttled marks err as a refusal because the sink is at capacity: the record's group
// (see Laner) is written to at the pace that it accepts. With after > 0 the lane
// waits at least that long.
func Throttled(err error, after time.Duration) error { return mark(err, ErrThrottled, after) }

// Unavailable marks err as a condition that lasts, such as a missing stream or
// permission. The sink is reported as disconnected, with the error's text, and tried
// again at the queue's resume interval.
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

// FieldError is a mistake in a configuration. Errors of New, Validate and of
// changes join one for each mistake; match them with errors.As.
type FieldError struct {
	// Path names the field from the outermost configuration on, such as
	// `Queues["kinesis"].BatchSize`.
	Path string
	Err  error
}

// Error returns the path and the mistake.
func (e *FieldError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the mistake.
func (e *FieldError) Unwrap() error { return e.Err }

// mistakes collects field errors.
type mistakes []error

func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, &FieldError{path, fmt.Errorf(format, args...)})
}

// within adds the mistakes that err joins, each below the path.
func (m *mistakes) within(path string, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m.within(path, e)
		}
		return
	}
	if f, ok := errors.AsType[*FieldError](err); ok {
		*m = append(*m, &FieldError{path + "." + f.Path, f.Err})
		return
	}
	*m = append(*m, &FieldError{path, err})
}

func (m mistakes) err() error { return errors.Join(m...) }
