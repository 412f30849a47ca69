package kinesistest

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// scanPutRecords reads the JSON of a PutRecords request the way SDKs write it,
// many times faster than the general decoder. It gives up on anything unusual,
// right or wrong, and leaves it to the general decoder.
func scanPutRecords(body []byte) (*kinesis.PutRecordsInput, bool) {
	p := putScanner{b: body}
	in := &kinesis.PutRecordsInput{}
	if !p.object(func(name []byte) bool { return p.member(in, name) }) || !p.end() || p.entries == nil {
		return nil, false
	}
	in.Records = p.records()
	return in, true
}

// putScanner is a cursor over a request.
type putScanner struct {
	b       []byte
	i       int
	data    []byte // all decoded data
	text    []byte // all keys
	entries []putSpan
}

// putSpan is where a record's parts are in data and text; end 0 is absence.
type putSpan struct{ data, key, hash span }

type span struct{ from, end int }

func (s span) absent() bool { return s.end < 0 }

var noSpan = span{0, -1}

func (p *putScanner) member(in *kinesis.PutRecordsInput, name []byte) bool {
	switch string(name) {
	case "Records":
		return p.entries == nil && p.list(p.entry)
	case "StreamName":
		return in.StreamName == nil && p.stringInto(&in.StreamName)
	case "StreamARN":
		return in.StreamARN == nil && p.stringInto(&in.StreamARN)
	}
	return false
}

func (p *putScanner) entry() bool {
	e := putSpan{noSpan, noSpan, noSpan}
	ok := p.object(func(name []byte) bool {
		switch string(name) {
		case "Data":
			return e.data.absent() && p.blob(&e.data)
		case "PartitionKey":
			return e.key.absent() && p.keep(&e.key)
		case "ExplicitHashKey":
			return e.hash.absent() && p.keep(&e.hash)
		}
		return false
	})
	p.entries = append(p.entries, e)
	return ok
}

func (p *putScanner) space() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\n' || p.b[p.i] == '\t' || p.b[p.i] == '\r') {
		p.i++
	}
}

func (p *putScanner) take(c byte) bool {
	p.space()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *putScanner) end() bool {
	p.space()
	return p.i == len(p.b)
}

// string reads a string without escapes.
func (p *putScanner) string() ([]byte, bool) {
	if !p.take('"') {
		return nil, false
	}
	n := bytes.IndexByte(p.b[p.i:], '"')
	if n < 0 {
		return nil, false
	}
	s := p.b[p.i : p.i+n]
	p.i += n + 1
	return s, true
}

// plain reports whether s stands for itself between quotes.
func plain(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return utf8.Valid(s)
}

func (p *putScanner) object(member func(name []byte) bool) bool {
	if !p.take('{') {
		return false
	}
	if p.take('}') {
		return true
	}
	for {
		name, ok := p.string()
		if !ok || !p.take(':') || !member(name) {
			return false
		}
		if !p.take(',') {
			return p.take('}')
		}
	}
}

func (p *putScanner) list(item func() bool) bool {
	if !p.take('[') || p.take(']') {
		return false // An empty list is unusual.
	}
	for item() {
		if !p.take(',') {
			return p.take(']')
		}
	}
	return false
}

func (p *putScanner) stringInto(dst **string) bool {
	s, ok := p.string()
	if !ok || !plain(s) {
		return false
	}
	*dst = new(string(s))
	return true
}

func (p *putScanner) keep(dst *span) bool {
	s, ok := p.string()
	if !ok || !plain(s) {
		return false
	}
	dst.from = len(p.text)
	p.text = append(p.text, s...)
	dst.end = len(p.text)
	return true
}

func (p *putScanner) blob(dst *span) bool {
	s, ok := p.string()
	if !ok || len(s)%4 != 0 {
		return false
	}
	if p.data == nil {
		p.data = make([]byte, 0, base64.StdEncoding.DecodedLen(len(p.b)))
	}
	want := len(s) / 4 * 3
	for i := len(s) - 1; i >= 0 && i >= len(s)-2 && s[i] == '='; i-- {
		want--
	}
	dst.from = len(p.data)
	out, err := base64.StdEncoding.Strict().AppendDecode(p.data, s)
	if err != nil || len(out)-dst.from != want {
		return false
	}
	p.data, dst.end = out, len(out)
	return true
}

// records are the entries as the SDK has them, in three blocks of memory.
func (p *putScanner) records() []types.PutRecordsRequestEntry {
	text := string(p.text)
	strings := make([]string, 0, 2*len(p.entries))
	keep := func(s span) *string {
		if s.absent() {
			return nil
		}
		strings = append(strings, text[s.from:s.end])
		return &strings[len(strings)-1]
	}
	out := make([]types.PutRecordsRequestEntry, len(p.entries))
	for i, e := range p.entries {
		if !e.data.absent() {
			out[i].Data = p.data[e.data.from:e.data.end:e.data.end]
		}
		out[i].PartitionKey, out[i].ExplicitHashKey = keep(e.key), keep(e.hash)
	}
	return out
}

// appendJSON appends the reply as JSON.
func (r *putReply) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"FailedRecordCount":`...)
	dst = strconv.AppendInt(dst, int64(r.failed), 10)
	dst = append(dst, `,"Records":[`...)
	for i := range r.results {
		if i > 0 {
			dst = append(dst, ',')
		}
		res := &r.results[i]
		if res.code != "" {
			dst = append(dst, `{"ErrorCode":`...)
			dst = appendString(dst, res.code)
			dst = append(dst, `,"ErrorMessage":`...)
			dst = append(appendString(dst, res.message), '}')
			continue
		}
		dst = append(dst, `{"SequenceNumber":"`...)
		dst = res.seq.append(dst)
		dst = append(dst, `","ShardId":"`...)
		dst = append(dst, res.shard...)
		dst = append(dst, `"}`...)
	}
	dst = append(dst, ']')
	if r.encryption != types.EncryptionTypeNone {
		dst = append(dst, `,"EncryptionType":`...)
		dst = appendString(dst, string(r.encryption))
	}
	return append(dst, '}')
}
