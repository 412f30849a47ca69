package broker

import (
	"cmp"
	"slices"
	"sync"
	"time"
	"unsafe"
)

// retained are the retained messages, by topic and in the order in which they
// came, so that a scan can go on where it stopped.
type retained struct {
	mu      sync.RWMutex
	byTopic map[string]*kept
	order   []*kept // by number; those that are gone have no message
	gone    int
	sys     int // of the broker itself, beyond all limits
	bytes   int // that the others take
	last    int64
}

type kept struct {
	number int64
	p      *publication // nil when it has been replaced or has ended
	sys    bool
}

// keptCost is what a retained message takes beside what is in it.
const keptCost = sharedCost + int(unsafe.Sizeof(kept{})) + 64 // in the map and in order

// retain keeps a message as the last one of its topic; one without a payload
// ends that, and so does one that there is no room for.
func (s *Source) retain(p *publication) {
	r := &s.retained
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.remove(p.topic)
	fits := r.bytes+keptCost+p.weighs <= s.cfg.Limits.RetainedBytes
	if !fits && len(p.payload) > 0 {
		s.counters.notRetained.Add(1)
	}
	if !fits || len(p.payload) == 0 {
		if known {
			s.journal.change(retainedKey(p.topic), nil)
		}
		return
	}
	r.put(p, false)
	if s.journal != nil {
		s.journal.change(retainedKey(p.topic), appendPublication(nil, p))
	}
}

// keepSys keeps a message of the broker itself.
func (r *retained) keepSys(p *publication) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(p.topic)
	r.put(p, true)
}

func (r *retained) put(p *publication, sys bool) {
	if r.byTopic == nil {
		r.byTopic = make(map[string]*kept)
	}
	r.last++
	k := &kept{number: r.last, p: p, sys: sys}
	r.byTopic[p.topic] = k
	r.order = append(r.order, k)
	if sys {
		r.sys++
	} else {
		r.bytes += keptCost + p.weighs
	}
}

// remove drops a topic's message and reports whether there was one.
func (r *retained) remove(name string) bool {
	k := r.byTopic[name]
	if k == nil {
		return false
	}
	delete(r.byTopic, name)
	if k.sys {
		r.sys--
	} else {
		r.bytes -= keptCost + k.p.weighs
	}
	k.p = nil
	if r.gone++; r.gone > 64 && r.gone > len(r.order)/2 {
		r.order = slices.DeleteFunc(r.order, func(k *kept) bool { return k.p == nil })
		r.gone = 0
	}
	return true
}

// sort puts messages that were loaded into the order in which they were published.
func (r *retained) sort() {
	slices.SortFunc(r.order, func(a, b *kept) int { return cmp.Compare(a.p.created, b.p.created) })
	for i, k := range r.order {
		k.number = int64(i + 1)
	}
}

// expireRetained drops the retained messages that have expired.
func (s *Source) expireRetained(now time.Time) {
	r := &s.retained
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, k := range r.byTopic {
		if k.p.expired(now) {
			r.remove(name)
			s.journal.change(retainedKey(name), nil)
		}
	}
}

// newest returns the number of the newest message.
func (r *retained) newest() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.last
}

func (r *retained) size() (messages, bytes int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byTopic) - r.sys, r.bytes
}
