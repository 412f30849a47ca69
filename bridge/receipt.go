package bridge

// Receipt says where a record was stored, and what it took.
type Receipt struct {
	// Shard and Sequence identify the place in the sink's own terms. For Kinesis
	// they are the shard ID and the sequence number. Sinks without such terms
	// leave them empty.
	Shard, Sequence string
	// SubSequence counts the records that share a Sequence, from 0.
	SubSequence int
	// Attempts counts the writes of the record, the last one included.
	Attempts int
	// Duplicate reports whether the record may be stored more than once, because
	// the outcome of an earlier write is unknown.
	Duplicate bool
}

// WantsReceipts reports whether the caller wants to know where the records of the
// batch are stored. A sink that knows then calls Receipt for each of them.
func (b *Batch) WantsReceipts() bool { return b.result != nil && b.result.wants }

// Receipt says where a record was stored. The sink sets Shard, Sequence and
// SubSequence; the queue fills in the rest. Like Fail it identifies the record, not
// its index. It does nothing unless WantsReceipts reports true.
func (b *Batch) Receipt(r *Record, receipt Receipt) {
	if !b.WantsReceipts() {
		return
	}
	res := b.number()
	i := int(r.place.index) - 1
	if i < 0 || r.place.batch != res.batch {
		res.wrong = errNotInBatch
		return
	}
	for len(res.receipts) <= i {
		res.receipts = append(res.receipts, Receipt{})
	}
	res.receipts[i] = receipt
}
