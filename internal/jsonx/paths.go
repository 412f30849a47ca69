package jsonx

import "slices"

// Step is one step of a path: to the member Key of an object or, when Array is
// set, to the element Index of an array.
type Step struct {
	Key   string
	Index int // counted from 0
	Array bool
}

// Member is the step to a member of an object.
func Member(key string) Step { return Step{Key: key} }

// Element is the step to an element of an array, counted from 0.
func Element(index int) Step { return Step{Index: index, Array: true} }

// Paths is a set of paths that Extract follows in one pass. Build it with Add;
// then any number of goroutines may Extract with it.
type Paths struct {
	root  node
	count int
}

// MaxSteps is the length limit of a path.
const MaxSteps = 255

// node is what the paths that share a beginning say about one place.
type node struct {
	slot     int     // where the span of this place goes, -1 for nowhere
	below    []below // the slots of longer paths that lead through here
	keys     []string
	members  []*node // by keys
	byKey    map[string]*node
	elements map[int]*node
}

type below struct {
	slot int
	rest uint8
}

// manyKeys is the number of members from which a map beats comparing.
const manyKeys = 8

// Add adds a path and returns the index that its span will have in Extract's
// result. The same path has the same index. An empty path is the document.
// It panics when a path has more than MaxSteps steps.
func (p *Paths) Add(path ...Step) int {
	if len(path) > MaxSteps {
		panic("jsonx: path too long")
	}
	if p.count == 0 {
		p.root.slot = -1
	}
	n := &p.root
	trail := []*node{n}
	for _, s := range path {
		n = n.child(s)
		trail = append(trail, n)
	}
	if n.slot < 0 {
		n.slot = p.count
		p.count++
		for i, t := range trail[:len(path)] {
			t.below = append(t.below, below{n.slot, uint8(len(path) - i)})
		}
	}
	return n.slot
}

// Len returns the number of different paths.
func (p *Paths) Len() int { return p.count }

// child returns the node behind a step, made when it is not there.
func (n *node) child(s Step) *node {
	if s.Array {
		c := n.elements[s.Index]
		if c == nil {
			c = &node{slot: -1}
			if n.elements == nil {
				n.elements = make(map[int]*node)
			}
			n.elements[s.Index] = c
		}
		return c
	}
	if c := n.byKey[s.Key]; c != nil {
		return c
	}
	if n.byKey == nil {
		if i := slices.Index(n.keys, s.Key); i >= 0 {
			return n.members[i]
		}
	}
	c := &node{slot: -1}
	n.keys = append(n.keys, s.Key)
	n.members = append(n.members, c)
	switch {
	case n.byKey != nil:
		n.byKey[s.Key] = c
	case len(n.keys) > manyKeys:
		n.byKey = make(map[string]*node, len(n.keys))
		for i, k := range n.keys {
			n.byKey[k] = n.members[i]
		}
	}
	return c
}

// Extract checks the whole of doc and returns the spans of the paths' values, by
// the index that Add gave, in dst, which it grows when it is too short. A path
// that leads nowhere has a span of kind Missing. When doc is not valid JSON the
// error is a *SyntaxError and the spans mean nothing.
func (p *Paths) Extract(dst []Span, doc []byte) ([]Span, error) {
	dst = slices.Grow(dst[:0], p.count)[:p.count]
	clear(dst)
	s := scanner{doc: doc, out: dst}
	root := &p.root
	if p.count == 0 {
		root = nil
	}
	return dst, s.document(root)
}

// member returns the node of the member with this name, nil for none.
func (n *node) member(name []byte, escaped bool) *node {
	if escaped {
		var buf [64]byte
		name = Unescape(buf[:0], name)
	}
	if n.byKey != nil {
		return n.byKey[string(name)]
	}
	for i, k := range n.keys {
		if k == string(name) {
			return n.members[i]
		}
	}
	return nil
}

func (n *node) element(i int) *node { return n.elements[i] }

// forget drops what an earlier member of the same name has left.
func (n *node) forget(out []Span) {
	for _, b := range n.below {
		out[b.slot] = Span{}
	}
}

// put notes where the node's value is. A string may hold JSON for the paths that
// lead further.
func (n *node) put(out []Span, s Span) {
	if n.slot >= 0 {
		out[n.slot] = s
	}
	if s.Kind != String && s.Kind != Escaped {
		return
	}
	for _, b := range n.below {
		s.Rest = b.rest
		out[b.slot] = s
	}
}
