package bridge

// Record is what a rule makes and a sink writes.
type Record struct {
	// Sink names the sink that the record goes to. It may be empty in a
	// pipeline that has one sink only.
	Sink string
	// Dest is the place within the sink: a Kinesis stream, an MQTT topic, a
	// path. Empty means the sink's default.
	Dest string
	// Key is the partition key; records of one Sink, Dest and Key are
	// written in the order of their messages' receipt.
	Key []byte
	// HashKey overrides the hash of Key where a sink has such a thing
	// (Kinesis: ExplicitHashKey, decimal text); nil for none.
	HashKey []byte
	// Data is the body.
	Data []byte
	// Attrs are further named parts, such as headers or a QoS; mostly nil.
	Attrs []Attr
	// Optional makes the record best effort: its message does not wait for
	// it, and it is dropped (and counted) rather than hold up others.
	Optional bool

	// Topic is the topic, or the event topic, of the message that the record
	// was made from, and Rule the name of the rule that made it. The
	// pipeline sets those that the rule has left empty.
	Topic string
	Rule  string
	// Lane is the order domain that the record was put into and Attempt the
	// number of earlier writes of it that failed. The pipeline sets both
	// before Sink.Write; in a batch the records of a lane stand together,
	// oldest first.
	Lane    uint64
	Attempt int
}

// Attr is a named part of a record beside its key and data.
type Attr struct {
	Name  string
	Value []byte
}

// Size is the number of bytes that the record brings to a request: key, hash
// key, data and attributes.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.HashKey) + len(r.Data)
	for i := range r.Attrs {
		n += len(r.Attrs[i].Name) + len(r.Attrs[i].Value)
	}
	return n
}

// Batch is a list of records and the memory that their bytes live in. Rules
// append to one, sinks are given one. A Batch is not safe for concurrent use.
type Batch struct {
	Records []Record

	arena []byte // current chunk; its length is what has been kept
	attrs []Attr
}

// arenaChunk is the size of a new arena chunk: large enough that 300 rendered
// records of 200 bytes share one allocation.
const arenaChunk = 64 << 10

// Add appends a record. Its byte slices must stay unchanged for as long as the
// batch lives; memory from Keep does.
func (b *Batch) Add(r Record) { b.Records = append(b.Records, r) }

// AvailableBuffer returns an empty buffer to append to. Pass the result to Keep
// to make it part of the batch; what is not kept is overwritten by the next use.
func (b *Batch) AvailableBuffer() []byte {
	if cap(b.arena)-len(b.arena) < 1<<10 {
		b.arena = make([]byte, 0, arenaChunk)
	}
	return b.arena[len(b.arena):]
}

// Keep makes buf, which was appended to a buffer from AvailableBuffer, part of
// the batch's memory and returns it with its capacity cut, so that appending to
// the result cannot touch what is kept later.
func (b *Batch) Keep(buf []byte) []byte {
	free := b.arena[len(b.arena):cap(b.arena)]
	if len(buf) == 0 {
		return buf[:0:0]
	}
	if len(free) > 0 && &free[0] == &buf[0] {
		b.arena = b.arena[:len(b.arena)+len(buf)]
	} // else it outgrew the chunk and append has moved it to memory of its own
	return buf[:len(buf):len(buf)]
}

// Attrs returns room for n attributes that lives as long as the batch.
func (b *Batch) Attrs(n int) []Attr {
	if cap(b.attrs)-len(b.attrs) < n {
		b.attrs = make([]Attr, 0, max(64, n, 2*cap(b.attrs)))
	}
	at := len(b.attrs)
	b.attrs = b.attrs[:at+n]
	return b.attrs[at : at+n : at+n]
}

// Reset empties the batch and keeps its memory for reuse; everything that was
// kept in it becomes invalid.
func (b *Batch) Reset() {
	clear(b.Records)
	b.Records = b.Records[:0]
	b.arena = b.arena[:0]
	clear(b.attrs)
	b.attrs = b.attrs[:0]
}
