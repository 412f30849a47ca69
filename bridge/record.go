package bridge

import (
	"errors"
	"fmt"
)

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

	place place
}

// place says which record of which batch a Record is, wherever it was copied or
// sorted to. The zero place is none.
type place struct {
	batch uint32
	index int32 // plus one
}

// Attr is a named part of a record beside its key and data.
type Attr struct {
	Name  string
	Value []byte
}

// IDAttr is the name of the attribute that identifies a record among all records
// of its stream, even if its message is delivered again. Sinks that can store it
// with the record do so for consumers that drop duplicates.
const IDAttr = "sluice-id"

// Size is the number of bytes that the record brings to a request: key, hash
// key, data and attributes.
func (r *Record) Size() int {
	n := len(r.Key) + len(r.HashKey) + len(r.Data)
	for i := range r.Attrs {
		n += len(r.Attrs[i].Name) + len(r.Attrs[i].Value)
	}
	return n
}

// Batch is a list of records for a sink to write. The zero Batch is empty. A
// Batch is not safe for concurrent use.
type Batch struct {
	Records []Record

	result *result
}

// result is what a sink says of the records of a batch, and of its parts.
type result struct {
	batch    uint32
	numbered int     // records that have their place
	errs     []error // by index; nil while nothing has failed
	failed   int
	wrong    error // an answer that cannot be
	wants    bool  // somebody asks for receipts
	receipts []Receipt
}

// errNotInBatch is what is wrong with an answer for some other record.
var errNotInBatch = errors.New("answered for a record that is not in the batch")

// errNoReason is what a record fails with that was failed with a nil error.
var errNoReason = errors.New("failed without an error")

// Add appends a record, for callers of Sink.Write other than a pipeline.
func (b *Batch) Add(r Record) { b.Records = append(b.Records, r) }

// Fail says that a record was not stored, and why; see Sink for what the error's
// marks do. It identifies the record, not its index: r may have been sorted, or be a
// copy. Failing a record twice keeps the first error.
func (b *Batch) Fail(r *Record, err error) {
	res := b.number()
	i := int(r.place.index) - 1
	if i < 0 || r.place.batch != res.batch {
		res.wrong = errNotInBatch
		return
	}
	if err == nil {
		err = errNoReason
	}
	if res.errs == nil {
		res.errs = make([]error, res.numbered) // b may be a part, or have been cut
	}
	for len(res.errs) <= i { // r was added after the first failure
		res.errs = append(res.errs, nil)
	}
	if res.errs[i] == nil {
		res.errs[i] = err
		res.failed++
	}
}

// Err returns why a record was failed, or nil if it was not.
func (b *Batch) Err(r *Record) error {
	if b.result == nil {
		return nil
	}
	if i := int(r.place.index) - 1; i >= 0 && i < len(b.result.errs) && r.place.batch == b.result.batch {
		return b.result.errs[i]
	}
	return nil
}

// Failed returns how many records were failed.
func (b *Batch) Failed() int {
	if b.result == nil {
		return 0
	}
	return b.result.failed
}

// Part returns a batch of some of the records of b, for a sink that writes
// through another one. What fails in the part fails in b.
func (b *Batch) Part(records []Record) *Batch {
	return &Batch{Records: records, result: b.number()}
}

// number gives the records their places, unless they have them.
func (b *Batch) number() *result {
	if b.result == nil {
		b.result = new(result)
	}
	for i := b.result.numbered; i < len(b.Records); i++ {
		b.Records[i].place = b.result.placeOf(i)
	}
	b.result.numbered = max(b.result.numbered, len(b.Records))
	return b.result
}

// placeOf is the place of the record with that index.
func (r *result) placeOf(i int) place { return place{r.batch, int32(i) + 1} }

// reset empties the batch for other records. Those that somebody has kept are of
// no batch any more.
func (b *Batch) reset() {
	clear(b.Records)
	b.Records = b.Records[:0]
	if b.result == nil {
		b.result = new(result)
	}
	b.result.batch++
	b.result.numbered, b.result.errs, b.result.failed, b.result.wrong = 0, nil, 0, nil
	clear(b.result.receipts)
	b.result.wants, b.result.receipts = false, b.result.receipts[:0]
}

// Out is where a rule puts the records that it makes, and the memory that their
// bytes live in. It can only be added to: a rule neither sees nor changes what
// other rules, or other messages, have put there. The zero Out is empty. An Out
// is not safe for concurrent use.
type Out struct {
	records []Record
	first   int    // the rule at hand owns the records from here on
	arena   []byte // current chunk; its length is what has been kept
	attrs   []Attr
}

// arenaChunk is the size of a new arena chunk: large enough that 300 rendered
// records of 200 bytes share one allocation.
const arenaChunk = 64 << 10

// Add appends a record. Its byte slices must stay unchanged until the record has
// been written; memory from Keep does, and so does the message's.
func (o *Out) Add(r Record) {
	o.records = append(o.records, r)
}

// Records returns the records that the rule at hand has added.
func (o *Out) Records() []Record { return o.records[o.first:] }

// Len returns how many records the rule at hand has added.
func (o *Out) Len() int { return len(o.records) - o.first }

// Truncate takes back the records that the rule at hand has added, but for the
// first n.
func (o *Out) Truncate(n int) {
	if n < 0 || n > o.Len() {
		panic(fmt.Sprintf("bridge: Out.Truncate(%d) of %d records", n, o.Len()))
	}
	clear(o.records[o.first+n:])
	o.records = o.records[:o.first+n]
}

// AvailableBuffer returns an empty buffer to append to. Pass the result to Keep
// to make it part of the Out; what is not kept is overwritten by the next use.
func (o *Out) AvailableBuffer() []byte {
	if cap(o.arena)-len(o.arena) < 1<<10 {
		o.arena = make([]byte, 0, arenaChunk)
	}
	return o.arena[len(o.arena):]
}

// Keep makes buf, which was appended to a buffer from AvailableBuffer, part of
// the Out's memory and returns it with its capacity cut, so that appending to
// the result cannot touch what is kept later.
func (o *Out) Keep(buf []byte) []byte {
	free := o.arena[len(o.arena):cap(o.arena)]
	if len(buf) == 0 {
		return buf[:0:0]
	}
	if len(free) > 0 && &free[0] == &buf[0] {
		o.arena = o.arena[:len(o.arena)+len(buf)]
	} // else it outgrew the chunk and append has moved it to memory of its own
	return buf[:len(buf):len(buf)]
}

// Attrs returns room for n attributes that lives as long as the Out.
func (o *Out) Attrs(n int) []Attr {
	if cap(o.attrs)-len(o.attrs) < n {
		o.attrs = make([]Attr, 0, max(64, n, 2*cap(o.attrs)))
	}
	at := len(o.attrs)
	o.attrs = o.attrs[:at+n]
	return o.attrs[at : at+n : at+n]
}

// Reset takes back what the rule at hand has added. Of an Out that holds nothing
// else it keeps the memory for reuse, and what was kept in it becomes invalid.
func (o *Out) Reset() {
	o.Truncate(0)
	if o.first == 0 {
		o.arena = o.arena[:0]
		clear(o.attrs)
		o.attrs = o.attrs[:0]
	}
}
