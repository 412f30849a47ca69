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

// Size is a number of bytes as people write it: "25KB", "256MB", "1GB", with a
// kilobyte of 1024 bytes as in EMQX, or a plain number.
type Size int

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	t := strings.ToUpper(strings.TrimSpace(string(text)))
	unit := 1
	for i, suffix := range []string{"KB", "MB", "GB"} {
		if rest, ok := strings.CutSuffix(t, suffix); ok {
			t, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	n, err := strconv.Atoi(strings.TrimSuffix(t, "B"))
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size such as 25KB, 256MB or a number of bytes", text)
	}
	*s = Size(n * unit)
	return nil
}

// Count is a whole number that is not negative.
type Count int

// UnmarshalText reads a count.
func (c *Count) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 32)
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
