package spool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// outage describes an outage of the real sink behind a volatile buffer.
type outage struct {
	Dir         string
	Messages    int   // that come meanwhile
	Rate        int   // a second; 0: as fast as they are taken
	MemoryBytes int64 // of the buffer and of the real sink's queue, each
}

// outcome is what the process that went through it has found.
type outcome struct {
	Bytes               int64 // of payload
	Files, OnDisk       int64 // at the end of the outage
	Outage, Recovery    time.Duration
	Delivered, Repeated int
	Disorder            string
	Pending             uint64
	// Bytes of memory: resident halfway through the outage, the most resident
	// and the most on the heap until the outage ended, and in all.
	Halfway, OutagePeak, Peak, OutageHeap, Heap int64
}

// TestFlatMemory lets a process go through an outage, and measures its memory.
// SLUICE_OUTAGE=3000000 makes it long; SLUICE_OUTAGE=3000000@5000 has the
// messages come at 5,000 a second, for ten minutes.
func TestFlatMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes several times the memory of the program")
	}
	o := outage{Dir: t.TempDir(), Messages: 300_000, MemoryBytes: 8 << 20}
	if long := os.Getenv("SLUICE_OUTAGE"); long != "" {
		messages, rate, _ := strings.Cut(long, "@")
		o.Messages, _ = strconv.Atoi(messages)
		o.Rate, _ = strconv.Atoi(rate)
		o.MemoryBytes = 64 << 20
	}
	arg, err := json.Marshal(o)
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childOutage+"="+string(arg))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var got outcome
	require.NoError(t, json.Unmarshal(out, &got), "%s", out)
	t.Logf("%d messages, %d MB of payload; outage %v, then %v; on disk %d MB in %d files",
		o.Messages, got.Bytes>>20, got.Outage.Round(time.Millisecond), got.Recovery.Round(time.Millisecond), got.OnDisk>>20, got.Files)
	t.Logf("resident: %d MB halfway, at most %d MB in the outage, %d MB in all; heap: at most %d MB, %d MB in all",
		got.Halfway>>20, got.OutagePeak>>20, got.Peak>>20, got.OutageHeap>>20, got.Heap>>20)

	require.Empty(t, got.Disorder)
	require.Equal(t, o.Messages, got.Delivered)
	require.Zero(t, got.Repeated)
	require.Zero(t, got.Pending)
	require.Greater(t, got.OnDisk, got.Bytes/2, "most of it was on disk")
	if got.Peak == 0 {
		t.Skip("nothing tells how much memory a process has here")
	}
	// The collector lets the heap grow to twice of what is in use: the buffer,
	// the queue, and what is open at the source and under way.
	bound := 2 * (2*o.MemoryBytes + 64<<20)
	require.Less(t, got.Heap, bound)
	require.Less(t, got.Peak, bound+32<<20)
	require.Less(t, got.OutagePeak, got.Halfway*5/4+16<<20, "memory is flat")
}

const childOutage = "SPOOL_TEST_CHILD_OUTAGE"

// run goes through the outage in a process of its own.
func (o outage) run() (out outcome, err error) {
	buf, err := spool.Open(spool.Config{Dir: o.Dir, Mode: spool.Volatile, MemoryBytes: o.MemoryBytes, Logger: quiet()})
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	devices := &fleet{messages: o.Messages, rate: o.Rate, moved: make(chan struct{}, 1)}
	real := &checkedSink{last: make(map[string]int), all: o.Messages, done: cancel}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": devices, "buffered": buf.Source()},
		Rules:   map[string]bridge.Rule{"collect": toBuffer(), "forward": buf.Forward("real")},
		Sinks:   map[string]bridge.Sink{"buffer": buf.Sink(), "real": real},
		Queues:  map[string]bridge.QueueConfig{"real": {MaxBytes: int(o.MemoryBytes), ResumeInterval: 100 * time.Millisecond}},
		Logger:  quiet(),
	})
	if err != nil {
		return out, err
	}
	result := make(chan error, 1)
	start := time.Now()
	go func() { result <- p.Run(ctx) }()
	for tick := time.NewTicker(20 * time.Millisecond); err == nil; {
		select {
		case err = <-result:
			result = nil
		case <-tick.C:
		}
		out.sample()
		if result == nil {
			break
		}
		settled := int(devices.settled.Load())
		if out.Halfway == 0 && settled >= o.Messages/2 {
			out.Halfway = out.Peak
		}
		if settled == o.Messages && !real.up.Swap(true) {
			s := buf.Stats()
			out.OnDisk, out.Files, out.Outage = s.Bytes-s.MemoryBytes, int64(s.Files), time.Since(start)
			out.OutagePeak, out.OutageHeap = out.Peak, out.Heap
		}
	}
	out.Recovery = time.Since(start) - out.Outage
	out.Bytes, out.Pending = devices.bytes.Load(), buf.Stats().Pending
	out.Delivered, out.Repeated, out.Disorder = real.delivered, real.repeated, real.disorder
	return out, err
}

// sample notes how much memory the process has.
func (out *outcome) sample() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	out.Heap = max(out.Heap, int64(m.HeapAlloc))
	text, err := os.ReadFile("/proc/self/statm")
	var size, resident int64
	if _, scan := fmt.Sscan(string(text), &size, &resident); err == nil && scan == nil {
		out.Peak = max(out.Peak, resident*int64(os.Getpagesize()))
	}
}

// fleet is a source of messages of 5,000 devices, numbered for each of them. As
// with MQTT's largest window, 65,535 may be open.
type fleet struct {
	messages, rate int
	next           int
	start          time.Time
	moved          chan struct{}
	settled, bytes atomic.Int64
}

const devices, window = 5000, 65_535

func (f *fleet) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	for {
		if f.start.IsZero() {
			f.start = time.Now()
		}
		allowed := min(f.messages, int(f.settled.Load())+window)
		if f.rate > 0 {
			allowed = min(allowed, int(time.Since(f.start).Seconds()*float64(f.rate)))
		}
		if n := min(len(dst), allowed-f.next); n > 0 {
			for i := range n {
				dst[i] = f.message()
			}
			return n, nil
		}
		select {
		case <-f.moved:
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (f *fleet) message() bridge.Message {
	device, seq := f.next%devices, f.next/devices
	payload := fmt.Appendf(make([]byte, 0, 256),
		`{"seq":%d,"device":"device-%05d","ts":%d,"temperature":%d.%d,"humidity":%d,"status":"ok","firmware":"2.14.%d","location":{"lat":52.%06d,"lon":13.%06d},"tags":["floor-%d","zone-%d"]}`,
		seq, device, 1_760_000_000_000+int64(f.next), 15+f.next%20, f.next%10, 30+f.next%50, device%9, device*17, device*23, device%12, device%40)
	f.next++
	f.bytes.Add(int64(len(payload)))
	return bridge.Message{
		Topic: fmt.Sprintf("devices/device-%05d/data", device), Payload: payload, QoS: 1, Delivery: bridge.NewDelivery(f, 0),
	}
}

// Done implements bridge.Acker.
func (f *fleet) Done(uint64, bridge.Outcome, error) {
	f.settled.Add(1)
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

func (*fleet) Close(context.Context) error { return nil }

// checkedSink is away until it is up, and then checks what it gets.
type checkedSink struct {
	up   atomic.Bool
	done func()
	all  int

	mu                  sync.Mutex
	last                map[string]int
	delivered, repeated int
	disorder            string
}

func (c *checkedSink) Write(_ context.Context, b *bridge.Batch) error {
	if !c.up.Load() {
		return bridge.Unavailable(errors.New("away"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range b.Records {
		text, _, _ := bytes.Cut(r.Data[len(`{"seq":`):], []byte(","))
		seq, err := strconv.Atoi(string(text))
		if err != nil {
			return bridge.Permanent(err)
		}
		next := c.last[string(r.Key)]
		switch {
		case seq < next:
			c.repeated++
			continue
		case seq > next && c.disorder == "":
			c.disorder = fmt.Sprintf("%s: %d comes after %d", r.Key, seq, next-1)
		}
		c.last[string(r.Key)] = seq + 1
		c.delivered++
	}
	if c.delivered == c.all {
		c.done()
	}
	return nil
}

func (*checkedSink) Close(context.Context) error { return nil }
