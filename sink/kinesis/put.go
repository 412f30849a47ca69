package kinesis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
)

// put is the part of a write that goes to one stream.
type put struct {
	write     *write
	stream    *stream
	maxRecord int
	careful   bool      // one record in each Kinesis record
	started   time.Time // of the last request
	buf       []byte    // the entries in JSON, separated by commas
	entries   []entry
	places    []place // of the entries of the last request; empty if nobody wants to know
	isolation isolation
}

// entry is one Kinesis record: records from to to-1 of the batch.
type entry struct {
	from, to int
	records  int // that are in it; the others of from to to-1 were refused
	lo, hi   int // in buf
	bytes    int // of data and key
}

// wire is what the entry takes in the body of a request.
func (e *entry) wire() int { return e.hi - e.lo }

func (p *put) reset() {
	p.stream = nil
	p.entries = p.entries[:0]
	p.isolation = isolation{}
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
	s := p.write.sink
	for a, n := 0, len(p.entries); a < n; {
		b, bytes, wire, room := a, 0, 0, s.room.get()
		for ; b < n && b-a < MaxEntries; b++ {
			e := &p.entries[b]
			bytes, wire = bytes+e.bytes, wire+e.wire()
			if b > a && (bytes > s.cfg.MaxRequestBytes || wire > room) {
				break
			}
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
	if err != nil && awsconn.IsExpired(err) && s.renewer.Renew() {
		out, sent, err = p.call(ctx, a, b) // it was refused before anything was stored
	}
	if sent.some {
		p.write.reachedOne()
	}
	if err == nil {
		p.outcomes(a, b, out)
		return nil
	}
	s.total.failedRequests.Add(1)
	e, c := s.requestError(p.stream, err, putAction, sent.all)
	switch c {
	case awsconn.Rejected, awsconn.Suspect, awsconn.TooLarge:
		return p.isolate(ctx, a, b, e, c)
	}
	if !sent.some {
		p.write.cannotSend(mark(c, e))
	}
	p.stream.counters.fail(c, e.Shard, b-a)
	p.fail(a, b, mark(c, e))
	if c == awsconn.Ambiguous { // not so for what was not sent
		return &Error{Stream: e.Stream, Message: "not sent, because a request before it failed", Err: err}
	}
	return mark(c, e)
}

// extent says how much of a request may have gone out.
type extent struct{ some, all bool }

// call makes one request. The output is nil when all entries were stored and the
// reply was not decoded.
func (p *put) call(ctx context.Context, a, b int) (out *sdk.PutRecordsOutput, sent extent, err error) {
	s := p.write.sink
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	// Not reused: the transport may hold on to it after the call.
	x := &exchange{entries: b - a, decode: p.stream.sampleDue()}
	if p.places = p.places[:0]; p.write.wants || s.cfg.OnReceipt != nil {
		p.places = slices.Grow(p.places, b-a)[:b-a]
		clear(p.places)
		x.places = p.places
	}
	x.body.set(p.buf[p.entries[a].lo:p.entries[b-1].hi], p.stream.tail)
	s.total.requests.Add(1)
	p.started = time.Now()
	size := p.wire(a, b)
	out, err = s.client.PutRecords(context.WithValue(ctx, exchangeKey{}, x), p.stream.put, putOptions)
	sent.some, sent.all = x.body.detach()
	switch {
	case err == nil:
		s.room.answered(size)
		if x.skipped {
			out = nil
		}
	case sent.some && (errors.Is(ctx.Err(), context.DeadlineExceeded) || isBrokenOff(err)):
		s.room.brokeOff(size)
	}
	return out, sent, err
}

// isBrokenOff reports whether the connection broke while the request was sent, as
// it does when something on the way has had enough of it.
func isBrokenOff(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

// outcomes notes the outcomes of a request that was answered.
func (p *put) outcomes(a, b int, out *sdk.PutRecordsOutput) {
	s := p.write.sink
	if out == nil {
		p.stored(a, b)
		p.receipts(a)
		return
	}
	if len(out.Records) != b-a {
		p.doubt(a, b, fmt.Sprintf("the reply has %d outcomes for %d records", len(out.Records), b-a))
		return
	}
	believed := countFailed(out) >= int(aws.ToInt32(out.FailedRecordCount))
	requestID, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	var last *Error // records mostly fail for the same reason: one error serves them all
	var marked error
	var c awsconn.Class
	for i := range out.Records {
		r := &out.Records[i]
		code, message := awsconn.Short(aws.ToString(r.ErrorCode)), awsconn.Short(aws.ToString(r.ErrorMessage))
		switch {
		case isStored(r) && believed:
			p.stored(a+i, a+i+1)
			continue
		case isStored(r):
			p.doubt(a+i, a+i+1, "the reply counts more failed records than it names")
			continue
		case code == "":
			p.doubt(a+i, a+i+1, "the reply does not say what became of the record")
			continue
		case aws.ToString(r.SequenceNumber) != "":
			p.doubt(a+i, a+i+1, "the reply has a sequence number and an error for the record: "+code)
			continue
		}
		if last == nil || code != last.Code || message != last.Message {
			last, c = s.recordError(p.stream, code, message, requestID)
			marked = mark(c, last)
		}
		p.stream.counters.fail(c, last.Shard, 1)
		p.failEntry(a+i, marked)
	}
	s.learn(p.stream, out.Records)
	if p.stream.shards.Load() == nil {
		p.note(a, out.Records)
	}
	p.watch(a, out)
	if len(p.places) > 0 && believed {
		for i := range out.Records {
			if r := &out.Records[i]; isStored(r) {
				p.places[i] = place{aws.ToString(r.ShardId), *r.SequenceNumber}
			}
		}
		p.receipts(a)
	}
}

// isStored reports whether an outcome says that its record is stored.
func isStored(r *types.PutRecordsResultEntry) bool {
	return aws.ToString(r.ErrorCode) == "" && aws.ToString(r.SequenceNumber) != ""
}

func countFailed(out *sdk.PutRecordsOutput) (n int) {
	for i := range out.Records {
		if !isStored(&out.Records[i]) {
			n++
		}
	}
	return n
}

// doubt fails the entries from a to b-1, of which a reply does not say plainly
// what became of them.
func (p *put) doubt(a, b int, why string) {
	p.stream.counters.fail(awsconn.Ambiguous, "", b-a)
	p.fail(a, b, bridge.Ambiguous(&Error{Stream: p.stream.dest, Message: why}))
}

// receipts says where the records of the entries from a on are stored, if somebody
// wants to know.
func (p *put) receipts(a int) {
	w := p.write
	var list []Receipt
	for i, at := range p.places {
		if at.sequence == "" {
			continue
		}
		sub := 0
		for j, e := p.entries[a+i].from, p.entries[a+i]; j < e.to; j++ {
			if w.errs[j] != nil {
				continue // it was refused before the entry was made
			}
			if rec := &w.records[j]; w.sink.cfg.OnReceipt != nil {
				list = append(list, Receipt{
					Index: j, Topic: rec.Topic, Rule: rec.Rule, Stream: p.stream.dest,
					ShardID: at.shard, SequenceNumber: at.sequence, SubSequence: sub,
				})
			}
			if w.wants {
				w.receipts[j] = bridge.Receipt{Shard: at.shard, Sequence: at.sequence, SubSequence: sub}
			}
			sub++
		}
	}
	if len(list) > 0 {
		w.sink.cfg.OnReceipt(list)
	}
}

// stored counts the entries from a to b-1.
func (p *put) stored(a, b int) {
	records := 0
	for _, e := range p.entries[a:b] {
		records += e.records
	}
	p.stream.counters.count(p.entries[a:b], records)
	p.isolation.accepted(b - a)
	p.stream.blame.Accept()
}

// wire is what the entries from a to b-1 take in the body of a request.
func (p *put) wire(a, b int) int { return p.entries[b-1].hi - p.entries[a].lo }

// fail fails the entries from a to b-1.
func (p *put) fail(a, b int, err error) {
	for i := a; i < b; i++ {
		p.failEntry(i, err)
	}
}

// hold fails records from to to-1, which have to wait for those before them in
// their lane.
func (p *put) hold(from, to int) {
	p.failRecords(from, to, &Error{Stream: p.stream.dest, Message: "not sent: waits for a record before it that shares its order"})
}

func (p *put) failEntry(i int, err error) { p.failRecords(p.entries[i].from, p.entries[i].to, err) }

func (p *put) failRecords(from, to int, err error) {
	for j := from; j < to; j++ {
		if p.write.errs[j] == nil { // else it was refused before the entry was made
			p.write.errs[j] = err
		}
	}
}
