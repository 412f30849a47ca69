package spool

import (
	"bytes"
	"sort"
	"sync"
)

// memory is a segment that is not on disk.
type memory struct {
	mu   sync.Mutex
	list []chunk // by number; without data when settled
	held int64
}

// chunkOverhead is about what a chunk takes beside its bytes.
const chunkOverhead = 64

// put implements store. There is no need to mark what is settled: it is gone.
func (m *memory) put(chunks []chunk, _ []span) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range chunks {
		c.data = bytes.Clone(c.data) // the request's memory is used again
		m.held += int64(len(c.data)) + chunkOverhead
		m.list = append(m.list, c)
	}
	return m.held, nil
}

// read implements store.
func (m *memory) read(pos, end uint64, want func(chunk) bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.list[m.find(pos):] {
		if c.seq >= end || c.data != nil && !want(c) {
			break
		}
	}
	return nil
}

// settle implements store.
func (m *memory) settle(seq uint64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(seq)
	if i == len(m.list) || m.list[i].seq != seq || m.list[i].data == nil {
		return 0
	}
	freed := int64(len(m.list[i].data)) + chunkOverhead
	m.held -= freed
	m.list[i].data = nil
	n := 0
	for n < len(m.list) && m.list[n].data == nil {
		n++
	}
	m.list = m.list[n:]
	return freed
}

// find returns the index of the first chunk that does not begin before seq.
func (m *memory) find(seq uint64) int {
	return sort.Search(len(m.list), func(i int) bool { return m.list[i].seq >= seq })
}

func (*memory) release() error { return nil }
func (*memory) remove() error  { return nil }
func (*memory) close() error   { return nil }
