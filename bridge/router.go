package bridge

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sluiceio/sluice/internal/topic"
)

// ruleEntry is a rule in service. It is replaced, not changed, when the rule is.
type ruleEntry struct {
	name     string
	rule     Rule
	enabled  bool
	filters  []string
	targets  []Target // nil if it does not tell
	fallback string   // sink of the messages on which it fails; empty for none
	*ruleCounters
}

// ruleCounters outlive the replacement of their rule.
type ruleCounters struct {
	cells                      []cell // by worker
	success, failed, discarded atomic.Uint64
	last                       atomic.Pointer[lastError] // exception
}

// succeeded counts records of a rule that were stored. The rule may be nil: dead
// letters are nobody's.
func (r *ruleEntry) succeeded(n uint64) {
	if r != nil && n > 0 {
		r.success.Add(n)
	}
}

// table is what routes messages and records: an immutable snapshot that a worker
// takes with each batch, so that no message sees half a change.
type table struct {
	version   uint64
	rules     map[string]*ruleEntry
	index     *topic.Index[*ruleEntry]
	sinks     map[string]*queue
	only      *queue // the only sink, for records that name none
	unmatched *queue // for messages that no rule wants; nil for none
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// with returns a table with the rules changed, nil being gone, and with the sinks.
func (t *table) with(rules map[string]*ruleEntry, sinks map[string]*queue, unmatched string) *table {
	next := &table{version: t.version + 1, rules: maps.Clone(t.rules), index: t.index, sinks: sinks, unmatched: sinks[unmatched]}
	if next.rules == nil {
		next.rules = make(map[string]*ruleEntry, len(rules))
	}
	if next.index == nil { // the first one, made at once
		next.index = topic.NewIndex(func(yield func(string, *ruleEntry) bool) {
			for _, name := range sortedKeys(rules) {
				for _, f := range rules[name].filters {
					if !yield(f, rules[name]) {
						return
					}
				}
			}
		})
		maps.Copy(next.rules, rules)
	} else {
		for name, e := range rules {
			next.replace(name, e)
		}
	}
	if len(sinks) == 1 {
		for _, q := range sinks {
			next.only = q
		}
	}
	return next
}

// replace puts a rule in the place of the one of that name.
func (t *table) replace(name string, e *ruleEntry) {
	if old := t.rules[name]; old != nil {
		delete(t.rules, name)
		if old.enabled {
			for _, f := range old.filters {
				t.index = t.index.Without(f, old)
			}
		}
	}
	if e == nil {
		return
	}
	t.rules[name] = e
	if e.enabled {
		for _, f := range e.filters {
			t.index = t.index.With(f, e)
		}
	}
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
