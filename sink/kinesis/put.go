package kinesis

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluiceio/sluice/bridge"
)

// put is the part of a write that goes to one stream.
type put struct {
	write     *write
	stream    *stream
	maxRecord int
	buf       []byte // the entries in JSON, separated by commas
	entries   []entry
}

// entry is one Kinesis record: records from to to-1 of the batch.
type entry struct {
	from, to int
	records  int // that are in it; the others of from to to-1 were refused
	lo, hi   int // in buf
	bytes    int // of data and key
}

func (p *put) reset() {
	p.stream = nil
	p.entries = p.entries[:0]
	p.buf = p.buf[:0]
	if cap(p.buf) > keepBytes {
		p.buf = nil
	}
}

// add encodes an entry of some records; key, hashKey and data are not needed
// afterwards.
func (p *put) add(from, to, records int, key, hashKey, data []byte) {
	if len(p.buf) > 0 {
		p.buf = append(p.buf, ',')
	}
	lo := len(p.buf)
	p.buf = appendEntry(p.buf, key, hashKey, data)
	p.entries = append(p.entries, entry{from, to, records, lo, len(p.buf), len(key) + len(data)})
}

// run sends all entries, in as few requests as the limits allow, one after the
// other.
func (p *put) run(ctx context.Context) {
	if len(p.entries) == 0 {
		return
	}
	if err := p.write.sink.admit(ctx, p.stream); err != nil {
		p.fail(0, len(p.entries), bridge.Unavailable(&Error{Stream: p.stream.dest, Message: err.Error(), Err: err}))
		return
	}
	for a, n := 0, len(p.entries); a < n; {
		b, bytes, room := a, 0, p.write.sink.room.get()
		for b < n && b-a < MaxEntries && (b == a || bytes+p.entries[b].bytes <= room) {
			bytes += p.entries[b].bytes
			b++
		}
		err := p.attempt(ctx, a, b)
		if err != nil && b < n {
			p.fail(b, n, err)
			return
		}
		a = b
	}
}

// attempt sends the entries from a to b-1 in one request and notes what became
// of their records. The error says why it makes no sense to send more now; it is
// that of records which are not sent.
func (p *put) attempt(ctx context.Context, a, b int) error {
	s := p.write.sink
	out, sent, err := p.call(ctx, a, b)
	if err != nil && isExpired(err) && s.renewCredentials() {
		out, sent, err = p.call(ctx, a, b) // it was refused before anything was stored
	}
	if sent {
		p.write.reachedOne()
	}
	if err == nil {
		p.outcomes(a, b, out)
		return nil
	}
	s.total.failedRequests.Add(1)
	e, c := s.requestError(p.stream, err, putAction, sent)
	if c == rejected {
		p.isolate(ctx, a, b, e)
		return nil
	}
	if !sent {
		p.write.cannotSend(c.mark(e))
	}
	p.stream.counters.fail(c, e.Shard, b-a)
	p.fail(a, b, c.mark(e))
	if c == ambiguous { // not so for what was not sent
		return &Error{Stream: e.Stream, Message: "not sent, because a request before it failed", Err: err}
	}
	return c.mark(e)
}

// call makes one request. The output is nil when all entries were stored and
// nobody wanted to know where.
func (p *put) call(ctx context.Context, a, b int) (out *sdk.PutRecordsOutput, sent bool, err error) {
	s := p.write.sink
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	// Not reused: the transport may hold on to it after the call.
	x := &exchange{decode: s.cfg.OnReceipt != nil || p.stream.sampleDue()}
	x.body.set(p.buf[p.entries[a].lo:p.entries[b-1].hi], p.stream.tail)
	s.total.requests.Add(1)
	size := p.bytes(a, b)
	out, err = s.client.PutRecords(context.WithValue(ctx, exchangeKey{}, x), p.stream.put, putOptions)
	sent = x.body.detach()
	switch {
	case err == nil:
		s.room.answered(size)
		if x.skipped {
			out = nil
		}
	case sent && errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.room.timedOut(size)
	}
	return out, sent, err
}

// outcomes notes the outcomes of a request that was answered.
func (p *put) outcomes(a, b int, out *sdk.PutRecordsOutput) {
	s := p.write.sink
	if out == nil {
		p.stored(a, b)
		return
	}
	if len(out.Records) != b-a {
		e := &Error{Stream: p.stream.dest, Message: "the reply has " + strconv.Itoa(len(out.Records)) +
			" outcomes for " + strconv.Itoa(b-a) + " records"}
		p.fail(a, b, bridge.Ambiguous(e))
		return
	}
	requestID, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	var last *Error // records mostly fail for the same reason: one error serves them all
	var mark error
	var c class
	for i := range out.Records {
		r := &out.Records[i]
		if r.ErrorCode == nil && r.SequenceNumber != nil {
			p.stored(a+i, a+i+1)
			continue
		}
		code, message := aws.ToString(r.ErrorCode), aws.ToString(r.ErrorMessage)
		if last == nil || code != last.Code || message != last.Message {
			last, c = s.recordError(p.stream, code, message, requestID)
			mark = c.mark(last)
		}
		p.stream.counters.fail(c, last.Shard, 1)
		p.failEntry(a+i, mark)
	}
	s.learn(p.stream, out.Records)
	if s.cfg.OnReceipt != nil {
		p.receipts(a, out)
	}
}

// receipts reports where records were stored.
func (p *put) receipts(a int, out *sdk.PutRecordsOutput) {
	var list []Receipt
	for i := range out.Records {
		r, e := &out.Records[i], p.entries[a+i]
		if r.ErrorCode != nil || r.SequenceNumber == nil {
			continue
		}
		sub := 0
		for j := e.from; j < e.to; j++ {
			if p.write.errs[j] != nil {
				continue // it was refused before the entry was made
			}
			rec := &p.write.records[j]
			list = append(list, Receipt{
				Index: j, Topic: rec.Topic, Rule: rec.Rule, Stream: p.stream.dest,
				ShardID: aws.ToString(r.ShardId), SequenceNumber: *r.SequenceNumber, SubSequence: sub,
			})
			sub++
		}
	}
	if len(list) > 0 {
		p.write.sink.cfg.OnReceipt(list)
	}
}

// member finds the entries that a validation message complains about: "Value at
// 'records.3.member.data' failed to satisfy constraint …", counted from 1.
var member = regexp.MustCompile(`records\.(\d+)\.member`)

// isolate handles a request that was refused as a whole because of what is in
// it: nothing was stored. It finds the entries to blame and sends the others.
func (p *put) isolate(ctx context.Context, a, b int, e *Error) {
	if b-a == 1 {
		p.reject(ctx, a, e)
		return
	}
	next := a // the first entry that is not dealt with
	for _, m := range member.FindAllStringSubmatch(e.Message, -1) {
		n, err := strconv.Atoi(m[1])
		bad := a + n - 1
		if err != nil || bad < next || bad >= b {
			continue
		}
		if next < bad {
			_ = p.attempt(ctx, next, bad)
		}
		p.reject(ctx, bad, e)
		next = bad + 1
	}
	switch {
	case next == b:
	case next > a:
		_ = p.attempt(ctx, next, b)
	default: // the message does not say: each half will show
		mid := (a + b) / 2
		_ = p.attempt(ctx, a, mid)
		_ = p.attempt(ctx, mid, b)
	}
}

// reject deals with an entry that the service refuses: a record is given up, an
// aggregate is taken apart to find the record to blame.
func (p *put) reject(ctx context.Context, i int, e *Error) {
	w, from, to := p.write, p.entries[i].from, p.entries[i].to
	if to-from == 1 {
		p.stream.counters.fail(rejected, "", 1)
		p.failEntry(i, bridge.Permanent(e))
		return
	}
	mid := (from + to) / 2
	for _, half := range [][2]int{{from, mid}, {mid, to}} {
		k := packer{write: w} // that of the write may be busy with another stream
		apart := &put{write: w, stream: p.stream, maxRecord: p.maxRecord}
		k.addRun(apart, half[0], half[1])
		for n := range apart.entries {
			_ = apart.attempt(ctx, n, n+1)
		}
		for _, err := range w.errs[half[0]:half[1]] {
			if err != nil && !errors.Is(err, bridge.ErrPermanent) {
				p.failRecords(half[1], to, err) // they must not overtake
				return
			}
		}
	}
}

// stored counts the entries from a to b-1.
func (p *put) stored(a, b int) {
	records := 0
	for _, e := range p.entries[a:b] {
		records += e.records
	}
	p.stream.counters.count(p.entries[a:b], records)
	p.stream.accepted.Store(time.Now().UnixNano())
}

// bytes is what the entries from a to b-1 count.
func (p *put) bytes(a, b int) (n int) {
	for _, e := range p.entries[a:b] {
		n += e.bytes
	}
	return n
}

// fail fails the entries from a to b-1.
func (p *put) fail(a, b int, err error) {
	for i := a; i < b; i++ {
		p.failEntry(i, err)
	}
}

func (p *put) failEntry(i int, err error) { p.failRecords(p.entries[i].from, p.entries[i].to, err) }

func (p *put) failRecords(from, to int, err error) {
	for j := from; j < to; j++ {
		if p.write.errs[j] == nil { // else it was refused before the entry was made
			p.write.errs[j] = err
		}
	}
}
