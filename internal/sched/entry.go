package sched

import "time"

// Entry is a record in a scheduler. The caller sets the exported fields before
// Add and leaves them alone until the entry has left; Value is its own.
type Entry[T any] struct {
	Value T

	// Size is what the record brings to a batch, Cost the memory it takes;
	// both in bytes.
	Size, Cost int32
	// Source is an index into the shares; see Limits.Sources.
	Source uint16
	// Optional lets the entry be dropped when the queue is full, though the
	// policy is Block.
	Optional bool
	// Expired is set by Next when the entry has outlived Limits.TTL.
	Expired bool

	passing bool // it will not be written, and waits to be passed on
	listed  *list[T]
	// Behind this one in the lane, and its neighbors in listed.
	next, older, newer *Entry[T]
	lane               *lane[T]
	added              time.Duration
}

// Added returns when the entry was added.
func (e *Entry[T]) Added() time.Duration { return e.added }

// list holds the entries that do not fly, in the order in which they came.
type list[T any] struct {
	oldest, newest *Entry[T]
}

func (l *list[T]) push(e *Entry[T]) {
	e.listed, e.older, e.newer = l, l.newest, nil
	if l.newest == nil {
		l.oldest = e
	} else {
		l.newest.newer = e
	}
	l.newest = e
}

func (l *list[T]) remove(e *Entry[T]) {
	if e.older == nil {
		l.oldest = e.newer
	} else {
		e.older.newer = e.newer
	}
	if e.newer == nil {
		l.newest = e.older
	} else {
		e.newer.older = e.older
	}
	e.listed, e.older, e.newer = nil, nil, nil
}
