package spool

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluiceio/sluice/bridge"
)

// Mode says what a record in the buffer survives.
type Mode uint8

const (
	// Durable syncs to the disk before a write returns: records survive a
	// crash of the program, of the machine, and a loss of power.
	Durable Mode = iota
	// Volatile keeps records in memory as long as Config.MemoryBytes allows,
	// and on disk beyond that, where it leaves it to the operating system when
	// to write. A crash of the program loses those in memory, a crash of the
	// machine also those not yet written. Close writes all of them.
	Volatile
)

// String returns "durable" or "volatile".
func (m Mode) String() string {
	if m == Volatile {
		return "volatile"
	}
	return "durable"
}

const (
	defaultMaxBytes = 4 << 30
	defaultMemory   = 64 << 20
	minMaxBytes     = 1 << 20
	maxSegment      = 64 << 20
)

// Config describes a Buffer.
type Config struct {
	// Dir is the directory of the files, which is created if need be. It
	// belongs to one Buffer of one process at a time. Required.
	Dir string
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// MaxBytes bounds the files and what is in memory. When it is reached, writes are refused as
	// throttled until the real sink has caught up, so that the queue in front
	// of the buffer fills and the source feels it. Default 4 GiB; at least
	// 1 MiB. One transaction may exceed it.
	MaxBytes int64
	// MemoryBytes is how much a Volatile buffer holds in memory before it
	// begins to write to disk. Default 64 MiB, or a quarter of MaxBytes if that
	// is less; negative: nothing, so that a crash of the program loses nothing.
	// A Durable buffer has no use for it.
	MemoryBytes int64
	// Mode says what a record in the buffer survives. Default Durable.
	Mode Mode
	// Name is the key of the buffer's source in the pipeline's configuration.
	// Default "buffered".
	Name string
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
	}
	if c.Dir == "" {
		bad("Dir", "a directory is needed")
	}
	if c.MaxBytes != 0 && c.MaxBytes < minMaxBytes {
		bad("MaxBytes", "%d is less than %d", c.MaxBytes, minMaxBytes)
	}
	if c.Mode > Volatile {
		bad("Mode", "unknown mode %d", c.Mode)
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = min(defaultMemory, c.MaxBytes/4)
	}
	if c.Name == "" {
		c.Name = "buffered"
	}
	return c
}

// segmentBytes is the size at which the next segment is begun: small enough
// that a record which waits long does not hold much of the quota.
func (c Config) segmentBytes() int64 { return min(maxSegment, c.MaxBytes/16) }

// memoryBytes is how much of the buffer may be in memory.
func (c Config) memoryBytes() int64 {
	if c.Mode != Volatile {
		return 0
	}
	return max(0, c.MemoryBytes)
}
