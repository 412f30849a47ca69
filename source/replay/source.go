package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/sluiceio/sluice/bridge"
)

// maxLine is the length limit of a line: the largest MQTT payload in base64, and
// some.
const maxLine = 400 << 20

// Config configures a Source. Either Path or Reader has to be set.
type Config struct {
	// Path is the recording's file.
	Path string
	// Reader is the recording. If it is an io.Closer the source closes it.
	Reader io.Reader
	// Speed is how fast time passes in relation to the recording: 1 is the
	// original timing, 2 is twice as fast. The default 0 does not wait at
	// all. Lines without a time follow at once.
	Speed float64
}

// Validate reports all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if (c.Path == "") == (c.Reader == nil) {
		errs = append(errs, errors.New("replay: either Path or Reader must be set"))
	}
	if !(c.Speed >= 0) || math.IsInf(c.Speed, 1) {
		errs = append(errs, fmt.Errorf("replay: Speed: %v is not a speed", c.Speed))
	}
	return errors.Join(errs...)
}

// Source replays a recording and then ends. Create it with New.
type Source struct {
	speed  float64
	in     io.Reader
	lines  *bufio.Scanner
	number int   // of the current line, from 1
	err    error // that ended the recording

	next    bridge.Message // read ahead; valid if pending
	at      time.Time
	pending bool
	first   time.Time // the recording's first time
	started time.Time // when the message of that time was handed out
}

var _ bridge.Source = (*Source)(nil)

// New opens the recording.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{speed: cfg.Speed, in: cfg.Reader}
	if cfg.Path != "" {
		f, err := os.Open(cfg.Path)
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		s.in = f
	}
	s.lines = bufio.NewScanner(s.in)
	s.lines.Buffer(nil, maxLine)
	return s, nil
}

// Read implements bridge.Source. Messages that are due are handed out together.
// A line that is no message is an error that names its number.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	n := 0
	for n < len(dst) {
		if err := s.ahead(); err != nil {
			if n > 0 {
				break // the next Read returns the error
			}
			return 0, err
		}
		if wait := s.wait(); wait > 0 {
			if n > 0 {
				break
			}
			if err := sleep(ctx, wait); err != nil {
				return 0, err
			}
		}
		if err := ctx.Err(); err != nil && n == 0 {
			return 0, err
		}
		dst[n] = s.next
		dst[n].Received = time.Now()
		s.pending = false
		n++
	}
	return n, nil
}

// ahead reads the next message unless it is there already. After an error, io.EOF
// included, it returns the same again.
func (s *Source) ahead() error {
	for !s.pending && s.err == nil {
		if !s.lines.Scan() {
			s.err = io.EOF
			if err := s.lines.Err(); err != nil {
				s.err = fmt.Errorf("replay: line %d: %w", s.number+1, err)
			}
			break
		}
		s.number++
		text := bytes.TrimSpace(s.lines.Bytes())
		if len(text) == 0 {
			continue
		}
		next, at, err := parse(text)
		if err != nil {
			s.err = fmt.Errorf("replay: line %d: %w", s.number, err)
			break
		}
		s.next, s.at, s.pending = next, at, true
	}
	return s.err
}

// wait returns how long it is until the next message is due.
func (s *Source) wait() time.Duration {
	if s.speed == 0 || s.at.IsZero() {
		return 0
	}
	if s.first.IsZero() {
		s.first, s.started = s.at, time.Now()
	}
	due := s.started.Add(time.Duration(float64(s.at.Sub(s.first)) / s.speed))
	return time.Until(due)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements bridge.Source.
func (s *Source) Close(context.Context) error {
	if c, ok := s.in.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
