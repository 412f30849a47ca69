package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"

	"github.com/sluiceio/sluice/bridge"
)

// Format is how a record becomes a line.
type Format uint8

const (
	// JSON writes an object with all parts of the record; see the package.
	// Data that is JSON stands in it as it is, other text as a string, and
	// other bytes in base64, named "data_base64".
	JSON Format = iota
	// Raw writes the record's data alone.
	Raw
)

// Config describes a Sink.
type Config struct {
	// Compress compresses rotated files with gzip.
	Compress bool
	// Format is how a record becomes a line. Default JSON.
	Format Format
	// MaxAge is how many days rotated files are kept. Default 0: for ever.
	MaxAge int
	// MaxBackups is how many rotated files are kept. Default 0: all.
	MaxBackups int
	// MaxSize is the size in megabytes at which the file is rotated. Default
	// 100. A batch is not divided among files.
	MaxSize int
	// Path is the file, which is created with its directory and appended to.
	// Required unless Writer is set.
	Path string
	// Sync syncs the file to the disk before a Write returns. Without it a
	// record survives a crash of the program, not of the machine.
	Sync bool
	// Writer gets the lines in place of a file, os.Stdout for example. It is
	// not closed.
	Writer io.Writer
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
	}
	if (c.Path == "") == (c.Writer == nil) {
		bad("Path", "either Path or Writer has to be set")
	}
	if c.Format > Raw {
		bad("Format", "unknown format %d", c.Format)
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"MaxAge", c.MaxAge}, {"MaxBackups", c.MaxBackups}, {"MaxSize", c.MaxSize}} {
		if f.value < 0 {
			bad(f.name, "%d is negative", f.value)
		}
	}
	return errors.Join(errs...)
}

// Sink writes records as lines. It implements bridge.Sink, bridge.Opener and
// bridge.Laner.
type Sink struct {
	cfg  Config
	file *timberjack.Logger // nil with Config.Writer

	mu   sync.Mutex
	out  io.Writer
	buf  []byte
	torn bool // the file ends inside a line
}

var (
	_ bridge.Sink   = (*Sink)(nil)
	_ bridge.Opener = (*Sink)(nil)
	_ bridge.Laner  = (*Sink)(nil)
)

// New makes a sink. The file is opened by Open, or with the first Write.
func New(cfg Config) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("file sink: %w", err)
	}
	s := &Sink{cfg: cfg, out: cfg.Writer}
	if cfg.Writer == nil {
		compression := "none"
		if cfg.Compress {
			compression = "gzip"
		}
		s.file = &timberjack.Logger{
			Filename: cfg.Path, MaxSize: cfg.MaxSize, MaxBackups: cfg.MaxBackups, MaxAge: cfg.MaxAge,
			Compression: compression, FileMode: 0o600,
		}
		s.out = s.file
		s.torn = endsInALine(cfg.Path)
	}
	return s, nil
}

// endsInALine reports whether the last line of a file is cut off: its writer was
// killed, or its disk was full.
func endsInALine(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // there is none, or Open will tell
	}
	defer f.Close()
	last := make([]byte, 1)
	if _, err := f.Seek(-1, io.SeekEnd); err != nil {
		return false
	}
	_, err = f.Read(last)
	return err == nil && last[0] != '\n'
}

// Open finds out whether the file can be written.
func (s *Sink) Open(context.Context) error {
	if s.file == nil {
		return nil
	}
	if info, err := os.Stat(s.cfg.Path); err == nil && info.IsDir() {
		return fmt.Errorf("file sink: %s is a directory", s.cfg.Path)
	}
	if _, err := s.file.Write(nil); err != nil {
		return fmt.Errorf("file sink: %w", err)
	}
	return nil
}

// Lane puts all records into one lane: the lines of a file stand in the order
// of the messages' receipt.
func (s *Sink) Lane(*bridge.Record) (lane, group uint64) { return 0, 0 }

// Write writes a line for each record. When the disk is full or fails, the error
// is marked bridge.Unavailable, and the records are written again: then the
// file may hold some of them twice, and one line cut off.
func (s *Sink) Write(ctx context.Context, b *bridge.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(b.Records) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	buf, now := s.buf[:0], time.Now()
	if s.torn {
		buf = append(buf, '\n')
	}
	for i := range b.Records {
		if s.cfg.Format == Raw {
			buf = append(append(buf, b.Records[i].Data...), '\n')
		} else {
			buf = appendLine(buf, &b.Records[i], now)
		}
	}
	s.buf = buf
	return s.flush(buf)
}

func (s *Sink) flush(buf []byte) error {
	n, err := s.out.Write(buf)
	if err == nil {
		s.torn = false
		if s.cfg.Sync && s.file != nil {
			err = s.file.Sync()
		}
	} else if n > 0 {
		s.torn = !bytes.HasSuffix(buf[:min(n, len(buf))], []byte{'\n'})
	}
	if err != nil {
		return bridge.Unavailable(fmt.Errorf("file sink: %w", err))
	}
	return nil
}

// Close closes the file.
func (s *Sink) Close(context.Context) error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// Stdout returns a sink that writes records as JSON lines to standard output.
func Stdout() *Sink { return &Sink{cfg: Config{Writer: os.Stdout}, out: os.Stdout} }
