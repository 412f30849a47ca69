package bridge

import (
	"math/bits"
	"time"
	"unsafe"
)

// node is a record in a queue, with its own copy of the record's bytes. Nodes
// are recycled by size class, so that queueing allocates nothing in the steady
// state and a record that waits long holds no memory but its own.
type node struct {
	rec      Record
	next     *node // behind this one in the lane, or in the free list
	delivery Delivery
	rule     *ruleEntry
	payload  []byte // the message's payload, kept when a fallback may want it
	buf      []byte
	queued   time.Duration // on the pipeline's clock
	received time.Duration
	seq      uint64 // of the entry into the queue; 0 while free
	dead     bool   // came here as a dead letter
}

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
	n.rec = *r
	buf := n.buf[:0]
	put := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(buf)
		buf = append(buf, b...)
		return buf[at:len(buf):len(buf)]
	}
	n.rec.Key, n.rec.HashKey, n.rec.Data = put(r.Key), put(r.HashKey), put(r.Data)
	if len(r.Attrs) > 0 {
		n.rec.Attrs = make([]Attr, len(r.Attrs))
		for i, a := range r.Attrs {
			n.rec.Attrs[i] = Attr{a.Name, put(a.Value)}
		}
	}
	if keep {
		n.payload = put(payload)
	}
	return n
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
	*n = node{buf: n.buf[:0]}
	if class > maxClass || p.bytes+cost > p.limit {
		return
	}
	p.bytes += cost
	n.next, p.free[class] = p.free[class], n
}

// cost is the memory that the node takes.
func (n *node) cost() int { return nodeSize + cap(n.buf) }
