package topic

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// table is a persistent hash table of nodes by key: a tree in which each level
// looks at the next six bits of the key's hash (a hash array mapped trie). A
// change copies one slice of at most 64 slots per level of the tree, so that
// adding the 100,001st name to a topic level copies about 3 KB rather than a
// map of 100,000 entries.
type table[T comparable] struct {
	used  uint64 // bit i is set when there is a slot for the hash bits i
	slots []slot[T]
}

// slot holds a node, or the table for the next bits of the hash.
type slot[T comparable] struct {
	node *node[T]
	sub  *table[T]
}

// The hash has 64 bits; where they are used up a table is a plain list of nodes
// with equal hashes.
const (
	hashStep = 6
	hashBits = 64
)

func (t *table[T]) at(hash uint64, shift uint) (bit uint64, i int) {
	bit = 1 << (hash >> shift & (1<<hashStep - 1))
	return bit, bits.OnesCount64(t.used & (bit - 1))
}

// find returns the node with the key, or nil.
func (t *table[T]) find(seed maphash.Seed, key string) *node[T] {
	if len(t.slots) == 1 && t.slots[0].node != nil { // spare the hash
		if n := t.slots[0].node; n.key == key {
			return n
		}
		return nil
	}
	return t.findHash(maphash.String(seed, key), key)
}

func (t *table[T]) findHash(hash uint64, key string) *node[T] {
	for shift := uint(0); shift < hashBits; shift += hashStep {
		bit, i := t.at(hash, shift)
		if t.used&bit == 0 {
			return nil
		}
		s := &t.slots[i]
		if s.node != nil {
			if s.node.key == key {
				return s.node
			}
			return nil
		}
		t = s.sub
	}
	if i := t.index(key); i >= 0 {
		return t.slots[i].node
	}
	return nil
}

// index finds a key in a table below the last bits of the hash.
func (t *table[T]) index(key string) int {
	return slices.IndexFunc(t.slots, func(s slot[T]) bool { return s.node.key == key })
}

// put returns t with n in it, in place of a node with the same key. With own
// set t is changed in place. t may be nil.
func (t *table[T]) put(seed maphash.Seed, n *node[T], own bool) *table[T] {
	hash := func(key string) uint64 { return maphash.String(seed, key) }
	return t.putHash(hash, hash(n.key), 0, n, own)
}

func (t *table[T]) putHash(hash func(string) uint64, h uint64, shift uint, n *node[T], own bool) *table[T] {
	switch {
	case t == nil:
		t, own = new(table[T]), true
	case !own:
		t = &table[T]{t.used, slices.Clone(t.slots)}
	}
	if shift >= hashBits {
		if i := t.index(n.key); i >= 0 {
			t.slots[i].node = n
		} else {
			t.slots = append(t.slots, slot[T]{node: n})
		}
		return t
	}
	bit, i := t.at(h, shift)
	if t.used&bit == 0 {
		t.used |= bit
		t.slots = slices.Insert(t.slots, i, slot[T]{node: n})
		return t
	}
	switch s := &t.slots[i]; {
	case s.node == nil:
		s.sub = s.sub.putHash(hash, h, shift+hashStep, n, own)
	case s.node.key == n.key:
		s.node = n
	default: // two keys share these bits: both move one table down
		sub := (*table[T])(nil).putHash(hash, hash(s.node.key), shift+hashStep, s.node, true)
		*s = slot[T]{sub: sub.putHash(hash, h, shift+hashStep, n, true)}
	}
	return t
}

// remove returns a copy of t without the key, which must be there; nil when it
// was the last.
func (t *table[T]) remove(seed maphash.Seed, key string) *table[T] {
	return t.removeHash(maphash.String(seed, key), 0, key)
}

func (t *table[T]) removeHash(h uint64, shift uint, key string) *table[T] {
	c := &table[T]{t.used, slices.Clone(t.slots)}
	bit, i := t.at(h, shift)
	if shift >= hashBits {
		bit, i = 0, t.index(key)
	}
	if s := &c.slots[i]; s.node == nil {
		s.sub = s.sub.removeHash(h, shift+hashStep, key)
		if left := s.sub; len(left.slots) == 1 && left.slots[0].node != nil {
			*s = left.slots[0] // a table of one is not worth its step
		}
		return c
	}
	if len(c.slots) == 1 {
		return nil
	}
	c.used &^= bit
	c.slots = slices.Delete(c.slots, i, i+1)
	return c
}
