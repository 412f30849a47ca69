package sched

import (
	"slices"
	"time"
)

// model is what a scheduler holds and owes, in plain slices. It does not choose
// what is written when; it knows what may be.
type model struct {
	limits  Limits
	lanes   map[uint64]*modelLane
	flights []*Batch[int]

	records, cost int
	flyingCost    int
	shares        []share

	hold     bool
	failures int           // batches in a row that failed as a whole
	until    time.Duration // no batch before
	groups   map[uint64]*modelGroup
}

type modelLane struct {
	id, group uint64
	home      uint64 // the group of its last entry
	entries   []*Entry[int]
	flying    int           // of entries, the first ones
	notBefore time.Duration // may its next batch leave
}

type modelGroup struct {
	until   time.Duration // nothing flies before
	probing bool          // one lane flies at a time
	flying  int           // lanes
}

func newModel(limits Limits) *model {
	return &model{
		limits: limits, lanes: make(map[uint64]*modelLane), groups: make(map[uint64]*modelGroup),
		shares: make([]share, max(1, limits.Sources)),
	}
}

func (m *model) group(id uint64) *modelGroup {
	if m.groups[id] == nil {
		m.groups[id] = new(modelGroup)
	}
	return m.groups[id]
}

func (m *model) hasRoom(e *Entry[int]) bool {
	records, cost := m.limits.MaxRecords-m.records, m.limits.MaxCost-m.cost
	own := m.shares[e.Source]
	switch {
	case m.records == 0:
		return true
	case records < 1 || cost < int(e.Cost):
		return false
	case len(m.shares) == 1 || m.limits.OnFull != Block || own.records == 0:
		return true
	}
	return own.records < records && own.cost+int(e.Cost) <= cost
}

func (m *model) add(e *Entry[int], lane, group uint64) {
	l := m.lanes[lane]
	if l == nil {
		l = &modelLane{id: lane, group: group}
		m.lanes[lane] = l
	}
	l.home = group
	l.entries = append(l.entries, e)
	m.records++
	m.cost += int(e.Cost)
	m.shares[e.Source].add(e.Cost)
}

// remove takes the entry with that index out of its lane. With the last one all
// is forgotten about the lane, and with the last of its lanes that a group was
// unavailable.
func (m *model) remove(l *modelLane, i int) {
	e := l.entries[i]
	l.entries = slices.Delete(l.entries, i, i+1)
	m.records--
	m.cost -= int(e.Cost)
	m.shares[e.Source].sub(e.Cost)
	if len(l.entries) > 0 {
		return
	}
	delete(m.lanes, l.id)
	for _, other := range m.lanes {
		if other.group == l.group {
			return
		}
	}
	m.group(l.group).probing = false
}

// waiting counts the entries that do not fly.
func (m *model) waiting() (n int) {
	for _, l := range m.lanes {
		n += len(l.entries) - l.flying
	}
	return n
}
