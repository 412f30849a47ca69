package kinesis

import "bytes"

// storedAll reports whether a reply to PutRecords says, whole and without
// contradiction, that each of n records was stored: no failed record, n outcomes,
// each with a sequence number and none with an error. Most replies do, and this
// costs a tenth of decoding them. Everything else, also what is merely unusual, is
// left to the decoder. If there are places for them, it notes where each is stored.
func storedAll(reply []byte, n int, places []place) bool {
	s := replyScanner{rest: reply, places: places}
	zero, outcomes := false, -1
	ok := s.object(func(key []byte) bool {
		switch string(key) {
		case "FailedRecordCount":
			zero = !zero && s.eat('0')
			return zero
		case "EncryptionType":
			_, ok := s.text()
			return ok
		case "Records":
			if outcomes >= 0 {
				return false
			}
			outcomes = s.outcomes()
			return outcomes == n
		}
		return false
	})
	return ok && zero && outcomes == n && len(s.rest) == 0
}

// place is where an entry is stored; the zero place is that of one that is not.
type place struct{ shard, sequence string }

// replyScanner reads JSON of the one shape that it knows. Its methods skip the
// space behind what they read.
type replyScanner struct {
	rest   []byte
	places []place // of the outcomes that are still to come
	shards []string
}

// outcomes counts the elements of Records, -1 when one of them may not be stored.
func (s *replyScanner) outcomes() (n int) {
	if !s.eat('[') {
		return -1
	}
	for !s.eat(']') {
		if n > 0 && !s.eat(',') || !s.outcome() {
			return -1
		}
		n++
	}
	return n
}

func (s *replyScanner) outcome() bool {
	number, at := false, place{}
	ok := s.object(func(key []byte) bool {
		switch string(key) {
		case "SequenceNumber":
			text, ok := s.text()
			number = ok && len(text) > 0 && !number
			if len(s.places) > 0 {
				at.sequence = string(text)
			}
			return number
		case "ShardId":
			text, ok := s.text()
			if len(s.places) > 0 {
				at.shard = s.shard(text)
			}
			return ok
		case "ErrorCode", "ErrorMessage":
			return s.null()
		}
		return false
	})
	if len(s.places) > 0 {
		s.places[0], s.places = at, s.places[1:]
	}
	return ok && number
}

// shard returns the ID of a shard as a string, the same one for the same shard.
func (s *replyScanner) shard(id []byte) string {
	for _, x := range s.shards {
		if x == string(id) {
			return x
		}
	}
	const many = 64 // then looking costs more than another copy
	x := string(id)
	if len(s.shards) < many {
		s.shards = append(s.shards, x)
	}
	return x
}

// object reads an object, whose values are read by value.
func (s *replyScanner) object(value func(key []byte) bool) bool {
	if !s.eat('{') {
		return false
	}
	for first := true; !s.eat('}'); first = false {
		if !first && !s.eat(',') {
			return false
		}
		key, ok := s.text()
		if !ok || !s.eat(':') || !value(key) {
			return false
		}
	}
	return true
}

// text reads a string that needs no decoding.
func (s *replyScanner) text() ([]byte, bool) {
	if len(s.rest) == 0 || s.rest[0] != '"' {
		return nil, false
	}
	n := bytes.IndexByte(s.rest[1:], '"')
	if n < 0 {
		return nil, false
	}
	text := s.rest[1 : 1+n]
	if bytes.IndexByte(text, '\\') >= 0 {
		return nil, false
	}
	s.skip(n + 2)
	return text, true
}

func (s *replyScanner) null() bool {
	if !bytes.HasPrefix(s.rest, []byte("null")) {
		return false
	}
	s.skip(len("null"))
	return true
}

func (s *replyScanner) eat(c byte) bool {
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.skip(1)
	return true
}

// skip goes on by n bytes and the space behind them.
func (s *replyScanner) skip(n int) {
	for s.rest = s.rest[n:]; len(s.rest) > 0; s.rest = s.rest[1:] {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
		default:
			return
		}
	}
}
