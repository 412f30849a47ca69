package mqtt

import (
	"io"
	"runtime"
	"sync"
)

// outbox collects what is to be written to a connection, so that the
// acknowledgements of many messages leave in one system call, and nobody who
// settles a message waits for the network. Writers hold its lock for a whole
// packet: packets.ControlPacket.WriteTo does so with every writer that is a
// sync.Locker.
//
// Its size needs no bound of its own: it holds at most the acknowledgements of
// one receive maximum, and paho's few control packets.
type outbox struct {
	mu   sync.Mutex
	buf  []byte
	shut bool
	wake chan struct{} // capacity 1

	translate func(dst, packets []byte) []byte // of what is written between Lock and Unlock; nil: nothing
	from      int                              // where in buf that begins
	packets   []byte                           // what is being translated
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// Lock is called before a packet is written.
func (o *outbox) Lock() {
	o.mu.Lock()
	o.from = len(o.buf)
}

// Unlock is called after a packet is written, and has it sent.
func (o *outbox) Unlock() {
	if o.translate != nil && len(o.buf) > o.from {
		o.packets = append(o.packets[:0], o.buf[o.from:]...)
		o.buf = o.translate(o.buf[:o.from], o.packets)
	}
	if len(o.buf) > 0 && !o.shut {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	o.mu.Unlock()
}

// Write adds p; the caller holds the lock.
func (o *outbox) Write(p []byte) (int, error) {
	if o.shut {
		return 0, io.ErrClosedPipe
	}
	o.buf = append(o.buf, p...)
	return len(p), nil
}

// append4 adds a packet of four bytes; the caller holds the lock.
func (o *outbox) append4(a, b, c, d byte) {
	if !o.shut {
		o.buf = append(o.buf, a, b, c, d)
	}
}

// close makes run return once it has written what is left.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.shut {
		o.shut = true
		close(o.wake)
	}
}

// run writes to w until the outbox is closed or writing fails.
func (o *outbox) run(w io.Writer) error {
	var spare []byte
	for range o.wake {
		// Let those who settle a batch finish it: one write for all.
		runtime.Gosched()
		if err := o.flush(w, &spare); err != nil {
			return err
		}
	}
	return o.flush(w, &spare)
}

func (o *outbox) flush(w io.Writer, spare *[]byte) error {
	o.mu.Lock()
	out := o.buf
	o.buf = (*spare)[:0]
	o.mu.Unlock()
	*spare = out
	if len(out) == 0 {
		return nil
	}
	_, err := w.Write(out)
	return err
}
