package bridge

import (
	"context"
	"sync"
	"sync/atomic"
)

// callbacks calls the callbacks of a Producer's records, one at a time and in the
// order in which the records have ended, on a goroutine that lives while there are
// any.
type callbacks struct {
	env   *environment
	limit int
	count atomic.Int64 // that have not returned

	mu      sync.Mutex
	room    sync.Cond // count is below the limit, or closed is set
	list    []*ticket
	spare   []*ticket
	running bool
	closed  bool
}

// admit waits until there is room for another callback. Callbacks of records that
// are in the queue are not counted: those have the queue's bound.
func (c *callbacks) admit(ctx context.Context, policy FullPolicy) error {
	if c.count.Load() < int64(c.limit) {
		return nil
	}
	if policy == DropNewest {
		return ErrFull
	}
	defer context.AfterFunc(ctx, c.wake)()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.count.Load() >= int64(c.limit) {
		if c.closed {
			return ErrClosed
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.room.Wait()
	}
	return nil
}

func (c *callbacks) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room.Broadcast()
}

// close lets those go who wait for room.
func (c *callbacks) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.room.Broadcast()
}

// add adds the callback of a record that has ended. It does not block, so that it
// may be called with a queue's lock held.
func (c *callbacks) add(t *ticket) {
	c.count.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, t)
	if !c.running {
		c.running = true
		go c.run()
	}
}

func (c *callbacks) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.list) > 0 {
		list := c.list
		c.list, c.spare = c.spare[:0], nil
		c.mu.Unlock()
		for i, t := range list {
			_ = c.env.door.guard("callback", "", "Go", func() { t.call(t.receipt, t.err) })
			list[i] = nil
			t.leaveEpoch()
			t.free()
			c.count.Add(-1)
		}
		c.mu.Lock()
		c.spare = list
		c.room.Broadcast()
	}
	c.running = false
}
