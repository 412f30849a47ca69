// Package repeat holds back log lines that say the same again and again.
package repeat

import (
	"sync"
	"time"
)

// Interval is the time in which a line is let through once.
const Interval = 10 * time.Second

// texts is how many lines are remembered at once.
const texts = 256

// Lines knows which lines were logged lately. The zero value knows none. It is safe
// for concurrent use.
type Lines struct {
	mu   sync.Mutex
	seen map[line]*state
}

// line is what tells lines apart.
type line struct{ name, text string }

type state struct {
	next time.Time
	left int
}

// Admit reports whether to log the text about the thing of that name, which has
// happened n times more, and how often it has happened since it was last logged.
func (l *Lines) Admit(name, text string, n int) (count int, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	key := line{name, text}
	s := l.seen[key]
	if s == nil {
		if l.seen == nil || len(l.seen) >= texts {
			l.seen = make(map[line]*state)
		}
		s = new(state)
		l.seen[key] = s
	}
	s.left += n
	if now.Before(s.next) {
		return 0, false
	}
	count, s.left, s.next = s.left, 0, now.Add(Interval)
	return count, true
}
