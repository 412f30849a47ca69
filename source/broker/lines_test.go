package broker_test

import (
	"bytes"
	"log/slog"
	"sync"
)

// lineCounter counts the lines that are logged at the level of an operator.
type lineCounter struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf.Write(p)
}

func (c *lineCounter) logger() *slog.Logger { return slog.New(slog.NewTextHandler(c, nil)) }

func (c *lineCounter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Count(c.buf.Bytes(), []byte("\n"))
}
