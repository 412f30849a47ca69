package sched

import "time"

// Policy says what happens to an entry for which there is no room.
type Policy uint8

// The policies, by which entry gives way: none, the oldest, the new one.
const (
	Block Policy = iota
	DropOldest
	DropNewest
)

// Limits bound what a scheduler holds and what it hands out. A zero field of a
// batch means no limit; MaxRecords, MaxCost, Flights and Backoff must be set.
type Limits struct {
	// MaxRecords and MaxCost bound the entries, those in batches included. An
	// entry that finds nothing before it is always let in.
	MaxRecords, MaxCost int
	OnFull              Policy
	// Sources is the number of sources that share the queue. With more than
	// one, a source may hold at most as much as is still free, so that none
	// takes all of it.
	Sources int
	// TTL is how long an entry may wait before it expires; 0: for ever.
	TTL time.Duration

	// Records, Bytes and Lanes bound a batch. Overhead is what an entry
	// costs in Bytes beside its size.
	Records, Bytes, Lanes, Overhead int
	// LaneRecords and LaneBytes bound what a batch holds of a lane.
	LaneRecords, LaneBytes int
	// LaneFill makes a lane linger until it holds as many bytes.
	LaneFill int
	// Linger bounds how long a lane waits to fill or, without LaneFill, how
	// long a batch waits for more lanes while another one flies.
	Linger time.Duration
	// Flights and FlightBytes bound the batches that fly at once.
	Flights, FlightBytes int

	// Backoff returns how long to wait after so many failures in a row.
	Backoff func(failures int) time.Duration
	// Resume is how long a group, or everything, waits after Unavailable.
	Resume time.Duration
}

// Scheduler decides which entries are written when. Make one with New. It is not
// safe for concurrent use. Times are those of any clock that only goes forward.
type Scheduler[T any] struct {
	limits Limits

	lanes     laneTable[T]
	freeLanes *lane[T]
	groups    map[uint64]*group[T]

	ring      ring[T]   // groups with a lane that may fly
	timers    timers[T] // lanes after a failure, groups that rest or are parked
	lingering timers[T] // lanes that are not full enough

	// The entries that do not fly: those that have never flown, and those that
	// came back. The head of returned, else of fresh, has waited longest.
	fresh, returned list[T]
	hog             *lane[T] // held the most when it last grew; nil if unknown
	shares          []share  // by source
	held            share    // by all

	ready      int // records that ready lanes offer to a batch
	readySince time.Duration
	flights    []*Batch[T]
	flying     share // of the batches
	trouble    trouble
	pace       pace
	mode       mode
}

// share is how much of a queue something takes.
type share struct{ records, cost int }

// trouble is what holds a scheduler back.
type trouble struct {
	failures int           // batches in a row that failed as a whole
	until    time.Duration // no batch before, after such a failure
	parked   int           // groups
	stuck    bool          // Next found nothing, though lanes are ready
}

// mode is what the caller has asked for.
type mode struct{ hold, drain bool }

// New returns an empty scheduler.
func New[T any](limits Limits) *Scheduler[T] {
	s := &Scheduler[T]{limits: limits, groups: make(map[uint64]*group[T])}
	s.shares = make([]share, max(limits.Sources, 1))
	return s
}

// Admission is what became of an entry.
type Admission uint8

const (
	// Added means that the entry is in a lane.
	Added Admission = iota
	// Full means that there is no room. Ask again when some batch has landed.
	Full
	// Dropped means that the victim, which may be the entry itself, has left;
	// unless it is the entry itself, ask again.
	Dropped
)

// Add puts an entry at the end of a lane, which joins the group: at once if the
// lane is new, else after its next flight, so that lanes which never end follow
// when a bottleneck is split or becomes known.
func (s *Scheduler[T]) Add(e *Entry[T], laneID, groupID uint64, now time.Duration) (a Admission, victim *Entry[T]) {
	if !s.hasRoom(e) {
		policy := s.limits.OnFull
		if e.Optional && policy == Block {
			policy = DropNewest
		}
		return s.full(e, laneID, policy)
	}
	e.added, e.Expired, e.passing = now, false, false
	s.held.add(e.Cost)
	s.shares[e.Source].add(e.Cost)
	s.fresh.push(e)
	l := s.lanes.get(laneID)
	if l == nil {
		l = s.newLane(laneID, groupID)
	}
	l.home = groupID
	s.push(l, e)
	switch l.state {
	case laneNew:
		s.schedule(l, now)
	case laneLingering:
		if s.filled(l) {
			s.lingering.remove(&l.timed)
			s.makeReady(l, now)
		}
	case laneReady:
		if s.limits.LaneRecords == 0 || l.records <= s.limits.LaneRecords {
			s.ready++
		}
	}
	return Added, nil
}

func (sh *share) add(cost int32) { sh.records++; sh.cost += int(cost) }
func (sh *share) sub(cost int32) { sh.records--; sh.cost -= int(cost) }

// hasRoom reports whether there is room for e.
func (s *Scheduler[T]) hasRoom(e *Entry[T]) bool {
	if s.held.records == 0 {
		return true
	}
	records, cost := s.limits.MaxRecords-s.held.records, s.limits.MaxCost-s.held.cost
	if records <= 0 || cost < int(e.Cost) {
		return false
	}
	if len(s.shares) == 1 || s.limits.OnFull != Block {
		return true
	}
	own := s.shares[e.Source]
	return own.records == 0 || own.records < records && own.cost+int(e.Cost) <= cost
}

// full makes room for e where the policy is to drop.
//
// A lane that holds more than half of all records gives way first, so that one
// busy key does not push out all others.
func (s *Scheduler[T]) full(e *Entry[T], laneID uint64, policy Policy) (Admission, *Entry[T]) {
	var victim *Entry[T]
	if h := s.hog; h != nil && 2*h.records > s.held.records && (policy == DropOldest || h.id != laneID) {
		victim = h.waiting()
	}
	switch {
	case policy == Block:
		return Full, nil
	case victim != nil && (victim.Optional || s.limits.OnFull != Block):
	case policy == DropNewest:
		return Dropped, e
	default:
		if victim = s.first(); victim == nil {
			return Full, nil // everything flies
		}
	}
	s.unlink(victim)
	return Dropped, victim
}

// first returns the entry that is next to be given up: the first that does not
// fly of the lane that has waited longest. It is nil if all fly.
func (s *Scheduler[T]) first() *Entry[T] {
	switch {
	case s.returned.oldest != nil:
		return s.returned.oldest.lane.waiting()
	case s.fresh.oldest != nil:
		return s.fresh.oldest.lane.waiting()
	default:
		return nil
	}
}

// unlink takes an entry, the oldest of its lane that does not fly, out of all.
func (s *Scheduler[T]) unlink(e *Entry[T]) {
	l := e.lane
	offered := s.offer(l)
	l.dropWaiting()
	l.bytes -= s.size(e)
	e.listed.remove(e)
	s.forget(e)
	if l.state == laneReady {
		s.ready -= offered - s.offer(l)
	}
	if l.records > 0 {
		return
	}
	switch l.state {
	case laneLingering:
		s.lingering.remove(&l.timed)
	case laneDelayed:
		s.timers.remove(&l.timed)
	case laneReady:
		l.group.removeReady(l)
	}
	s.freeLane(l)
}

// forget takes an entry out of the bounds.
func (s *Scheduler[T]) forget(e *Entry[T]) {
	s.held.sub(e.Cost)
	s.shares[e.Source].sub(e.Cost)
	e.lane = nil
}

func (s *Scheduler[T]) push(l *lane[T], e *Entry[T]) {
	l.push(e)
	l.bytes += s.size(e)
	if s.hog == nil || l.records > s.hog.records {
		s.hog = l
	}
}

func (s *Scheduler[T]) size(e *Entry[T]) int { return int(e.Size) + s.limits.Overhead }

// filled reports whether a lane need not linger.
func (s *Scheduler[T]) filled(l *lane[T]) bool {
	return l.bytes >= s.limits.LaneFill ||
		s.limits.LaneRecords > 0 && l.records >= s.limits.LaneRecords
}

// offer is how many records of a ready lane the next batch may take.
func (s *Scheduler[T]) offer(l *lane[T]) int {
	if s.limits.LaneRecords > 0 {
		return min(l.records, s.limits.LaneRecords)
	}
	return l.records
}

func (s *Scheduler[T]) newLane(id, groupID uint64) *lane[T] {
	l := s.freeLanes
	if l == nil {
		l = new(lane[T])
		l.timed.lane = l
	} else {
		s.freeLanes, l.next = l.next, nil
	}
	l.id, l.home = id, groupID
	s.join(l)
	s.lanes.add(l)
	return l
}

// join makes a lane part of the group where it is at home.
func (s *Scheduler[T]) join(l *lane[T]) {
	g := s.groups[l.home]
	if g == nil {
		g = &group[T]{id: l.home}
		g.timed.group = g
		s.groups[g.id] = g
	}
	g.lanes++
	l.group = g
}

// leave takes a lane out of its group.
func (s *Scheduler[T]) leave(g *group[T]) {
	g.lanes--
	if g.lanes == 0 {
		s.available(g)
		if len(s.groups) > manyGroups && g.window.Rate() == 0 && !g.pending() && !g.queued {
			delete(s.groups, g.id)
		}
	}
}

// manyGroups is how many groups are kept after their last lane, because a lane
// often comes back at once. A shard is a group, so this is more than any stream
// has.
const manyGroups = 4096

func (s *Scheduler[T]) freeLane(l *lane[T]) {
	s.leave(l.group)
	s.lanes.remove(l.id)
	if s.hog == l {
		s.hog = nil
	}
	*l = lane[T]{next: s.freeLanes}
	l.timed.lane = l
	s.freeLanes = l
}

// schedule puts a lane that is in no list where it belongs.
func (s *Scheduler[T]) schedule(l *lane[T], now time.Duration) {
	switch {
	case l.records == 0:
		s.freeLane(l)
	case s.limits.LaneFill > 0 && !s.mode.drain && !s.filled(l) && !l.head.passing:
		// Records that have waited long already, behind a batch of their lane,
		// still wait a little: for others to share a batch with.
		l.state = laneLingering
		s.lingering.add(&l.timed, max(l.head.added+s.limits.Linger, now+s.company()))
	default:
		s.makeReady(l, now)
	}
}

// company is the part of Linger for which lanes wait for each other. A batch
// leaves when a lane has lingered for its time, and takes along each lane whose
// time is over within company. So lanes that linger cause at most one batch per
// company, however many they are.
func (s *Scheduler[T]) company() time.Duration { return s.limits.Linger / 4 }

func (s *Scheduler[T]) makeReady(l *lane[T], now time.Duration) {
	if l.home != l.group.id {
		s.leave(l.group)
		s.join(l)
	}
	l.state = laneReady
	if s.ready == 0 {
		s.readySince = now
	}
	s.ready += s.offer(l)
	l.group.pushReady(l)
	s.activate(l.group, now)
}

// activate puts a group that may send into the ring.
func (s *Scheduler[T]) activate(g *group[T], now time.Duration) {
	if !g.queued && s.open(g, now) {
		s.ring.push(g)
		s.trouble.stuck = false
	}
}

// open reports whether a lane of g may fly. A group that only its window holds
// back rests on the timers until that lets it.
func (s *Scheduler[T]) open(g *group[T], now time.Duration) bool {
	if g.head == nil || g.pending() || g.parked && g.flying > 0 {
		return false
	}
	wait := g.window.Wait(now)
	if wait <= 0 || s.passes(g.head.head, now) { // what is not written needs no leave
		return true
	}
	s.timers.add(&g.timed, now+wait)
	return false
}

// Len returns the number of entries, and of those in batches.
func (s *Scheduler[T]) Len() (all, flying int) { return s.held.records, s.flying.records }

// Cost returns the memory of all entries.
func (s *Scheduler[T]) Cost() int { return s.held.cost }

// Lanes returns the number of lanes.
func (s *Scheduler[T]) Lanes() int { return s.lanes.len }

// Failures returns how many batches in a row have failed as a whole.
func (s *Scheduler[T]) Failures() int { return s.trouble.failures }

// Parked returns the number of groups that are unavailable.
func (s *Scheduler[T]) Parked() int { return s.trouble.parked }

// Oldest returns when the entry was added that has been here longest; false if
// there is none. Among entries that came back from a batch it is the first.
func (s *Scheduler[T]) Oldest() (added time.Duration, ok bool) {
	see := func(at time.Duration) {
		if !ok || at < added {
			added, ok = at, true
		}
	}
	for _, e := range []*Entry[T]{s.fresh.oldest, s.returned.oldest} {
		if e != nil {
			see(e.added)
		}
	}
	for _, b := range s.flights {
		see(b.oldest)
	}
	return added, ok
}
