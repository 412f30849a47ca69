package bridge

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluiceio/sluice/internal/topic"
)

// ruleEntry is a rule in service. It is replaced, not changed, when the rule is.
type ruleEntry struct {
	name    string
	rule    Rule
	enabled bool
	filters []string
	*ruleCounters
}

// ruleCounters outlive the replacement of their rule.
type ruleCounters struct {
	cells                      []cell // by worker
	success, failed, discarded atomic.Uint64
	last                       atomic.Pointer[lastError] // exception
}

// table is what routes messages and records: an immutable snapshot that each
// worker loads once per batch, so that no message sees half a change.
type table struct {
	rules map[string]*ruleEntry
	index *topic.Index[*ruleEntry]
	sinks map[string]*queue
	only  *queue        // the only sink, for records that name none
	users atomic.Int64  // workers, and the table before it until that is gone
	gone  chan struct{} // closed when replaced and nobody uses it any more
	once  sync.Once     // guards the closing
	next  *table        // what has replaced it
}

func checkFilters(r Rule) error {
	filters := r.Filters()
	if len(filters) == 0 {
		return errors.New("the rule has no topic filter")
	}
	for _, f := range filters {
		if err := topic.ValidateFilter(f); err != nil {
			return err
		}
	}
	return nil
}

// sink finds the queue for a record.
func (t *table) sink(name string) (*queue, error) {
	if name == "" && t.only != nil {
		return t.only, nil
	}
	if q := t.sinks[name]; q != nil {
		return q, nil
	}
	if name == "" {
		return nil, fmt.Errorf("the record names no sink, and there are %d", len(t.sinks))
	}
	return nil, fmt.Errorf("there is no sink %q", name)
}

// routes is a worker's bounded cache of what a topic's rules are.
type routes struct {
	table  *table
	source []*ruleEntry // rules that want everything from the worker's source
	seed   maphash.Seed
	slots  [1024]route
}

type route struct {
	topic string
	event bool // the topic is that of an event, which a client can publish to
	valid bool
	rules []*ruleEntry
}

// use makes the cache speak of t, for messages of the source with these names.
func (r *routes) use(t *table, source []string) {
	if r.table == t {
		return
	}
	if r.table == nil {
		r.seed = maphash.MakeSeed()
	}
	r.table = t
	clear(r.slots[:])
	r.source = nil
	for _, name := range source {
		r.source = t.index.Append(r.source, name)
	}
}

// rules returns the rules for a message, in the order of their names.
func (r *routes) rules(m *Message) []*ruleEntry {
	name, event := m.Event, true
	if name == "" {
		name, event = m.Topic, false
	}
	slot := &r.slots[maphash.String(r.seed, name)%uint64(len(r.slots))]
	if !slot.valid || slot.topic != name || slot.event != event {
		slot.valid, slot.topic, slot.event = true, name, event
		slot.rules = r.match(slot.rules[:0], m, name)
	}
	return slot.rules
}

func (r *routes) match(dst []*ruleEntry, m *Message, name string) []*ruleEntry {
	// What a client publishes below $events, $sources or $bridges is no event.
	if m.Event != "" || !reserved(name) {
		dst = r.table.index.Append(dst, name)
	}
	dst = append(dst, r.source...)
	slices.SortFunc(dst, func(a, b *ruleEntry) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(dst)
}

func reserved(name string) bool {
	return len(name) > 0 && name[0] == '$' && (strings.HasPrefix(name, "$events/") ||
		strings.HasPrefix(name, "$sources/") || strings.HasPrefix(name, "$bridges/"))
}
