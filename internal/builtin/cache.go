package builtin

import (
	"strings"
	"sync"
)

// cache keeps what was compiled from texts. It holds at most about twice its size:
// when the young generation is full it becomes the old one, and what was not used
// since goes. It is safe for concurrent use; a hit allocates nothing.
type cache[T any] struct {
	size int

	mu         sync.RWMutex
	young, old map[string]compiled[T]
}

type compiled[T any] struct {
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
	if len(c.young) >= c.size || c.young == nil {
		c.old, c.young = c.young, make(map[string]compiled[T])
	}
	c.young[strings.Clone(text)] = e
	return e.v, e.err
}
