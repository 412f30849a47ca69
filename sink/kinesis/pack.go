package kinesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Packing is a way to put many records into one Kinesis record that needs no
// library to be read.
type Packing uint8

const (
	// NoPacking puts one record into a Kinesis record.
	NoPacking Packing = iota
	// Lines joins records of one key, each with a newline at its end.
	Lines
)

// String returns "none" or "lines".
func (p Packing) String() string {
	if p == Lines {
		return "lines"
	}
	return "none"
}

// UnmarshalText reads "none" or "lines".
func (p *Packing) UnmarshalText(text []byte) error {
	for _, v := range []Packing{NoPacking, Lines} {
		if string(text) == v.String() {
			*p = v
			return nil
		}
	}
	return fmt.Errorf("packing %q is neither none nor lines", text)
}

var errNoLine = errors.New("the data has a newline within and is not JSON: it cannot be packed as a line")

// appendLine appends data as a line. Newlines within JSON are space between its
// parts, since strings have none, and become spaces.
func appendLine(dst, data []byte) ([]byte, error) {
	data = bytes.TrimRight(data, "\r\n")
	if bytes.IndexByte(data, '\n') < 0 {
		return append(append(dst, data...), '\n'), nil
	}
	if !json.Valid(data) {
		return dst, errNoLine
	}
	start := len(dst)
	dst = append(dst, data...)
	for i, c := range dst[start:] {
		if c == '\n' || c == '\r' {
			dst[start+i] = ' '
		}
	}
	return append(dst, '\n'), nil
}

// addLines adds the records of a lane, which share their key, as lines of one
// entry, in relaxed order as several if need be; see addRun. A record of another
// key or hash key, which may have to go to another shard, ends the entry.
func (k *packer) addLines(p *put, from, to int) {
	s := k.write.sink
	limit := p.maxRecord
	if s.cfg.Ordering == Relaxed {
		limit = min(limit, s.cfg.AggregateBytes)
	}
	start, lines := from, 0
	k.scratch = k.scratch[:0]
	for i := from; i < to; i++ {
		r := &k.write.records[i]
		before := len(k.scratch)
		err := k.line(p, i)
		if err != nil {
			k.write.errs[i] = err
			continue
		}
		if first := &k.write.records[start]; lines > 0 && (len(k.scratch)+len(r.Key) > limit ||
			!bytes.Equal(first.Key, r.Key) || !bytes.Equal(first.HashKey, r.HashKey)) {
			line := k.scratch[before:]
			k.flushLines(p, start, i, lines, k.scratch[:before])
			if s.cfg.Ordering == Strict {
				p.hold(i, to)
				return
			}
			k.scratch = append(k.scratch[:0], line...)
			start, lines = i, 0
		}
		if lines == 0 {
			start = i
		}
		lines++
	}
	k.flushLines(p, start, to, lines, k.scratch)
}

// line appends record i as a line, unless it cannot be stored.
func (k *packer) line(p *put, i int) error {
	r := &k.write.records[i]
	problem, id := recordProblem(r), k.id(r)
	data := r.Data
	if problem == "" {
		problem = idProblem(id)
	}
	if problem == "" {
		data, problem = withID(data, id)
	}
	if problem == "" {
		text, err := appendLine(k.scratch, data)
		size := len(text) - len(k.scratch) + len(r.Key)
		switch {
		case err != nil:
			problem = err.Error()
		case k.write.sink.compress == nil:
			problem = sizeProblem(size, p.maxRecord)
		}
		if problem == "" {
			k.scratch = text
			return nil
		}
	}
	return p.refuse(problem)
}

func (k *packer) flushLines(p *put, from, to, lines int, data []byte) {
	if lines == 0 {
		return
	}
	r := &k.write.records[from]
	data = k.compress(data)
	if problem := sizeProblem(len(data)+len(r.Key), p.maxRecord); problem != "" && lines == 1 {
		p.failRecords(from, to, p.refuse(problem))
		return
	}
	p.add(from, to, lines, r.Key, r.HashKey, data)
}
