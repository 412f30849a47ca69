package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time as people write it: "5s", "1m30s", "100ms", "7d".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	days, rest, ok := strings.Cut(s, "d")
	n := 0
	if ok {
		var err error
		if n, err = strconv.Atoi(days); err != nil || n > 100_000 {
			return fmt.Errorf("%q is not a time such as 5s, 1m30s, 100ms or 7d", s)
		}
		if rest == "" {
			rest = "0s"
		}
	} else {
		rest = s
	}
	v, err := time.ParseDuration(rest)
	if err != nil {
		return fmt.Errorf("%q is not a time such as 5s, 1m30s, 100ms or 7d", s)
	}
	if v < 0 || n < 0 {
		return fmt.Errorf("%q is negative", s)
	}
	whole := time.Duration(n) * 24 * time.Hour
	if v > math.MaxInt64-whole {
		return fmt.Errorf("%q is longer than 292 years", s)
	}
	*d = Duration(v + whole)
	return nil
}

// orNegative returns 0, which means the default, if d is not given, and -1, which
// means none, if it is zero.
func orNegative(d *Duration) time.Duration {
	switch {
	case d == nil:
		return 0
	case *d == 0:
		return -1
	}
	return time.Duration(*d)
}

// TTL is a Duration, or "infinity", which is 0.
type TTL time.Duration

// UnmarshalText reads a time to live.
func (t *TTL) UnmarshalText(text []byte) error {
	if string(text) == "infinity" {
		*t = 0
		return nil
	}
	if err := (*Duration)(t).UnmarshalText(text); err != nil {
		return err
	}
	if *t == 0 {
		return errors.New("nothing lives for no time; write infinity for no limit")
	}
	return nil
}

// Size is a number of bytes of memory as people write it: "25KB", "256MB", "1GB",
// with a kilobyte of 1024 bytes as in EMQX, or a plain number.
type Size int

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := bytesOf(text, math.MaxInt)
	if err == nil {
		*s = Size(n)
	}
	return err
}

// DiskSize is a number of bytes on a disk, written as a Size. A disk has room for
// more than a 32-bit machine can count in an int.
type DiskSize int64

// UnmarshalText reads a size.
func (s *DiskSize) UnmarshalText(text []byte) error {
	n, err := bytesOf(text, math.MaxInt64)
	if err == nil {
		*s = DiskSize(n)
	}
	return err
}

// bytesOf reads a number of bytes that is not above most.
func bytesOf(text []byte, most int64) (int64, error) {
	t := strings.ToUpper(strings.TrimSpace(string(text)))
	unit := int64(1)
	for i, suffix := range []string{"KB", "MB", "GB"} {
		if rest, ok := strings.CutSuffix(t, suffix); ok {
			t, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(t, "B"), 10, 64)
	switch {
	case n < 0, err != nil && !errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%q is not a size such as 25KB, 256MB or a number of bytes", text)
	case err != nil || n > most/unit:
		return 0, fmt.Errorf("%q is not a size that this machine can count, which is up to %d bytes", text, most)
	}
	return n * unit, nil
}

// Count is a whole number that is not negative.
type Count int

// UnmarshalText reads a count: below 2^32, or below 2^31 on 32-bit machines.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, min(32, strconv.IntSize-1))
	if err != nil {
		return fmt.Errorf("%q is not a whole number from 0 on", text)
	}
	*c = Count(n)
	return nil
}

// Texts is one text or a list of them.
type Texts []string

// choice reads one of the names into v.
func choice[T any](v *T, text []byte, names map[string]T) error {
	if c, ok := names[string(text)]; ok {
		*v = c
		return nil
	}
	return fmt.Errorf("%q is none of %s", text, strings.Join(sortedKeys(names), ", "))
}
