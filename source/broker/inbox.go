package broker

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/sluiceio/sluice/bridge"
)

// inbox hands messages from the clients' goroutines to Read. Each publisher has a
// list of its own, and Read takes one message of each in turn, so that nobody
// waits behind the flood of another.
//
// A push waits in two cases: while its publisher has used up its window of
// messages that are not settled, and while the inbox is full and holds something
// of its publisher already. A publisher that has nothing there may always add one
// message: its goroutine would hold it in memory anyway.
type inbox struct {
	maxLen, maxBytes       int // of the inbox
	windowLen, windowBytes int // of each publisher

	mu         sync.Mutex
	publishers map[identity]*publisher
	own        publisher // of messages of the process itself, which do not wait
	first      *publisher
	last       *publisher   // of those that have messages, in the order of their turns
	crowd      []*publisher // with pushes that wait for room, in order
	n, bytes   int
	unsettled  int
	heldBack   int   // pushes that wait
	received   int64 // messages that were added so far
	events     int64
	closed     bool

	ready chan struct{} // capacity 1: there is something, or the inbox is closed
}

// publisher is what the inbox knows of a client that publishes, across its
// connections. It implements bridge.Acker for messages that have nobody else to
// tell of their settlement, with their cost as the number.
type publisher struct {
	in  *inbox
	who identity
	use int // connections and others that push; guarded by inbox.mu like all below

	list     []entry // from head on
	head     int
	next     *publisher // in turn
	inTurn   bool
	inCrowd  bool
	waiting  []*push
	open     int // messages that are not settled
	openCost int
}

type entry struct {
	m    bridge.Message
	cost int
}

// push is a message that waits to be added.
type push struct {
	m    *bridge.Message
	cost int
	done chan struct{} // closed when it was added, or never will be
	ok   bool
}

// Reasons why a message does not get into the inbox.
var (
	errClosing = errors.New("the broker is closing")
	errGone    = errors.New("the connection has ended")
)

func newInbox(maxLen, maxBytes int, l *Limits) *inbox {
	in := &inbox{
		maxLen: maxLen, maxBytes: maxBytes, windowLen: l.PublisherMessages, windowBytes: l.PublisherBytes,
		publishers: make(map[identity]*publisher), ready: make(chan struct{}, 1),
	}
	in.own.in = in
	return in
}

// join returns the publisher of that name, until leave.
func (in *inbox) join(who identity) *publisher {
	in.mu.Lock()
	defer in.mu.Unlock()
	p := in.publishers[who]
	if p == nil {
		p = &publisher{in: in, who: who}
		in.publishers[who] = p
	}
	p.use++
	return p
}

func (in *inbox) leave(p *publisher) {
	in.mu.Lock()
	defer in.mu.Unlock()
	p.use--
	in.forget(p)
}

// forget drops a publisher that nothing is known of any more. in.mu must be held.
func (in *inbox) forget(p *publisher) {
	if p.use == 0 && p.open == 0 && p.head == len(p.list) && p != &in.own {
		delete(in.publishers, p.who)
	}
}

// push adds m, which counts against p's window until p.settle. It waits for room
// as long as gone is open; a nil gone never closes.
func (in *inbox) push(p *publisher, m *bridge.Message, cost int, gone <-chan struct{}) error {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return errClosing
	}
	if len(p.waiting) == 0 && in.fits(p, cost) {
		in.add(p, m, cost)
		in.mu.Unlock()
		return nil
	}
	w := &push{m: m, cost: cost, done: make(chan struct{})}
	p.waiting = append(p.waiting, w)
	in.heldBack++
	in.joinCrowd(p)
	in.mu.Unlock()
	select {
	case <-w.done:
	case <-gone:
		if in.abandon(p, w) {
			return errGone
		}
	}
	if !w.ok {
		return errClosing
	}
	return nil
}

// tryPush adds m if that needs no waiting.
func (in *inbox) tryPush(p *publisher, m *bridge.Message, cost int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || len(p.waiting) > 0 || !in.fits(p, cost) {
		return false
	}
	in.add(p, m, cost)
	return true
}

// What force may use beyond the bounds of the inbox: as much again, and at least
// this.
const (
	reserveLen   = 1000
	reserveBytes = 4 << 20
)

// force adds m without waiting, beyond the inbox's bounds: those that read it may
// be the ones that must not wait. Nobody's window counts it.
func (in *inbox) force(m *bridge.Message, cost int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	full := in.n >= in.maxLen+max(in.maxLen, reserveLen) || in.bytes+cost > in.maxBytes+max(in.maxBytes, reserveBytes)
	if in.closed || full && in.n > 0 {
		return false
	}
	in.append(&in.own, m, cost)
	return true
}

// fits reports whether p may add a message now. in.mu must be held.
func (in *inbox) fits(p *publisher, cost int) bool {
	return in.windowOf(p, cost) && in.roomFor(p, cost)
}

func (in *inbox) windowOf(p *publisher, cost int) bool {
	return p.open == 0 || p.open < in.windowLen && p.openCost+cost <= in.windowBytes
}

func (in *inbox) roomFor(p *publisher, cost int) bool {
	return p.head == len(p.list) || in.n < in.maxLen && in.bytes+cost <= in.maxBytes
}

// add appends m and charges it to p's window. in.mu must be held.
func (in *inbox) add(p *publisher, m *bridge.Message, cost int) {
	p.open++
	p.openCost += cost
	in.unsettled++
	in.append(p, m, cost)
}

func (in *inbox) append(p *publisher, m *bridge.Message, cost int) {
	if p.head > 32 && p.head > len(p.list)/2 { // keep what is moved small against what was taken
		n := copy(p.list, p.list[p.head:])
		clear(p.list[n:])
		p.list, p.head = p.list[:n], 0
	}
	p.list = append(p.list, entry{*m, cost})
	if m.Event == "" {
		in.received++
	} else {
		in.events++
	}
	in.n++
	in.bytes += cost
	if !p.inTurn {
		in.queueUp(p)
	}
	if in.n == 1 {
		in.signal()
	}
}

// queueUp gives p a turn after all others.
func (in *inbox) queueUp(p *publisher) {
	p.inTurn, p.next = true, nil
	if in.last == nil {
		in.first = p
	} else {
		in.last.next = p
	}
	in.last = p
}

// joinCrowd notes that p's first push waits for room, unless it waits for p's
// window.
func (in *inbox) joinCrowd(p *publisher) {
	if !p.inCrowd && len(p.waiting) > 0 && in.windowOf(p, p.waiting[0].cost) {
		p.inCrowd = true
		in.crowd = append(in.crowd, p)
	}
}

// admit adds what waits and fits of p. in.mu must be held.
func (in *inbox) admit(p *publisher) {
	for len(p.waiting) > 0 && in.fits(p, p.waiting[0].cost) {
		w := p.waiting[0]
		p.waiting = slices.Delete(p.waiting, 0, 1)
		in.add(p, w.m, w.cost)
		w.ok = true
		in.heldBack--
		close(w.done)
	}
	in.joinCrowd(p)
}

// admitCrowd lets those in who wait for room, the first first, each a message at
// a time. in.mu must be held.
func (in *inbox) admitCrowd() {
	for len(in.crowd) > 0 {
		p := in.crowd[0]
		if len(p.waiting) > 0 && in.windowOf(p, p.waiting[0].cost) && !in.roomFor(p, p.waiting[0].cost) {
			return
		}
		in.crowd[0] = nil
		in.crowd = in.crowd[1:]
		p.inCrowd = false
		in.admit(p)
	}
	in.crowd = nil
}

// abandon takes a push back and reports whether that was possible.
func (in *inbox) abandon(p *publisher, w *push) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(p.waiting, w)
	if i < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	in.heldBack--
	in.admit(p)
	return true
}

// Done implements bridge.Acker.
func (p *publisher) Done(cost uint64, _ bridge.Outcome, _ error) { p.settle(int(cost)) }

// settle gives a message's place in the window back.
func (p *publisher) settle(cost int) {
	in := p.in
	in.mu.Lock()
	defer in.mu.Unlock()
	p.open--
	p.openCost -= cost
	in.unsettled--
	in.admit(p)
	in.forget(p)
}

// read fills dst with the messages of all publishers in turn, waiting for the
// first. A closed and empty inbox is io.EOF.
func (in *inbox) read(ctx context.Context, dst []bridge.Message) (int, error) {
	for {
		n, closed := in.take(dst)
		switch {
		case n > 0 || len(dst) == 0:
			return n, nil
		case closed:
			return 0, io.EOF
		}
		select {
		case <-in.ready:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (in *inbox) take(dst []bridge.Message) (n int, closed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for n < len(dst) && in.first != nil {
		p := in.first
		if in.first = p.next; in.first == nil {
			in.last = nil
		}
		p.inTurn = false
		e := &p.list[p.head]
		dst[n] = e.m
		n++
		in.n--
		in.bytes -= e.cost
		*e = entry{}
		p.head++
		switch {
		case p.head < len(p.list):
			in.queueUp(p)
		case cap(p.list) > 64: // let the memory of a burst go
			p.list, p.head = nil, 0
		default:
			p.list, p.head = p.list[:0], 0
		}
		if len(p.waiting) > 0 && p.head == len(p.list) {
			in.admit(p)
		}
		in.forget(p)
	}
	in.admitCrowd()
	if in.n > 0 {
		in.signal()
	}
	return n, in.closed
}

func (in *inbox) signal() {
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// close lets no more messages in, wakes everybody up and returns what was left.
func (in *inbox) close() (left int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	for _, p := range in.publishers {
		for _, w := range p.waiting {
			close(w.done)
		}
		p.waiting = nil
	}
	in.crowd, in.heldBack = nil, 0
	in.signal()
	return in.n
}
