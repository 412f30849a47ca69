package kinesis

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// Sink writes records to Kinesis streams. Make one with New; it is safe for
// concurrent use, within what bridge.Sink demands of lanes.
type Sink struct {
	cfg       Config
	client    *sdk.Client
	transport *awsconn.Transport // nil when it is the caller's
	renewer   *awsconn.Renewer
	place     awsconn.Place
	log       *slog.Logger
	seed      maphash.Seed
	slots     slots
	compress  *compressor // nil for none

	streams streams
	writes  sync.Pool // of *write
	quota   quota
	room    room
	health  health

	ctx    context.Context // of what goes on in the background, until Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	total  totals
}

var (
	_ bridge.Sink    = (*Sink)(nil)
	_ bridge.Opener  = (*Sink)(nil)
	_ bridge.Checker = (*Sink)(nil)
	_ bridge.Laner   = (*Sink)(nil)
	_ bridge.Limiter = (*Sink)(nil)
)

// New returns a Sink. It reads the AWS configuration of the machine, unless the
// Config says it all, but does not connect; see Open and Check.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Sink{
		cfg: cfg, log: cfg.Logger, seed: maphash.MakeSeed(), slots: newSlots(cfg.Slots),
		health: health{asking: newTurn()}, streams: streams{byDest: make(map[string]*stream)},
	}
	err := s.connect()
	if err != nil {
		return nil, err
	}
	o := s.client.Options()
	s.place = awsconn.Place{Service: "Kinesis", Region: o.Region, Endpoint: aws.ToString(o.BaseEndpoint)}
	if s.compress, err = newCompressor(cfg.Compression); err != nil {
		return nil, err
	}
	s.room.init()
	s.writes.New = func() any { return newWrite(s) }
	if cfg.Stream != "" {
		if s.streams.byDefault, err = s.streams.get(cfg.Stream); err != nil {
			return nil, err
		}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Open reads the settings and shards of the default stream. It fails only if the
// stream is known to be unfit for what the Config asks of it; other trouble may
// pass and is left to Check.
func (s *Sink) Open(ctx context.Context) error {
	st := s.streams.byDefault
	if st == nil {
		return nil
	}
	if err := s.learnFirst(ctx, st); err != nil {
		return &Error{Stream: st.dest, Message: err.Error(), Err: err}
	}
	return nil
}

// Write stores a batch of records; see bridge.Sink. Failures of single records
// wrap an *Error.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	w := s.writes.Get().(*write)
	defer w.release()
	w.begin(b)
	w.send(ctx)
	return w.result(b)
}

// Close ends what goes on in the background. It is called after the last Write.
func (s *Sink) Close(ctx context.Context) error {
	s.cancel()
	if s.transport != nil {
		defer s.transport.CloseIdleConnections()
	}
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("kinesis: requests in the background did not end in time"), ctx.Err())
	}
}
