package kinesis

import (
	"context"
	"errors"
	"regexp"
	"strconv"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// isolation is the search for the entries that make the service refuse a request.
type isolation struct {
	deep     int // calls of isolate that are under way
	stored   int // entries since the first of them
	refusals int // in a row, without an entry stored in between
}

func (i *isolation) accepted(entries int) {
	i.stored += entries
	i.refusals = 0
}

// isolate handles a request that was refused as a whole, for sure or perhaps
// because of what is in it: nothing was stored. It finds the entries to blame and
// sends the others. The error says why it makes no sense to send more.
func (p *put) isolate(ctx context.Context, a, b int, e *Error, c awsconn.Class) error {
	i := &p.isolation
	if i.deep == 0 {
		i.stored = 0
	}
	i.deep++
	defer func() { i.deep-- }()
	i.refusals++
	if c == awsconn.TooLarge {
		p.write.sink.room.refused(p.wire(a, b))
	}
	if b-a == 1 {
		p.reject(ctx, a, e, c)
		return nil
	}
	if c == awsconn.Suspect && i.refusals > awsconn.MaxRefusals {
		p.stream.counters.fail(c, "", b-a)
		p.fail(a, b, e)
		return e
	}
	next, err := p.rejectNamed(ctx, a, b, e, c)
	switch {
	case next == b:
		return nil
	case err != nil:
		p.fail(next, b, err)
		return err
	case next > a:
		return p.attempt(ctx, next, b)
	}
	// The message does not say: each half will show.
	stored, mid := i.stored, (a+b)/2
	if err := p.attempt(ctx, a, mid); err != nil {
		p.fail(mid, b, err)
		return err
	}
	err = p.attempt(ctx, mid, b)
	if c == awsconn.Rejected && i.stored == stored+b-a {
		p.write.sink.room.refused(p.wire(a, b)) // there was nothing to blame but the size
	}
	return err
}

// member finds the entries that a validation message complains about: "Value at
// 'records.3.member.data' failed to satisfy constraint …", counted from 1.
var member = regexp.MustCompile(`records\.(\d+)\.member`)

// rejectNamed deals with the entries that the message names, and sends those in
// between. It returns the first entry that is not dealt with, and why it makes no
// sense to send more.
func (p *put) rejectNamed(ctx context.Context, a, b int, e *Error, c awsconn.Class) (next int, err error) {
	next = a
	for _, m := range member.FindAllStringSubmatch(e.Message, -1) {
		n, notNumber := strconv.Atoi(m[1])
		bad := a + n - 1
		if notNumber != nil || bad < next || bad >= b {
			continue
		}
		if next < bad {
			if err := p.attempt(ctx, next, bad); err != nil {
				return bad, err
			}
		}
		p.reject(ctx, bad, e, c)
		next = bad + 1
	}
	return next, nil
}

// reject deals with an entry that was refused by itself: an aggregate is taken
// apart to find the record to blame.
func (p *put) reject(ctx context.Context, i int, e *Error, c awsconn.Class) {
	w, from, to := p.write, p.entries[i].from, p.entries[i].to
	if to-from == 1 {
		r := &w.records[from]
		switch {
		case c == awsconn.Suspect && p.stream.blame.IsRecord(r.Key, r.Data, r.Attempt):
			c = awsconn.Rejected
		case c == awsconn.TooLarge:
			// Not given up: what is on the way can be changed.
			waits := *e // e may be the error of others, too
			e = &waits
			e.Hint += "; the record waits until that takes it, or MaxRecordBytes says to refuse it"
		}
		p.stream.counters.fail(c, "", 1)
		p.failEntry(i, mark(c, e))
		return
	}
	mid := (from + to) / 2
	for _, half := range [][2]int{{from, mid}, {mid, to}} {
		k := packer{write: w} // that of the write may be busy with another stream
		apart := &put{write: w, stream: p.stream, maxRecord: p.maxRecord, isolation: p.isolation}
		k.addLane(apart, half[0], half[1])
		for n := range apart.entries {
			_ = apart.attempt(ctx, n, n+1)
		}
		p.isolation = apart.isolation
		for _, err := range w.errs[half[0]:half[1]] {
			if err != nil && !errors.Is(err, bridge.ErrPermanent) {
				p.failRecords(half[1], to, err) // they must not overtake
				return
			}
		}
	}
}
