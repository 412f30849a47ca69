package topic

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
)

// Index is an immutable set of pairs of a topic filter and a value that finds
// the values of all filters that match a topic. Adding and removing return a
// new Index that shares all that did not change with the old one, so that a
// reader can go on with its snapshot. An Index is safe for concurrent use.
//
// It is a trie by topic level. Finding visits at most one node per filter
// prefix that matches the topic, however many filters there are beside them.
//
// Filters must be valid and must not be shared subscriptions; see
// ValidateFilter and Share. In an invalid one, misplaced wildcards are taken as
// ordinary characters.
type Index[T comparable] struct {
	root *node[T]
	len  int
	seed maphash.Seed
}

// node stands for a prefix of filters: whole levels up to and including key.
type node[T comparable] struct {
	key    string    // the last level of the prefix
	next   *table[T] // nodes for a literal level below, by key; nil for none
	plus   *node[T]  // node for the level "+" below
	values []T       // of the filters that end here
	rest   []T       // of the filters that end with "#" right below
}

// NewIndex returns an Index with the pairs of filter and value that pairs
// yields; nil for an empty one. Building is faster than adding one by one.
func NewIndex[T comparable](pairs iter.Seq2[string, T]) *Index[T] {
	x := &Index[T]{root: new(node[T]), seed: maphash.MakeSeed()}
	if pairs == nil {
		return x
	}
	for filter, v := range pairs {
		x.root = x.add(x.root, filter, v, true)
		x.len++
	}
	return x
}

// Len returns the number of pairs.
func (x *Index[T]) Len() int { return x.len }

// With returns an Index that also has the pair filter, v; a pair that is added
// twice is there twice. The cost grows with the number of levels of filter and
// of values that the same filter already has, and with the logarithm of the
// number of filters.
func (x *Index[T]) With(filter string, v T) *Index[T] {
	return &Index[T]{x.add(x.root, filter, v, false), x.len + 1, x.seed}
}

// Without returns an Index with one pair filter, v less, or x itself when it
// has no such pair. The cost is that of With.
func (x *Index[T]) Without(filter string, v T) *Index[T] {
	root, ok := x.remove(x.root, filter, v)
	if !ok {
		return x
	}
	if root == nil {
		root = new(node[T])
	}
	return &Index[T]{root, x.len - 1, x.seed}
}

// Append appends to dst the value of each pair whose filter matches topic, in
// no particular order, and returns the result. A value that was added with
// several filters is appended once for each that matches.
func (x *Index[T]) Append(dst []T, topic string) []T {
	if reserved(topic) { // leading wildcards do not count
		return x.literal(dst, x.root, topic)
	}
	return x.match(dst, x.root, topic)
}

// match appends the values below n for the levels of topic.
func (x *Index[T]) match(dst []T, n *node[T], topic string) []T {
	dst = append(dst, n.rest...)
	if n.plus != nil {
		i := strings.IndexByte(topic, '/')
		if i < 0 {
			dst = n.plus.end(dst)
		} else {
			dst = x.match(dst, n.plus, topic[i+1:])
		}
	}
	return x.literal(dst, n, topic)
}

// literal follows the first level of topic by its name only.
func (x *Index[T]) literal(dst []T, n *node[T], topic string) []T {
	if n.next == nil {
		return dst
	}
	i := strings.IndexByte(topic, '/')
	if i < 0 {
		if n = n.next.find(x.seed, topic); n != nil {
			dst = n.end(dst)
		}
		return dst
	}
	if n = n.next.find(x.seed, topic[:i]); n != nil {
		dst = x.match(dst, n, topic[i+1:])
	}
	return dst
}

// end appends the values for a topic that ends at n; "#" matches its parent.
func (n *node[T]) end(dst []T) []T {
	dst = append(dst, n.values...)
	return append(dst, n.rest...)
}

// add returns n with the pair added below it. With own set n and all nodes
// below belong to the caller alone and are changed in place; else they are
// copied on the way.
func (x *Index[T]) add(n *node[T], filter string, v T, own bool) *node[T] {
	if !own {
		c := *n
		n = &c
	}
	if filter == "#" {
		n.rest = appendValue(n.rest, v, own)
		return n
	}
	level, below, more := strings.Cut(filter, "/")
	var child *node[T]
	if level == "+" {
		child = n.plus
	} else if n.next != nil {
		child = n.next.find(x.seed, level)
	}
	existed := child != nil
	if !existed {
		child = &node[T]{key: strings.Clone(level)}
	}
	switch keep := own || !existed; {
	case more:
		child = x.add(child, below, v, keep)
	case keep:
		child.values = appendValue(child.values, v, true)
	default:
		c := *child
		c.values = appendValue(c.values, v, false)
		child = &c
	}
	n.put(x.seed, level, child, own && existed, own)
	return n
}

// put makes child the node of level below n. With placed set it is there
// already.
func (n *node[T]) put(seed maphash.Seed, level string, child *node[T], placed, own bool) {
	switch {
	case placed:
	case level == "+":
		n.plus = child
	default:
		n.next = n.next.put(seed, child, own)
	}
}

// remove returns a copy of n without the pair, nil when nothing is left of n.
func (x *Index[T]) remove(n *node[T], filter string, v T) (_ *node[T], ok bool) {
	c := *n
	if filter == "#" {
		c.rest, ok = removeValue(n.rest, v)
		return c.orNil(), ok
	}
	level, below, more := strings.Cut(filter, "/")
	var child *node[T]
	if level == "+" {
		child = n.plus
	} else if n.next != nil {
		child = n.next.find(x.seed, level)
	}
	if child == nil {
		return n, false
	}
	if more {
		child, ok = x.remove(child, below, v)
	} else {
		without := *child
		without.values, ok = removeValue(child.values, v)
		child = without.orNil()
	}
	switch {
	case !ok:
		return n, false
	case level == "+":
		c.plus = child
	case child == nil:
		c.next = n.next.remove(x.seed, level)
	default:
		c.next = n.next.put(x.seed, child, false)
	}
	return c.orNil(), true
}

// orNil returns nil for a node that nothing is left of.
func (n *node[T]) orNil() *node[T] {
	if n.next == nil && n.plus == nil && len(n.values) == 0 && len(n.rest) == 0 {
		return nil
	}
	return n
}

func appendValue[T any](values []T, v T, own bool) []T {
	if own {
		return append(values, v)
	}
	return append(slices.Clip(values), v)
}

func removeValue[T comparable](values []T, v T) ([]T, bool) {
	i := slices.Index(values, v)
	if i < 0 {
		return values, false
	}
	if len(values) == 1 {
		return nil, true
	}
	return slices.Concat(values[:i], values[i+1:]), true
}
