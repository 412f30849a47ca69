package kinesis

import (
	"fmt"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/awsconn"
	"github.com/sluiceio/sluice/internal/kpl"
)

// packer makes entries of records.
type packer struct {
	write   *write
	encoder kpl.Encoder
	scratch []byte // an aggregate before it is encoded
	arena   []byte // compressed data
}

func (k *packer) reset() {
	k.encoder.Reset(nil)
	if k.arena = k.arena[:0]; cap(k.arena) > keepBytes {
		k.arena = nil
	}
}

// addLane adds the records of a lane as the Config wants them packed.
func (k *packer) addLane(p *put, from, to int) {
	switch {
	case k.write.sink.cfg.Aggregate:
		k.addRun(p, from, to)
	case k.write.sink.cfg.Pack == Lines:
		k.addLines(p, from, to)
	default:
		k.addPlain(p, from, to)
	}
}

// addPlain adds each record as an entry of its own.
func (k *packer) addPlain(p *put, from, to int) {
	for i := from; i < to; i++ {
		r := &k.write.records[i]
		data, err := k.prepare(p, r)
		if err != nil {
			k.write.errs[i] = err
			continue
		}
		p.add(i, i+1, 1, r.Key, r.HashKey, data)
	}
}

// addRun adds the records of a lane as one aggregate, in relaxed order as several
// if need be. In strict order those that do not fit into the aggregate fail: had
// the lane two entries in a request, the first might fail and the second be stored.
func (k *packer) addRun(p *put, from, to int) {
	s := k.write.sink
	limit := p.maxRecord
	if s.cfg.Ordering == Relaxed {
		limit = min(limit, s.cfg.AggregateBytes)
	}
	hashKey := s.slots.hashKeys[s.slots.of(hashOfRecord(&k.write.records[from]))]
	k.encoder.Reset(hashKey)
	start, first := from, 0 // of the aggregate; first is the size of its container's key
	for i := from; i < to; i++ {
		r := &k.write.records[i]
		data, err := k.prepare(p, r)
		if err != nil {
			k.write.errs[i] = err
			continue
		}
		id := k.id(r)
		if k.encoder.Len() > 0 && (p.careful || !k.fits(r.Key, data, id, limit-first)) {
			k.flush(p, start, i, hashKey)
			if s.cfg.Ordering == Strict {
				p.hold(i, to)
				return
			}
			start = i
		}
		if k.encoder.Len() == 0 {
			first = len(r.Key)
		}
		k.encoder.Add(r.Key, data, id)
	}
	k.flush(p, start, to, hashKey)
}

// fits reports whether the aggregate has no more bytes than the limit with a
// record more.
func (k *packer) fits(key, data, id []byte, limit int) bool {
	return k.encoder.Size()+len(key)+len(data)+kpl.MaxOverhead+kpl.IDOverhead+len(id) <= limit || k.encoder.SizeWith(key, data, id) <= limit
}

// id returns the ID that is stored with a record, nil for none.
func (k *packer) id(r *bridge.Record) []byte {
	if !k.write.sink.cfg.IDs {
		return nil
	}
	for i := range r.Attrs {
		if r.Attrs[i].Name == bridge.IDAttr {
			return r.Attrs[i].Value
		}
	}
	return nil
}

// flush adds what was collected as an entry: an aggregate, or the record itself
// when there is only one, without an ID. Both carry the slot's hash key, which keeps them in
// the same shard.
func (k *packer) flush(p *put, from, to int, hashKey []byte) {
	if k.encoder.Len() == 0 {
		return
	}
	key, data, id := k.encoder.First()
	if k.encoder.Len() > 1 || len(id) > 0 {
		k.scratch = k.encoder.Append(k.scratch[:0])
		data = k.scratch
	}
	p.add(from, to, k.encoder.Len(), key, hashKey, data)
	k.encoder.Reset(hashKey)
}

// prepare checks a record and returns the data to send.
func (k *packer) prepare(p *put, r *bridge.Record) ([]byte, error) {
	problem := recordProblem(r)
	data, id := r.Data, k.id(r)
	if problem == "" {
		problem = idProblem(id)
	}
	if problem == "" && !k.write.sink.cfg.Aggregate {
		data, problem = withID(data, id)
	}
	if problem == "" {
		data = k.compress(data)
		problem = sizeProblem(k.aloneSize(r, data, id), p.maxRecord)
	}
	if problem != "" {
		return nil, p.refuse(problem)
	}
	return data, nil
}

// aloneSize is what a record takes when it has a Kinesis record to itself.
func (k *packer) aloneSize(r *bridge.Record, data, id []byte) int {
	n := len(data) + len(r.Key)
	if k.write.sink.cfg.Aggregate && len(id) > 0 {
		n += kpl.FixedOverhead + kpl.MaxOverhead + kpl.IDOverhead + len(id) + len(r.Key)
	}
	return n
}

// compress returns data as the Config wants it compressed, in memory that is good
// until the next write.
func (k *packer) compress(data []byte) []byte {
	z := k.write.sink.compress
	if z == nil {
		return data
	}
	start := len(k.arena)
	k.arena = z.append(k.arena, data)
	return k.arena[start:len(k.arena):len(k.arena)]
}

// recordProblem says what is wrong with the keys of a record, "" for nothing.
func recordProblem(r *bridge.Record) string {
	if problem := keyProblem(r.Key); problem != "" || len(r.HashKey) == 0 {
		return problem
	}
	if _, ok := parseHash(r.HashKey); !ok {
		return fmt.Sprintf("the explicit hash key %.50q is not a decimal number from 0 to 2^128-1", r.HashKey)
	}
	return ""
}

func sizeProblem(size, most int) string {
	if size <= most {
		return ""
	}
	return fmt.Sprintf("data and key have %d bytes, the stream takes at most %d", size, most)
}

// refuse is the error of a record that can never be stored.
func (p *put) refuse(problem string) error {
	p.stream.counters.fail(awsconn.Rejected, "", 1)
	return bridge.Permanent(&Error{Stream: p.stream.dest, Message: problem})
}
