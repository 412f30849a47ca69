package mqtt

import (
	"strings"

	"github.com/sluiceio/sluice/internal/topic"
)

// interner keeps one string per topic name, so that the messages of a topic
// share it. It remembers the internTopics names used last, more or less: when
// the younger generation is full it becomes the older one. It is not safe for
// concurrent use; every connection has its own.
type interner struct {
	young, old map[string]string
}

const (
	internTopics = 8192 // per generation
	internLen    = 256  // longer names are not remembered
)

func newInterner() *interner { return &interner{young: map[string]string{}} }

// intern returns the name b; ok is false if it is not a topic name.
func (t *interner) intern(b []byte) (name string, ok bool) {
	if s, ok := t.young[string(b)]; ok {
		return s, true
	}
	s, ok := t.old[string(b)]
	if !ok {
		if s = string(b); topic.ValidateName(s) != nil {
			return "", false
		}
	}
	t.remember(s)
	return s, true
}

func (t *interner) internString(s string) string {
	if known, ok := t.young[s]; ok {
		return known
	}
	known, ok := t.old[s]
	if !ok {
		known = strings.Clone(s)
	}
	t.remember(known)
	return known
}

func (t *interner) remember(s string) {
	if len(s) > internLen {
		return
	}
	if len(t.young) >= internTopics {
		t.old, t.young = t.young, make(map[string]string, internTopics)
	}
	t.young[s] = s
}
