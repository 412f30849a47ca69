package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// TickerConfig configures a Ticker.
type TickerConfig struct {
	// Count is how many messages there are; 0 means without end.
	Count int
	// Interval is the time between two messages. Required. Messages that
	// nobody was there to read are not made up for.
	Interval time.Duration
	// Message fills in a message; n counts from 0, and Received is set.
	// Required.
	Message func(m *bridge.Message, n int)
}

// Validate reports all that is wrong with the configuration.
func (c TickerConfig) Validate() error {
	var errs []error
	if c.Interval <= 0 {
		errs = append(errs, fmt.Errorf("source: TickerConfig.%w", &bridge.FieldError{Path: "Interval", Err: errors.New("must be positive")}))
	}
	if c.Message == nil {
		errs = append(errs, fmt.Errorf("source: TickerConfig.%w", &bridge.FieldError{Path: "Message", Err: errors.New("must be set")}))
	}
	if c.Count < 0 {
		errs = append(errs, fmt.Errorf("source: TickerConfig.%w", &bridge.FieldError{Path: "Count", Err: errors.New("must not be negative")}))
	}
	return errors.Join(errs...)
}

// Ticker is a source that makes a message at an interval, for heartbeats,
// demonstrations and load tests. Create it with NewTicker.
type Ticker struct {
	cfg    TickerConfig
	ticker *time.Ticker
	n      atomic.Int64
}

var (
	_ bridge.Source = (*Ticker)(nil)
	_ bridge.Typer  = (*Ticker)(nil)
)

// NewTicker returns a Ticker whose first message is due after one interval.
func NewTicker(cfg TickerConfig) (*Ticker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Ticker{cfg: cfg, ticker: time.NewTicker(cfg.Interval)}, nil
}

// Type returns "ticker", so that rules can select the source's messages by
// "$sources/ticker:<name>".
func (*Ticker) Type() string { return "ticker" }

// Read implements bridge.Source.
func (t *Ticker) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	if t.cfg.Count > 0 && t.n.Load() >= int64(t.cfg.Count) {
		return 0, io.EOF
	}
	if len(dst) == 0 {
		return 0, nil
	}
	select {
	case now := <-t.ticker.C:
		dst[0] = bridge.Message{Received: now}
		t.cfg.Message(&dst[0], int(t.n.Add(1)-1))
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Close implements bridge.Source.
func (t *Ticker) Close(context.Context) error {
	t.ticker.Stop()
	return nil
}
