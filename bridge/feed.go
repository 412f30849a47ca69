package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// A feed reads one source. Its workers take turns to read a batch, evaluate the
// rules side by side, and queue the records in the order in which the batches
// were read: so rules run in parallel and order is that of receipt.
type feed struct {
	name   string
	number uint16
	names  []string // that rules know it by
	source Source
	env    *environment

	// reading is held by the caller of Read, and guards what follows. It is a
	// channel rather than a mutex because it is held while nothing happens,
	// which testing/synctest understands of channels only.
	reading chan struct{}
	seq     uint64 // of the last message
	empty   int    // reads in a row that gave nothing
	ended   bool
	err     error // why it ended

	inRead atomic.Bool

	turn    sync.Mutex // guards what follows
	passed  sync.Cond
	tickets uint64 // of the next batch to be read
	next    uint64 // the batch whose turn it is
	over    bool   // nobody gets a turn any more

	received, bytes, unmatched atomic.Uint64

	healthMu sync.Mutex
	health   Health
	held     string // why it can hand out no more
}

func newFeed(env *environment, number int, name string, s Source) (*feed, error) {
	f := &feed{
		name: name, number: uint16(number), source: s, env: env,
		reading: make(chan struct{}, 1), health: Health{State: Connecting, Since: time.Now()},
	}
	f.passed.L = &f.turn
	f.names = []string{"$sources/" + name, "$bridges/" + name}
	if t, ok := s.(Typer); ok {
		var kind string
		if err := env.door.guard("source", name, "Type", func() { kind = t.Type() }); err != nil {
			return nil, err
		}
		f.names = append(f.names, "$sources/"+kind+":"+name, "$bridges/"+kind+":"+name)
	}
	return f, nil
}

// read fills msgs with the next batch. It returns the batch's ticket and the
// table that was in service when it was read; ok is false when there will be no
// more. With n == 0 there is no ticket.
func (f *feed) read(ctx context.Context, p *Pipeline, msgs []Message) (n int, ticket uint64, t *table, ok bool) {
	select {
	case f.reading <- struct{}{}:
	case <-ctx.Done():
		return 0, 0, nil, false
	}
	defer func() { <-f.reading }()
	if f.ended {
		return 0, 0, nil, false
	}
	n, err := f.call(ctx, msgs)
	for i := range msgs[:n] {
		f.seq++
		msgs[i].Seq, msgs[i].Source = f.seq, f.name
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF), ctx.Err() != nil:
		f.ended = true
	default:
		f.ended, f.err = true, fmt.Errorf("source %q: %w", f.name, err)
	}
	if n == 0 {
		if !f.ended {
			f.rest(ctx)
		}
		return 0, 0, nil, !f.ended
	}
	f.empty = 0
	// The ticket and the table are taken together: a change that has replaced the table
	// knows that every batch with a later ticket has the new one.
	f.turn.Lock()
	defer f.turn.Unlock()
	ticket = f.tickets
	f.tickets++
	return n, ticket, p.table.Load(), !f.ended
}

// call calls Read.
func (f *feed) call(ctx context.Context, msgs []Message) (n int, err error) {
	d := &f.env.door
	f.inRead.Store(true)
	defer f.inRead.Store(false)
	if p := d.guard("source", f.name, "Read", func() { n, err = f.source.Read(ctx, msgs) }); p != nil {
		return 0, p
	}
	if n < 0 || n > len(msgs) {
		return 0, fmt.Errorf("read returned %d messages for %d places", n, len(msgs))
	}
	_, err = d.readable("source", f.name, "Read", err)
	return n, err
}

// rest makes a source that returns nothing, against its contract, wait.
func (f *feed) rest(ctx context.Context) {
	f.empty++
	if f.empty > 1 {
		f.env.warn("source", f.name, "source returns no messages and no error; Read must wait for one", errEmptyRead, 1)
	}
	t := time.NewTimer(min(time.Millisecond<<min(f.empty, 10), 100*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

var errEmptyRead = errors.New("read returned 0, nil")

// await returns when it is the turn of the batch with the ticket; false if it will
// never be.
func (f *feed) await(ticket uint64) bool {
	f.turn.Lock()
	defer f.turn.Unlock()
	for f.next != ticket && !f.over {
		f.passed.Wait()
	}
	return !f.over
}

func (f *feed) pass() {
	f.turn.Lock()
	f.next++
	f.turn.Unlock()
	f.passed.Broadcast()
}

// end lets nobody wait for a turn any more. It reports whether batches have been
// read and not queued: those who have them abandon them.
func (f *feed) end() (left bool) {
	f.turn.Lock()
	defer f.turn.Unlock()
	f.over = true
	f.passed.Broadcast()
	return f.next < f.tickets
}

// settle returns when all batches that were read so far have been queued.
func (f *feed) settle(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		f.turn.Lock()
		defer f.turn.Unlock()
		f.passed.Broadcast()
	})
	defer stop()
	f.turn.Lock()
	defer f.turn.Unlock()
	for read := f.tickets; f.next < read && !f.over; f.passed.Wait() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// busy reports whether a batch has been read and not queued.
func (f *feed) busy() bool {
	f.turn.Lock()
	defer f.turn.Unlock()
	return f.next < f.tickets
}

// failed returns why the source has ended, nil if it has not, or is still in a
// Read.
func (f *feed) failed() error {
	select {
	case f.reading <- struct{}{}:
		defer func() { <-f.reading }()
		return f.err
	default:
		return nil
	}
}

// setHealth changes the source's health and reports it.
func (f *feed) setHealth(s State, reason string) {
	f.healthMu.Lock()
	changed := f.health.set(s, reason)
	h := f.health
	f.healthMu.Unlock()
	if changed {
		f.env.healthChanged("source", f.name, h)
	}
}

func (f *feed) snapshot() SourceStats {
	own := f.env.counts("source", f.name, f.source)
	f.healthMu.Lock()
	defer f.healthMu.Unlock()
	return SourceStats{f.received.Load(), f.bytes.Load(), f.unmatched.Load(), own, f.health}
}
