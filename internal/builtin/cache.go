package builtin

import (
	"strings"
	"sync"
)

// cache keeps what was compiled from texts. It holds at most about twice its size:
// when the young generation is full it becomes the old one, and what was not used
// since goes. It is safe for concurrent use; a hit allocates nothing.
type cache[T weighty] struct {
	size int

	mu         sync.RWMutex
	young, old map[string]compiled[T]
	weight     int // of the young ones
}

// weighty is something that knows about how many bytes it takes.
type weighty interface{ weight() int }

// maxWeight is how many bytes a generation may have, since the texts may come from
// devices.
const maxWeight = 16 << 20

type compiled[T weighty] struct {
	v   T
	err error // mistakes are kept too
}

// get returns what compile makes of a text.
func (c *cache[T]) get(text string, compile func(string) (T, error)) (T, error) {
	c.mu.RLock()
	e, ok := c.young[text]
	c.mu.RUnlock()
	if ok {
		return e.v, e.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok = c.old[text]; !ok {
		text = strings.Clone(text) // it may borrow from a message
		e.v, e.err = compile(text)
	}
	weight := 2 * len(text)
	if e.err == nil {
		weight += e.v.weight()
	}
	if weight > maxWeight/4 {
		return e.v, e.err
	}
	if len(c.young) >= c.size || c.weight+weight > maxWeight || c.young == nil {
		c.old, c.young, c.weight = c.young, make(map[string]compiled[T]), 0
	}
	c.weight += weight
	c.young[strings.Clone(text)] = e
	return e.v, e.err
}
