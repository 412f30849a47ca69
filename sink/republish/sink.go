package republish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// Message is a message to be published.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Props   *bridge.Properties // nil for none
}

// Publisher publishes messages. Client is one, and Local makes one of an embedded
// broker.
//
// Publish returns when the message was taken over, with QoS 1 and 2 when that
// was acknowledged. It is called concurrently and must not keep the message. Its
// errors are classified as those of bridge.Sink are. A Publisher that also
// implements bridge.Opener or bridge.Checker, or has the method Close of
// bridge.Sink, is opened, checked and closed with the sink; Check is then also
// called before each Write and has to be cheap.
type Publisher interface {
	Publish(ctx context.Context, m *Message) error
}

// PublisherFunc is a function as a Publisher.
type PublisherFunc func(ctx context.Context, m *Message) error

// Publish calls f.
func (f PublisherFunc) Publish(ctx context.Context, m *Message) error { return f(ctx, m) }

// Local returns a Publisher for a broker in the same process, such as one of
// package source/broker. It takes messages over at once.
func Local(b interface {
	Publish(ctx context.Context, m *bridge.Message) error
},
) Publisher {
	return PublisherFunc(func(ctx context.Context, m *Message) error {
		return b.Publish(ctx, &bridge.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Props: m.Props})
	})
}

// Config describes a Sink.
type Config struct {
	// Concurrency is how many messages of different lanes one Write publishes
	// at once. Default 64.
	Concurrency int
	// Logger gets the stack when the Publisher panics, at most every ten
	// seconds. Default slog.Default().
	Logger *slog.Logger
	// MaxGrowth is the highest number of bytes of a message that was made from
	// one that a sink has published; the record fails for good beyond.
	// Default DefaultMaxGrowth, 1 MiB.
	MaxGrowth int
	// MaxHops is how often a message, and those that are made from it, may be
	// published; the record fails for good beyond, with ErrLoop. Default
	// DefaultMaxHops, 4.
	MaxHops int
	// Publisher publishes the messages. Required.
	Publisher Publisher
	// Timeout bounds the publishing of one message. Default 10 s.
	Timeout time.Duration
	// Unmarked leaves out the user properties that subscribers see and that
	// loops are found by. A rule that publishes to what it listens to then feeds
	// itself for ever.
	Unmarked bool
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
	}
	if c.Publisher == nil {
		bad("Publisher", "is nil")
	}
	if c.Concurrency < 0 {
		bad("Concurrency", "%d is negative", c.Concurrency)
	}
	if c.MaxGrowth < 0 {
		bad("MaxGrowth", "%d is negative", c.MaxGrowth)
	}
	if c.MaxHops < 0 {
		bad("MaxHops", "%d is negative", c.MaxHops)
	}
	if c.Timeout < 0 {
		bad("Timeout", "%v is negative", c.Timeout)
	}
	return errors.Join(errs...)
}

// Sink publishes records. It implements bridge.Sink, bridge.Opener and
// bridge.Checker.
type Sink struct {
	cfg   Config
	quiet atomic.Int64 // until then no stack is logged, Unix nanoseconds
}

var (
	_ bridge.Sink    = (*Sink)(nil)
	_ bridge.Opener  = (*Sink)(nil)
	_ bridge.Checker = (*Sink)(nil)
)

// New makes a sink.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("republish sink: %w", err)
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 64
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	cfg.MaxHops = cmp.Or(cfg.MaxHops, DefaultMaxHops)
	cfg.MaxGrowth = cmp.Or(cfg.MaxGrowth, DefaultMaxGrowth)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Sink{cfg: cfg}, nil
}

// Open opens the publisher.
func (s *Sink) Open(ctx context.Context) error {
	if o, ok := s.cfg.Publisher.(bridge.Opener); ok {
		return o.Open(ctx)
	}
	return nil
}

// Check asks the publisher for its health.
func (s *Sink) Check(ctx context.Context) error {
	if c, ok := s.cfg.Publisher.(bridge.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// Close closes the publisher.
func (s *Sink) Close(ctx context.Context) error {
	if c, ok := s.cfg.Publisher.(interface{ Close(context.Context) error }); ok {
		return c.Close(ctx)
	}
	return nil
}

// Write publishes the records: those of a lane one after the other, lanes side
// by side. Behind one that fails and will be tried again, those of its lane wait
// for their turn.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	if err := s.Check(ctx); err != nil {
		return err // of the batch as a whole, so that the queue tries seldom
	}
	errs := make([]error, len(b.Records))
	var lanes sync.WaitGroup
	room := make(chan struct{}, s.cfg.Concurrency)
	for from := 0; from < len(b.Records); {
		to := from + 1
		for to < len(b.Records) && b.Records[to].Lane == b.Records[from].Lane {
			to++
		}
		records, results := b.Records[from:to], errs[from:to]
		room <- struct{}{}
		lanes.Go(func() {
			defer func() { <-room }()
			s.publishLane(ctx, records, results)
		})
		from = to
	}
	lanes.Wait()
	for i, err := range errs {
		if err != nil {
			b.Fail(&b.Records[i], err)
		}
	}
	return nil
}

func (s *Sink) publishLane(ctx context.Context, records []bridge.Record, errs []error) {
	for i := range records {
		err := s.publish(ctx, &records[i])
		errs[i] = err
		if err != nil && !errors.Is(err, bridge.ErrPermanent) {
			for j := range errs[i:] {
				errs[i+j] = err
			}
			return
		}
	}
}

func (s *Sink) publish(ctx context.Context, r *bridge.Record) (err error) {
	// This is not the goroutine of the Write, whose panics the pipeline holds.
	defer func() {
		if p := recover(); p != nil {
			err = bridge.Ambiguous(fmt.Errorf("republish sink: the publisher panicked: %v", p))
			s.logStack(err, debug.Stack())
		}
	}()
	m, err := message(r)
	if err != nil {
		return bridge.Permanent(fmt.Errorf("republish sink: %w", err))
	}
	if err := s.mark(r, m); err != nil {
		return bridge.Permanent(fmt.Errorf("republish sink: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return s.cfg.Publisher.Publish(ctx, m)
}

// logStack reports a panic, which may come with every message.
func (s *Sink) logStack(err error, stack []byte) {
	now, until := time.Now(), s.quiet.Load()
	if now.UnixNano() < until || !s.quiet.CompareAndSwap(until, now.Add(10*time.Second).UnixNano()) {
		return
	}
	s.cfg.Logger.Error("publisher panicked", slog.Any("error", err), slog.String("stack", string(stack)))
}
