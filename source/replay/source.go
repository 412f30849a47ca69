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
	"sync"
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
		errs = append(errs, fmt.Errorf("replay: %w", &bridge.FieldError{Path: "Path", Err: errors.New("either Path or Reader must be set")}))
	}
	if !(c.Speed >= 0) || math.IsInf(c.Speed, 1) {
		errs = append(errs, fmt.Errorf("replay: %w", &bridge.FieldError{Path: "Speed", Err: fmt.Errorf("%v is not a speed", c.Speed)}))
	}
	return errors.Join(errs...)
}

// Source replays a recording and then ends. Create it with New.
type Source struct {
	speed float64
	in    io.Reader
	items chan item
	begin sync.Once     // starts scan
	stop  chan struct{} // closed by Close
	ended chan struct{} // closed when scan has ended
	err   error         // that ended the recording

	next    item // read ahead; valid if pending
	pending bool
	first   time.Time // the recording's first time
	started time.Time // when the message of that time was handed out
}

// item is a line of the recording, or the error that ends it.
type item struct {
	m   bridge.Message
	at  time.Time
	err error
}

var (
	_ bridge.Source = (*Source)(nil)
	_ bridge.Typer  = (*Source)(nil)
)

// New opens the recording.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{
		speed: cfg.Speed, in: cfg.Reader,
		items: make(chan item, 256), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	if cfg.Path != "" {
		f, err := os.Open(cfg.Path)
		if err != nil {
			return nil, fmt.Errorf("replay: %w", err)
		}
		s.in = f
	}
	return s, nil
}

// Type returns "replay", so that rules can select the source's messages by
// "$sources/replay:<name>".
func (*Source) Type() string { return "replay" }

// Read implements bridge.Source. Messages that are due are handed out together.
// A line that is no message is an error that names its number.
func (s *Source) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	s.begin.Do(func() { go s.scan() })
	n := 0
	for n < len(dst) {
		if there, err := s.ahead(ctx, n == 0); !there {
			if n == 0 {
				return 0, err
			}
			break // the next Read returns the error
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
		dst[n] = s.next.m
		dst[n].Received = time.Now()
		s.next, s.pending = item{}, false
		n++
	}
	return n, nil
}

// ahead reads the next message unless it is there already, and reports whether it
// is. It waits only if told to. After an error of the recording, io.EOF included,
// it returns the same again.
func (s *Source) ahead(ctx context.Context, wait bool) (bool, error) {
	if s.pending || s.err != nil {
		return s.pending, s.err
	}
	select {
	case s.next = <-s.items:
	default:
		if !wait {
			return false, nil
		}
		select {
		case s.next = <-s.items:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	s.pending, s.err = s.next.err == nil, s.next.err
	return s.pending, s.err
}

// scan reads the recording on a goroutine of its own, as reading may block: the
// recording may be the output of another program.
func (s *Source) scan() {
	defer close(s.ended)
	lines := bufio.NewScanner(s.in)
	lines.Buffer(nil, maxLine)
	put := func(it item) bool {
		select {
		case s.items <- it:
			return it.err == nil
		case <-s.stop:
			return false
		}
	}
	number := 0
	for lines.Scan() {
		number++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		it := item{}
		if it.m, it.at, it.err = parse(text); it.err != nil {
			it.err = fmt.Errorf("replay: line %d: %w", number, it.err)
		}
		if !put(it) {
			return
		}
	}
	end := item{err: io.EOF}
	if err := lines.Err(); err != nil {
		end.err = fmt.Errorf("replay: line %d: %w", number+1, err)
	}
	put(end)
}

// wait returns how long it is until the next message is due.
func (s *Source) wait() time.Duration {
	at := s.next.at
	if s.speed == 0 || at.IsZero() {
		return 0
	}
	if s.first.IsZero() {
		s.first, s.started = at, time.Now()
	}
	due := s.started.Add(time.Duration(float64(at.Sub(s.first)) / s.speed))
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

// Close implements bridge.Source. It waits for a Read of the recording that is
// under way, which closing the file or an io.Closer ends, or until ctx is done.
func (s *Source) Close(ctx context.Context) error {
	close(s.stop)
	var err error
	if c, ok := s.in.(io.Closer); ok {
		err = c.Close()
	}
	s.begin.Do(func() { close(s.ended) })
	select {
	case <-s.ended:
		return err
	case <-ctx.Done():
		return errors.Join(err, ctx.Err())
	}
}
