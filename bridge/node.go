package bridge

import (
	"math/bits"
	"time"
	"unsafe"
)

// node is a record in a queue, with its own copy of the record's bytes. Nodes
// are recycled by size class, so that queueing allocates nothing in the steady
// state and a record that waits long holds no memory but its own.
//
// A queue in balance holds thousands of nodes, more than the fast caches do, and
// each is touched when it comes, when it is sent and when it is settled. So a
// node is three cache lines: it has the lengths of the record's parts in buf
// rather than slices of it, and what few records have stands in extra.
type node struct {
	next     *node  // behind this one in the lane, or in the free list
	buf      []byte // key, hash key, data, and what extra refers to
	delivery Delivery
	rule     *ruleEntry
	extra    *extra

	// Lengths in buf; absent when the record had nil.
	key, hashKey, data int
	queued             time.Duration // on the pipeline's clock
	received           time.Duration
	seq                uint64 // of the entry into the queue; 0 while free
	attempt            int32
	optional           bool
	dead               bool // came here as a dead letter

	sink, dest, topic, ruleName string
}

// extra is what most records have not. It stays with its node when that is free.
type extra struct {
	attrs   []Attr
	payload []byte // the message's, kept when a fallback may want it
	trace   RecordTrace
}

const absent = -1

const (
	minClass = 6  // 64 bytes
	maxClass = 16 // 64 KiB; larger buffers are left to the garbage collector

	nodeSize = int(unsafe.Sizeof(node{}))
)

// nodePool keeps free nodes by the size class of their buffer.
type nodePool struct {
	free  [maxClass + 1]*node
	bytes int // held by free nodes
	limit int
}

func classOf(size int) int { return max(minClass, bits.Len(uint(max(size, 1)-1))) }

// get returns a node that holds a copy of r and, if keep is set, of payload.
func (p *nodePool) get(r *Record, payload []byte, keep bool) *node {
	size := len(r.Key) + len(r.HashKey) + len(r.Data)
	for i := range r.Attrs {
		size += len(r.Attrs[i].Value)
	}
	if keep {
		size += len(payload)
	}
	n := p.node(size)
	n.sink, n.dest, n.topic, n.ruleName = r.Sink, r.Dest, r.Topic, r.Rule
	n.attempt, n.optional = int32(r.Attempt), r.Optional
	n.key, n.hashKey, n.data = length(r.Key), length(r.HashKey), length(r.Data)
	n.buf = append(append(append(n.buf[:0], r.Key...), r.HashKey...), r.Data...)
	if len(r.Attrs) > 0 || keep {
		n.addExtra(r.Attrs, payload, keep)
	}
	return n
}

func length(b []byte) int {
	if b == nil {
		return absent
	}
	return len(b)
}

// addExtra copies what most records have not; buf has room for it.
func (n *node) addExtra(attrs []Attr, payload []byte, keep bool) {
	put := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(n.buf)
		n.buf = append(n.buf, b...)
		return n.buf[at:len(n.buf):len(n.buf)]
	}
	if n.extra == nil {
		n.extra = new(extra)
	}
	for _, a := range attrs {
		n.extra.attrs = append(n.extra.attrs, Attr{a.Name, put(a.Value)})
	}
	if keep {
		n.extra.payload = put(payload)
	}
}

// record sets r to the record that the node holds, in the given lane. Its bytes
// are the node's.
func (n *node) record(r *Record, lane uint64) {
	r.Sink, r.Dest, r.Topic, r.Rule = n.sink, n.dest, n.topic, n.ruleName
	r.Lane, r.Attempt, r.Optional = lane, int(n.attempt), n.optional
	key := max(n.key, 0)
	hashKey := key + max(n.hashKey, 0)
	data := hashKey + max(n.data, 0)
	r.Key, r.HashKey, r.Data = nil, nil, nil
	if n.key != absent {
		r.Key = n.buf[:key:key]
	}
	if n.hashKey != absent {
		r.HashKey = n.buf[key:hashKey:hashKey]
	}
	if n.data != absent {
		r.Data = n.buf[hashKey:data:data]
	}
	r.Attrs = nil
	if n.extra != nil && len(n.extra.attrs) > 0 {
		r.Attrs = n.extra.attrs
	}
}

// payload is the message's, if it was kept.
func (n *node) payload() []byte {
	if n.extra == nil {
		return nil
	}
	return n.extra.payload
}

// trace is who follows the record, nil for nearly all.
func (n *node) trace() RecordTrace {
	if n.extra == nil {
		return nil
	}
	return n.extra.trace
}

func (n *node) setTrace(t RecordTrace) {
	if n.extra == nil {
		n.extra = new(extra)
	}
	n.extra.trace = t
}

// endTrace tells who follows the record, if anybody does, how it ended.
func (n *node) endTrace(o Outcome, err error) {
	if n.extra != nil && n.extra.trace != nil {
		n.extra.trace.End(o, err)
		n.extra.trace = nil
	}
}

// size is Record.Size of the record that the node holds.
func (n *node) size() int {
	size := max(n.key, 0) + max(n.hashKey, 0) + max(n.data, 0)
	if n.extra != nil {
		for i := range n.extra.attrs {
			size += len(n.extra.attrs[i].Name) + len(n.extra.attrs[i].Value)
		}
	}
	return size
}

func (p *nodePool) node(size int) *node {
	class := classOf(size)
	if class > maxClass {
		return &node{buf: make([]byte, 0, size)}
	}
	n := p.free[class]
	if n == nil {
		return &node{buf: make([]byte, 0, 1<<class)}
	}
	p.free[class], n.next = n.next, nil
	p.bytes -= n.cost()
	return n
}

// put takes a node back.
func (p *nodePool) put(n *node) {
	class := classOf(cap(n.buf))
	cost := n.cost()
	if n.extra != nil {
		clear(n.extra.attrs)
		*n.extra = extra{attrs: n.extra.attrs[:0]}
	}
	*n = node{buf: n.buf[:0], extra: n.extra}
	if class > maxClass || p.bytes+cost > p.limit {
		return
	}
	p.bytes += cost
	n.next, p.free[class] = p.free[class], n
}

// cost is the memory that the node takes.
func (n *node) cost() int { return nodeSize + cap(n.buf) }
