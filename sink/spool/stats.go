package spool

// Stats is a snapshot of a Buffer's counters. They count records since Open
// unless said otherwise.
type Stats struct {
	// Appended counts records taken in.
	Appended uint64 `json:"appended"`
	// HandedOut counts records read by the source, Settled those of them that
	// need not be kept.
	HandedOut uint64 `json:"handed_out"`
	Settled   uint64 `json:"settled"`
	// Pending is how many records are in the buffer now, those of earlier
	// runs included.
	Pending uint64 `json:"pending"`

	// Refused counts records refused at the quota, each time they came.
	Refused uint64 `json:"refused"`
	// Commits counts transactions, FailedCommits those that failed.
	Commits       uint64 `json:"commits"`
	FailedCommits uint64 `json:"failed_commits"`
	// DamagedRecords counts records that were lost by damage, as far as what is
	// left tells, and DamagedFiles the files in which damage was found.
	DamagedRecords uint64 `json:"damaged_records"`
	DamagedFiles   uint64 `json:"damaged_files"`

	// Bytes is the size of all Files and of what is in memory, MaxBytes the
	// bound of it. MemoryBytes is the part of it that is in memory.
	Bytes       int64 `json:"bytes"`
	Files       int   `json:"files"`
	MaxBytes    int64 `json:"max_bytes"`
	MemoryBytes int64 `json:"memory_bytes"`
}

// Stats returns a consistent snapshot.
func (b *Buffer) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Settled = b.done.Load()
	s.Pending = b.recovered + s.Appended - s.Settled - s.DamagedRecords
	s.MaxBytes, s.MemoryBytes = b.cfg.MaxBytes, b.memoryUsed()
	for _, seg := range b.segments {
		s.Bytes += seg.size
		if !seg.inMemory() {
			s.Files++
		}
	}
	return s
}

// Counts returns the counters that a pipeline shows beside its own; see
// bridge.Counter and Stats.
func (s *Source) Counts() map[string]uint64 {
	st := s.buf.Stats()
	return map[string]uint64{
		"damaged_files": st.DamagedFiles, "damaged_records": st.DamagedRecords, "failed_commits": st.FailedCommits, "refused": st.Refused,
	}
}
