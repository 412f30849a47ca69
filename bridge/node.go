package bridge

import (
	"math/bits"
	"time"
	"unsafe"

	"github.com/sluiceio/sluice/internal/sched"
)

// node is a record in a queue, with its own copy of the record's bytes. Nodes
// are recycled by size class, so that queueing allocates nothing in the steady
// state and a record that waits long holds no memory but its own.
//
// A queue in balance holds thousands of nodes, more than the fast caches do, and
// each is touched when it comes, when it is sent and when it is settled. So a
// node is three cache lines: it has the lengths of the record's parts in buf
// rather than slices of it, and what few records have is in extra.
type node = sched.Entry[content]

// content is what the scheduler need not know of a record.
type content struct {
	buf      []byte // key, hash key, data, and what extra refers to
	delivery Delivery
	rule     *ruleEntry
	extra    *extra

	// Lengths in buf; absent when the record had nil.
	key, hashKey, data int32
	attempt            int32
	received           time.Duration // on the pipeline's clock
	dest, topic        string
	class              uint8 // of buf in the pool
	dead               bool  // came here as a dead letter
	lent               bool  // a Write that was given up may still read buf
	ambiguous          bool  // an earlier write may have stored it
}

// extra is what most records do not have. It stays with its node when that is
// free.
type extra struct {
	attrs    []Attr
	payload  []byte // the message's, kept when a fallback may want it
	ruleName string // other than the rule's own
	trace    *recordTrace
	err      error // why the record will not be written
}

const absent = -1

const (
	minClass = 6  // 64 bytes
	maxClass = 16 // 64 KiB; larger buffers are left to the garbage collector

	nodeSize = int(unsafe.Sizeof(node{}))
)

// nodePool keeps free nodes by the size class of their buffer.
type nodePool struct {
	free  [maxClass + 1][]*node
	bytes int // held by free nodes
	limit int
}

func classOf(size int) int { return max(minClass, bits.Len(uint(max(size, 1)-1))) }

// item is a record on its way into a queue.
type item struct {
	rec         *Record
	payload     []byte // of the message
	delivery    Delivery
	rule        *ruleEntry
	trace       *recordTrace
	received    time.Duration
	lane, group uint64
	source      uint16
	dead        bool
	try         bool // do not wait for room
}

// get returns a node that holds a copy of the item's record and, if keep is set,
// of the message's payload.
func (p *nodePool) get(it *item, keep bool) *node {
	r := it.rec
	size := len(r.Key) + len(r.HashKey) + len(r.Data)
	attrs := 0
	for i := range r.Attrs {
		attrs += len(r.Attrs[i].Name) + len(r.Attrs[i].Value)
	}
	room := size + attrs
	if keep {
		room += len(it.payload)
	}
	n := p.take(room)
	n.Size, n.Cost, n.Source = int32(size+attrs), int32(nodeSize+cap(n.Value.buf)), it.source
	n.Optional = r.Optional
	v := &n.Value
	v.dest, v.topic = r.Dest, r.Topic
	v.attempt, v.ambiguous = int32(r.Attempt), false
	v.delivery, v.rule, v.dead, v.received = it.delivery, it.rule, it.dead, it.received
	v.key, v.hashKey, v.data = length(r.Key), length(r.HashKey), length(r.Data)
	v.buf = append(append(append(v.buf[:0], r.Key...), r.HashKey...), r.Data...)
	if len(r.Attrs) > 0 || keep || it.trace != nil || it.rule == nil && r.Rule != "" || it.rule != nil && r.Rule != it.rule.name {
		v.addExtra(it, keep)
	}
	return n
}

func length(b []byte) int32 {
	if b == nil {
		return absent
	}
	return int32(len(b))
}

// more returns the node's extra, which it makes if there is none.
func (v *content) more() *extra {
	if v.extra == nil {
		v.extra = new(extra)
	}
	return v.extra
}

// addExtra copies what most records do not have; buf has room for it.
func (v *content) addExtra(it *item, keep bool) {
	put := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(v.buf)
		v.buf = append(v.buf, b...)
		return v.buf[at:len(v.buf):len(v.buf)]
	}
	x := v.more()
	for _, a := range it.rec.Attrs {
		x.attrs = append(x.attrs, Attr{a.Name, put(a.Value)})
	}
	if keep {
		x.payload = put(it.payload)
	}
	x.trace, x.ruleName = it.trace, it.rec.Rule
}

// record sets r to the record that the node holds, for the sink of that name. Its
// bytes are the node's.
func (v *content) record(r *Record, sink string) {
	r.Sink, r.Dest, r.Topic = sink, v.dest, v.topic
	r.Attempt = int(v.attempt)
	key := max(v.key, 0)
	hashKey := key + max(v.hashKey, 0)
	data := hashKey + max(v.data, 0)
	r.Key, r.HashKey, r.Data = nil, nil, nil
	if v.key != absent {
		r.Key = v.buf[:key:key]
	}
	if v.hashKey != absent {
		r.HashKey = v.buf[key:hashKey:hashKey]
	}
	if v.data != absent {
		r.Data = v.buf[hashKey:data:data]
	}
	r.Attrs, r.Rule = nil, ""
	if v.rule != nil {
		r.Rule = v.rule.name
	}
	if x := v.extra; x != nil {
		if len(x.attrs) > 0 {
			r.Attrs = x.attrs
		}
		if x.ruleName != "" {
			r.Rule = x.ruleName
		}
	}
}

// payload is the message's, if it was kept.
func (v *content) payload() []byte {
	if v.extra == nil {
		return nil
	}
	return v.extra.payload
}

// trace follows the record; nil for nearly all.
func (v *content) trace() *recordTrace {
	if v.extra == nil {
		return nil
	}
	return v.extra.trace
}

func (p *nodePool) take(size int) *node {
	class := classOf(size)
	if class > maxClass {
		n := new(node)
		n.Value.buf = make([]byte, 0, size)
		n.Value.class = maxClass + 1
		return n
	}
	list := p.free[class]
	if len(list) == 0 {
		n := new(node)
		n.Value.buf, n.Value.class = make([]byte, 0, 1<<class), uint8(class)
		return n
	}
	n := list[len(list)-1]
	list[len(list)-1] = nil
	p.free[class] = list[:len(list)-1]
	p.bytes -= int(n.Cost)
	return n
}

// put takes a node back that has left the scheduler.
func (p *nodePool) put(n *node) {
	v := &n.Value
	class := v.class
	if class > maxClass || v.lent || p.bytes+int(n.Cost) > p.limit {
		return
	}
	if v.extra != nil {
		clear(v.extra.attrs)
		*v.extra = extra{attrs: v.extra.attrs[:0]}
	}
	// The scheduler has let go of it, and get sets all the rest.
	v.delivery, v.rule, v.dest, v.topic = Delivery{}, nil, "", ""
	p.bytes += int(n.Cost)
	p.free[class] = append(p.free[class], n)
}
