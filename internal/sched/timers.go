package sched

import "time"

// timed is an entry of a heap of timers: a lane or a group.
type timed[T any] struct {
	due   time.Duration
	index int // in the heap plus one; 0: not in it
	lane  *lane[T]
	group *group[T]
}

func (t *timed[T]) pending() bool { return t.index > 0 }

// timers is a binary heap by due time.
type timers[T any] []*timed[T]

func (h *timers[T]) add(t *timed[T], due time.Duration) {
	t.due = due
	*h = append(*h, t)
	t.index = len(*h)
	h.up(t.index - 1)
}

func (h *timers[T]) remove(t *timed[T]) {
	i, last := t.index-1, len(*h)-1
	t.index = 0
	moved := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if i == last {
		return
	}
	h.set(i, moved)
	h.down(i)
	h.up(moved.index - 1)
}

// next returns the first that is due by then, taken out, or nil.
func (h *timers[T]) next(by time.Duration) *timed[T] {
	if len(*h) == 0 || (*h)[0].due > by {
		return nil
	}
	t := (*h)[0]
	h.remove(t)
	return t
}

func (h timers[T]) set(i int, t *timed[T]) {
	h[i] = t
	t.index = i + 1
}

func (h timers[T]) up(i int) {
	t := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].due <= t.due {
			break
		}
		h.set(i, h[parent])
		i = parent
	}
	h.set(i, t)
}

func (h timers[T]) down(i int) {
	t := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].due < h[child].due {
			child++
		}
		if h[child].due >= t.due {
			break
		}
		h.set(i, h[child])
		i = child
	}
	h.set(i, t)
}
