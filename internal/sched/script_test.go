package sched

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts print into testdata")

// A script is a list of commands, each followed by what it prints, indented.
// Lines that begin with # and empty lines are for the reader.
//
//	limits records=5 linger=10ms        a new scheduler; other limits are off
//	add key=a n=3 size=100 group=1      adds a1, a2, a3 to lane a; also cost=,
//	                                    source=, optional
//	next                                prints a batch, by lane
//	land 1                              batch 1 is stored
//	land 1: a retry, b2 after=20ms      some entries or lanes are not
//	land 1: whole unavailable           all of it failed
//	revert 1                            nothing is known of it
//	due, advance 10ms, run 1s           run lands each batch as stored at once, and
//	                                    prints how many there were
//	hold, release, drain, abandon       are those of the scheduler
//	relane a=x b=x                      renames lanes; then limits as for limits
//	stats
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := newScript(t).run(string(text))
			if *rewrite {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

type script struct {
	t       *testing.T
	s       *Scheduler[string]
	now     time.Duration
	limits  Limits
	added   map[string]int // entries by lane
	lanes   []string       // names by id
	flights map[int]*Batch[string]
	batches int
	line    string
	out     strings.Builder
}

func newScript(t *testing.T) *script {
	return &script{t: t, added: make(map[string]int), flights: make(map[int]*Batch[string])}
}

func (c *script) run(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		c.out.WriteString(line)
		c.line = strings.TrimSpace(line)
		if c.line == "" || c.line[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(c.line, " ")
		c.command(name, rest)
		require.NoError(c.t, c.s.check(c.now), c.line)
	}
	return c.out.String()
}

func (c *script) print(format string, args ...any) {
	fmt.Fprintf(&c.out, "  "+format+"\n", args...)
}

func (c *script) command(name, rest string) {
	args := c.parse(rest)
	switch name {
	case "limits":
		c.setLimits(args)
		c.s = New[string](c.limits)
	case "add":
		c.add(args)
	case "next":
		c.next()
	case "land":
		c.land(rest)
	case "revert":
		c.s.Revert(c.flight(rest), c.now)
	case "advance":
		c.now += c.duration(rest)
		c.print("%v", c.now)
	case "due":
		c.print("%s", c.due())
	case "run":
		c.runFor(c.duration(rest))
	case "hold":
		c.s.Hold()
	case "release":
		c.s.Release()
	case "drain":
		c.s.Drain(c.now)
	case "abandon":
		var left []string
		c.s.Abandon(func(e *Entry[string]) { left = append(left, e.Value) })
		c.print("%s", strings.Join(left, " "))
	case "relane":
		c.relane(args)
	case "stats":
		all, flying := c.s.Len()
		oldest, _ := c.s.Oldest()
		c.print("%d entries, %d fly; cost %d; %d lanes; oldest from %v; %d failures, %d parked",
			all, flying, c.s.Cost(), c.s.Lanes(), oldest, c.s.Failures(), c.s.Parked())
	default:
		require.FailNow(c.t, "unknown command", c.line)
	}
}

func (c *script) parse(text string) map[string]string {
	args := make(map[string]string)
	for _, arg := range strings.Fields(text) {
		name, value, _ := strings.Cut(arg, "=")
		args[name] = value
	}
	return args
}

func (c *script) int(text string) int {
	n, err := strconv.Atoi(text)
	require.NoError(c.t, err, c.line)
	return n
}

func (c *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	require.NoError(c.t, err, c.line)
	return d
}

// setLimits sets those that args name; the others are the default.
func (c *script) setLimits(args map[string]string) {
	c.limits = Limits{MaxRecords: 1000, MaxCost: 1 << 20, Flights: 10, Backoff: backoff, Resume: time.Second}
	for name, value := range args {
		switch name {
		case "policy":
			c.limits.OnFull = map[string]Policy{"block": Block, "oldest": DropOldest, "newest": DropNewest}[value]
		case "linger":
			c.limits.Linger = c.duration(value)
		case "ttl":
			c.limits.TTL = c.duration(value)
		case "resume":
			c.limits.Resume = c.duration(value)
		default:
			field := map[string]*int{
				"max": &c.limits.MaxRecords, "maxcost": &c.limits.MaxCost, "sources": &c.limits.Sources,
				"records": &c.limits.Records, "bytes": &c.limits.Bytes, "lanes": &c.limits.Lanes, "overhead": &c.limits.Overhead,
				"lanerecords": &c.limits.LaneRecords, "lanebytes": &c.limits.LaneBytes, "fill": &c.limits.LaneFill,
				"flights": &c.limits.Flights, "flightbytes": &c.limits.FlightBytes,
			}[name]
			require.NotNil(c.t, field, c.line)
			*field = c.int(value)
		}
	}
}

// laneID numbers the lanes as they come.
func (c *script) laneID(name string) uint64 {
	i := slices.Index(c.lanes, name)
	if i < 0 {
		i = len(c.lanes)
		c.lanes = append(c.lanes, name)
	}
	return uint64(i)
}

func (c *script) add(args map[string]string) {
	key, n, size, group := args["key"], 1, 1, 0
	var e Entry[string]
	for name, value := range args {
		switch name {
		case "key":
		case "n":
			n = c.int(value)
		case "size":
			size = c.int(value)
		case "cost":
			e.Cost = int32(c.int(value))
		case "group":
			group = c.int(value)
		case "source":
			e.Source = uint16(c.int(value))
		case "optional":
			e.Optional = true
		default:
			require.FailNow(c.t, "unknown argument", c.line)
		}
	}
	e.Size = int32(size)
	if e.Cost == 0 {
		e.Cost = e.Size
	}
	for range n {
		c.added[key]++
		one := e
		one.Value = key + strconv.Itoa(c.added[key])
		for {
			a, victim := c.s.Add(&one, c.laneID(key), uint64(group), c.now)
			if a == Full {
				c.print("%s: full", one.Value)
			}
			if a != Dropped {
				break
			}
			c.print("%s: drops %s", one.Value, victim.Value)
			if victim == &one {
				break
			}
		}
	}
}

func (c *script) due() string {
	switch at, ok := c.s.Due(c.now); {
	case !ok:
		return "due: never"
	case at == c.now:
		return "due: now"
	default:
		return fmt.Sprint("due: ", at)
	}
}

func (c *script) next() {
	b := new(Batch[string])
	if !c.s.Next(b, c.now) {
		c.print("none; %s", c.due())
		return
	}
	c.batches++
	c.flights[c.batches] = b
	var lanes []string
	for first, end := range b.Lanes {
		var entries []string
		for _, e := range b.Entries[first:end] {
			name := e.Value
			if e.Expired {
				name += "(expired)"
			}
			entries = append(entries, name)
		}
		lanes = append(lanes, strings.Join(entries, " "))
	}
	pass := ""
	if b.Pass {
		pass = " pass on"
	}
	c.print("batch %d:%s %s (%d bytes)", c.batches, pass, strings.Join(lanes, " | "), b.Bytes)
}

func (c *script) flight(number string) *Batch[string] {
	n := c.int(number)
	b := c.flights[n]
	require.NotNil(c.t, b, c.line)
	delete(c.flights, n)
	return b
}

var fates = map[string]Fate{
	"stored": Stored, "ended": Ended, "retry": Retry, "throttled": Throttled, "unavailable": Unavailable, "refused": Refused,
}

func (c *script) verdict(text string) Verdict {
	if after, ok := strings.CutPrefix(text, "after="); ok {
		return Verdict{Fate: Throttled, After: c.duration(after)}
	}
	fate, ok := fates[text]
	require.True(c.t, ok, c.line)
	return Verdict{Fate: fate}
}

func (c *script) land(rest string) {
	number, list, some := strings.Cut(rest, ":")
	b := c.flight(number)
	list = strings.TrimSpace(list)
	if fate, whole := strings.CutPrefix(list, "whole "); whole {
		b.Whole = true
		for range b.Entries {
			b.Verdicts = append(b.Verdicts, c.verdict(fate))
		}
	} else if some {
		b.Verdicts = make([]Verdict, len(b.Entries))
		for item := range strings.SplitSeq(list, ",") {
			words := strings.Fields(item)
			found := false
			for i, e := range b.Entries {
				if e.Value == words[0] || c.lanes[b.Lane(i)] == words[0] {
					b.Verdicts[i] = c.verdict(words[1])
					found = true
				}
			}
			require.True(c.t, found, c.line)
		}
	}
	c.s.Land(b, c.now)
}

// runFor stores each batch as soon as it is due.
func (c *script) runFor(d time.Duration) {
	end := c.now + d
	batches, entries := 0, 0
	for {
		at, ok := c.s.Due(c.now)
		if !ok || at > end {
			break
		}
		c.now = at
		if b := new(Batch[string]); c.s.Next(b, c.now) {
			batches++
			entries += len(b.Entries)
			c.s.Land(b, c.now)
		}
	}
	c.now = end
	c.print("%d batches, %d entries; now %v", batches, entries, c.now)
}

func (c *script) relane(args map[string]string) {
	names := maps.Clone(args)
	maps.DeleteFunc(args, func(name, _ string) bool { return slices.Contains(c.lanes, name) })
	c.setLimits(args)
	c.s.Relane(c.limits, func(e *Entry[string]) (lane, group uint64) {
		name := strings.TrimRight(e.Value, "0123456789")
		if to := names[name]; to != "" {
			name = to
		}
		return c.laneID(name), 0
	}, c.now)
}
