package sink

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/time/rate"

	"github.com/sluiceio/sluice/bridge"
)

// Rate is how fast a sink may be written to.
type Rate struct {
	// Bytes is the number of bytes a second, as Record.Size counts them. 0:
	// no limit.
	Bytes int
	// Records is the number of records a second. 0: no limit.
	Records int
}

// Validate reports everything that is wrong with the rate.
func (r Rate) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if r.Bytes < 0 {
		bad("Bytes: %d is negative", r.Bytes)
	}
	if r.Records < 0 {
		bad("Records: %d is negative", r.Records)
	}
	return errors.Join(errs...)
}

// RateLimit returns a sink that writes to s no faster than the rate, over any
// second no more than twice as much. Writes wait for their turn, so that the
// queue in front of the sink fills and the source feels it. A batch is at most
// what the rate allows in a second.
func RateLimit(s bridge.Sink, r Rate) (bridge.Sink, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("rate limit: %w", err)
	}
	var limits bridge.Limits
	if l, ok := s.(bridge.Limiter); ok {
		limits = l.Limits()
	}
	var records, bytes *rate.Limiter
	if r.Records > 0 {
		records = rate.NewLimiter(rate.Limit(r.Records), r.Records)
		limits.Records = atMost(limits.Records, r.Records)
	}
	if r.Bytes > 0 {
		bytes = rate.NewLimiter(rate.Limit(r.Bytes), r.Bytes)
		limits.Bytes = atMost(limits.Bytes, r.Bytes)
	}
	return wrap(s, limits, func(ctx context.Context, b *bridge.Batch) error {
		size := 0
		for i := range b.Records {
			size += b.Records[i].Size()
		}
		if err := errors.Join(wait(ctx, records, len(b.Records)), wait(ctx, bytes, size)); err != nil {
			return fmt.Errorf("rate limit: %w", err)
		}
		return s.Write(ctx, b)
	}), nil
}

// atMost is the lower of a limit, where 0 is none, and a bound.
func atMost(limit, bound int) int {
	if limit == 0 {
		return bound
	}
	return min(limit, bound)
}

// wait takes n from the limiter, which may be more than it holds at once.
func wait(ctx context.Context, l *rate.Limiter, n int) error {
	for l != nil && n > 0 {
		part := min(n, l.Burst())
		if err := l.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
