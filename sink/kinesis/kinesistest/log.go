package kinesistest

import "sort"

// stored is one record as a shard keeps it. Its sequence index is its place in
// the log.
type stored struct {
	arrival int64 // Unix milliseconds; never falls within a shard
	key     string
	hash    string // the explicit hash key, "" when none was given
	data    []byte
}

func (r *stored) size() int64 { return int64(len(r.key) + len(r.data)) }

const chunkLen = 1024

// recordLog is the records of a shard: an append-only list that loses its
// oldest records. It is made of chunks so that growing copies nothing.
type recordLog struct {
	base   uint64 // index of the first slot of chunks[0]
	first  uint64 // index of the oldest record kept
	next   uint64 // index of the next record
	bytes  int64  // of the records kept
	chunks [][]stored
}

func newRecordLog() recordLog { return recordLog{base: 1, first: 1, next: 1} }

func (l *recordLog) len() int { return int(l.next - l.first) }

func (l *recordLog) at(index uint64) *stored {
	i := index - l.base
	return &l.chunks[i/chunkLen][i%chunkLen]
}

// append stores r and returns its index.
func (l *recordLog) append(r stored) uint64 {
	switch n := len(l.chunks); {
	case n == 0: // It grows as needed: a stream may have thousands of quiet shards.
		l.chunks = append(l.chunks, nil)
	case len(l.chunks[n-1]) == chunkLen:
		l.chunks = append(l.chunks, make([]stored, 0, chunkLen))
	}
	last := &l.chunks[len(l.chunks)-1]
	*last = append(*last, r)
	l.bytes += r.size()
	l.next++
	return l.next - 1
}

// dropFirst forgets the oldest record.
func (l *recordLog) dropFirst() {
	r := l.at(l.first)
	l.bytes -= r.size()
	*r = stored{}
	l.first++
	if l.first-l.base == chunkLen {
		l.chunks[0] = nil
		l.chunks = l.chunks[1:]
		l.base += chunkLen
	}
}

// trim drops what came before the time, and the oldest records until the log
// is within the limits, of which 0 is none.
func (l *recordLog) trim(before int64, maxRecords int, maxBytes int64) {
	for l.first < l.next {
		tooMuch := maxRecords > 0 && l.len() > maxRecords || maxBytes > 0 && l.bytes > maxBytes
		if !tooMuch && l.at(l.first).arrival >= before {
			return
		}
		l.dropFirst()
	}
}

// since is the index of the first record that arrived at or after the time.
func (l *recordLog) since(arrival int64) uint64 {
	return l.first + uint64(sort.Search(l.len(), func(i int) bool {
		return l.at(l.first+uint64(i)).arrival >= arrival
	}))
}
