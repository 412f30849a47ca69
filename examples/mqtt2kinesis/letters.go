package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
)

// letterFile reads the dead letters that a sink of type file has written, from an
// offset to the last whole line that there is when it is opened. It implements
// bridge.Source, and knows up to where all letters are settled.
type letterFile struct {
	file *os.File
	in   *bufio.Reader
	pos  int64 // of the next line
	left int64 // bytes up to the end

	bad func(offset int64, err error) // is told about lines that are no letters

	mu      sync.Mutex
	open    []openLetter // handed out, from the oldest that is not settled
	first   uint64       // number of the first of them
	settled int64        // offset behind the last of those that are settled without a gap
}

type openLetter struct {
	end  int64
	done bool
}

// openLetters opens a file at an offset.
func openLetters(path string, offset int64) (*letterFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	end, err := lastLine(f)
	if err == nil && offset > end {
		err = fmt.Errorf("%s is shorter than the checkpoint says: it is another file; remove the checkpoint to begin anew", path)
	}
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &letterFile{file: f, in: bufio.NewReaderSize(f, 1<<16), pos: offset, left: end - offset, settled: offset}, nil
}

// lastLine returns the offset behind the last line that is whole: the next may be
// being written.
func lastLine(f *os.File) (int64, error) {
	end, err := f.Seek(0, io.SeekEnd)
	buf := make([]byte, 1<<16)
	for err == nil && end > 0 {
		n := min(int64(len(buf)), end)
		if _, err = f.ReadAt(buf[:n], end-n); err != nil {
			break
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, err
}

// next returns the next letter and the offset behind it, or io.EOF.
func (s *letterFile) next() (*config.Letter, int64, error) {
	for s.left > 0 {
		line, err := s.in.ReadBytes('\n')
		if err != nil {
			return nil, 0, err
		}
		at := s.pos
		s.pos += int64(len(line))
		s.left -= int64(len(line))
		l, err := parseLetter(line)
		if err == nil {
			return l, s.pos, nil
		}
		if len(bytes.TrimSpace(line)) > 0 {
			s.bad(at, err)
		}
		s.settle(s.hold(s.pos)) // it is passed over
	}
	return nil, 0, io.EOF
}

// Read implements bridge.Source.
func (s *letterFile) Read(ctx context.Context, dst []bridge.Message) (n int, err error) {
	for n < len(dst) && ctx.Err() == nil {
		l, end, err := s.next()
		if err != nil {
			return n, err
		}
		dst[n] = l.Message()
		dst[n].Delivery = bridge.NewDelivery(s, s.hold(end))
		n++
	}
	return n, ctx.Err()
}

// hold notes a letter that ends at an offset and returns its number.
func (s *letterFile) hold(end int64) (seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, openLetter{end: end})
	return s.first + uint64(len(s.open)) - 1
}

// Done implements bridge.Acker. A letter that is neither stored nor a letter again
// stays where it is, and those after it are sent again the next time.
func (s *letterFile) Done(seq uint64, o bridge.Outcome, _ error) {
	if o == bridge.Stored || o == bridge.DeadLettered {
		s.settle(seq)
	}
}

func (s *letterFile) settle(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[seq-s.first].done = true
	for len(s.open) > 0 && s.open[0].done {
		s.settled = s.open[0].end
		s.open = s.open[1:]
		s.first++
	}
}

// progress returns the offset up to which all is settled, and how many letters
// behind it are not.
func (s *letterFile) progress() (offset int64, unsettled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled, len(s.open)
}

// Close implements bridge.Source.
func (s *letterFile) Close(context.Context) error { return s.file.Close() }

// parseLetter reads a line that a sink of type file has written in its format json.
func parseLetter(line []byte) (*config.Letter, error) {
	var all, attrs parts
	if err := json.Unmarshal(line, &all); err != nil {
		return nil, fmt.Errorf("not a line of a sink of type file: %w", err)
	}
	if raw, ok := all["attrs"]; ok {
		if err := json.Unmarshal(raw, &attrs); err != nil {
			return nil, fmt.Errorf("attrs: %w", err)
		}
	}
	data, ok, err := all.bytes("data")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("it has no data")
	}
	l := &config.Letter{Data: data, Payload: data}
	if payload, given, err := attrs.bytes("payload"); err != nil {
		return nil, err
	} else if given {
		l.Payload = payload
	}
	texts := map[string]*string{"error": &l.Error, "sink": &l.Sink, "clientid": &l.ClientID, "topic": &l.Topic, "rule": &l.Rule, "dest": &l.Dest}
	for name, to := range texts {
		text, _, err := attrs.bytes(name)
		if err != nil {
			return nil, err
		}
		*to = string(text)
	}
	for name, to := range map[string]*string{"topic": &l.Topic, "rule": &l.Rule} {
		if text, given, err := all.bytes(name); err == nil && given && *to == "" {
			*to = string(text)
		}
	}
	if l.Topic == "" {
		return nil, errors.New("it has no topic: is it a dead letter?")
	}
	if qos, _, _ := attrs.bytes("qos"); len(qos) == 1 && qos[0] >= '0' && qos[0] <= '2' {
		l.QoS = qos[0] - '0'
	}
	l.Key, _, err = all.bytes("key")
	l.Sink = strings.TrimSuffix(l.Sink, ".buffer")
	return l, err
}

// parts are the members of an object as they are written.
type parts map[string]json.RawMessage

// bytes returns the content of a member: that of a string, or JSON as it is; another
// member with its name and "_base64" has other bytes.
func (p parts) bytes(name string) (content []byte, ok bool, err error) {
	if raw, ok := p[name+"_base64"]; ok {
		err := json.Unmarshal(raw, &content)
		return content, true, err
	}
	raw, ok := p[name]
	if !ok {
		return nil, false, nil
	}
	if raw[0] != '"' {
		return raw, true, nil
	}
	var text string
	err = json.Unmarshal(raw, &text)
	return []byte(text), true, err
}
