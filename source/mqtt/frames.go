package mqtt

import (
	"errors"
	"fmt"
	"io"
)

// frames cuts a stream into MQTT control packets. Packets are slices of its
// buffer; once one has been lent, that memory is not written to again.
type frames struct {
	src  io.Reader
	max  int // bytes of a whole packet
	buf  []byte
	r, w int  // unread part of buf
	lent bool // somebody refers to buf
}

const (
	// slabSize is the size of a read buffer: large enough that a system call
	// and an allocation serve hundreds of small messages.
	slabSize = 64 << 10
	// minRead is the least room that is worth a system call.
	minRead = slabSize / 16
	// maxControl bounds packets other than PUBLISH. They hold a few texts, of
	// 64 KB at most, and decoded take many times their size if it is in user
	// properties.
	maxControl = 256 << 10
	// maxTrust is what is allocated for a packet before its bytes arrive.
	maxTrust = 1 << 20
)

var errMalformed = errors.New("the broker sent a malformed packet")

// buffered returns the next packet, or nil when it has not been read completely;
// need is its size then, or 0 when that is not known either. header is the
// length of the fixed header.
func (f *frames) buffered() (frame []byte, header, need int, err error) {
	size, header, err := packetSize(f.buf[f.r:f.w])
	if err != nil {
		return nil, 0, 0, err
	}
	if size > maxControl && f.buf[f.r]>>4 != typePublish {
		return nil, 0, 0, fmt.Errorf("%w: %d bytes, and it is not a message", errMalformed, size)
	}
	if size > f.max {
		return nil, 0, 0, fmt.Errorf("the broker sent a packet of %d bytes, more than the %d it was told to (MaxPacketSize)", size, f.max)
	}
	if size == 0 || f.w-f.r < size {
		return nil, 0, size, nil
	}
	frame = f.buf[f.r : f.r+size : f.r+size]
	f.r += size
	return frame, header, size, nil
}

// fill reads once, after making room for a packet of need bytes.
func (f *frames) fill(need int) error {
	if f.r == f.w && !f.lent {
		f.r, f.w = 0, 0
	}
	if len(f.buf)-f.r < need || need < minRead && len(f.buf)-f.w < minRead {
		f.room(need)
	}
	n, err := f.src.Read(f.buf[f.w:])
	f.w += n
	if n > 0 {
		return nil
	}
	if err == io.EOF && f.w > f.r {
		return io.ErrUnexpectedEOF
	}
	return err
}

// room moves the unread bytes to the start of a buffer that nobody refers to.
// For a large packet the buffer grows with what arrives, not with what the
// packet's header announces.
func (f *frames) room(need int) {
	have := f.buf[f.r:f.w]
	size := max(slabSize, min(need, max(maxTrust, 2*len(have))))
	if f.lent || len(f.buf) < size {
		f.buf = make([]byte, size)
		f.lent = false
	}
	f.w = copy(f.buf, have)
	f.r = 0
}

// packetSize returns the size of the packet that b begins with, and of its
// fixed header; both are 0 when b is too short to tell.
func packetSize(b []byte) (size, header int, err error) {
	for i := 1; i < len(b); i++ {
		size |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] < 0x80 {
			return 1 + i + size, 1 + i, nil
		}
		if i == 4 {
			return 0, 0, errMalformed
		}
	}
	return 0, 0, nil
}
