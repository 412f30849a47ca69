package kinesis

import (
	"fmt"

	"github.com/sluiceio/sluice/bridge"
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

// addRun adds the records of a lane as one aggregate. Only in relaxed order, or
// when they do not fit into a Kinesis record, there may be several.
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
		if most := k.encoder.Size() + len(r.Key) + len(data) + kpl.MaxOverhead; most+first > limit &&
			k.encoder.Len() > 0 && k.encoder.SizeWith(r.Key, data)+first > limit {
			k.flush(p, start, i, hashKey)
			start = i
		}
		if k.encoder.Len() == 0 {
			first = len(r.Key)
		}
		k.encoder.Add(r.Key, data)
	}
	k.flush(p, start, to, hashKey)
}

// flush adds what was collected as an entry: an aggregate, or the record itself
// when there is only one. Both carry the slot's hash key, which keeps them in
// the same shard.
func (k *packer) flush(p *put, from, to int, hashKey []byte) {
	if k.encoder.Len() == 0 {
		return
	}
	key, data := k.encoder.First()
	if k.encoder.Len() > 1 {
		k.scratch = k.encoder.Append(k.scratch[:0])
		data = k.scratch
	}
	p.add(from, to, k.encoder.Len(), key, hashKey, data)
	k.encoder.Reset(hashKey)
}

// prepare checks a record and returns the data to send.
func (k *packer) prepare(p *put, r *bridge.Record) ([]byte, error) {
	problem := keyProblem(r.Key)
	if problem == "" && len(r.HashKey) > 0 {
		if _, ok := parseHash(r.HashKey); !ok {
			problem = fmt.Sprintf("the explicit hash key %.50q is not a decimal number from 0 to 2^128-1", r.HashKey)
		}
	}
	data := r.Data
	if z := k.write.sink.compress; z != nil && problem == "" {
		start := len(k.arena)
		k.arena = z.append(k.arena, data)
		data = k.arena[start:len(k.arena):len(k.arena)]
	}
	if size := len(data) + len(r.Key); problem == "" && size > p.maxRecord {
		problem = fmt.Sprintf("data and key have %d bytes, the stream takes at most %d", size, p.maxRecord)
	}
	if problem != "" {
		p.stream.counters.fail(rejected, "", 1)
		return nil, bridge.Permanent(&Error{Stream: p.stream.dest, Message: problem})
	}
	return data, nil
}
