package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// The devices of TestConnectedDevices run in a process of their own, this test
// binary started with these in its environment, so that the memory measured is
// the broker's.
const (
	devicesAddr  = "SLUICE_TEST_DEVICES_ADDR"
	devicesCount = "SLUICE_TEST_DEVICES"
)

// TestConnectedDevices connects many devices over TCP, each of which subscribes to
// a topic of its own and publishes with QoS 1, and bounds the memory that one
// takes while it is connected. SLUICE_DEVICES sets how many there are; 10,000 take
// about 10 s.
func TestConnectedDevices(t *testing.T) {
	devices, rounds := 1000, 3
	if s := os.Getenv("SLUICE_DEVICES"); s != "" {
		var err error
		devices, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	const most = 24 << 10 // bytes of heap and stacks for each
	src := open(t, broker.Config{})
	heap, rss := memory(t)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), devicesAddr+"="+src.Addr().String(), devicesCount+"="+fmt.Sprint(devices))
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	child.Stderr = os.Stderr
	require.NoError(t, child.Start())
	says := bufio.NewReader(out)
	expect := func(word string) {
		t.Helper()
		line, err := says.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, word, strings.TrimSpace(line))
	}
	expect("connected")
	require.Equal(t, devices, src.Stats().Connections)
	for range rounds {
		_, err := fmt.Fprintln(in, "publish")
		require.NoError(t, err)
		seen := make(map[string]bool)
		for range devices {
			m := read(t, src, 1)[0]
			require.Equal(t, "dev/"+m.ClientID, m.Topic)
			seen[m.ClientID] = true
			m.Delivery.Done(bridge.Stored, nil)
		}
		require.Len(t, seen, devices)
		expect("acknowledged")
	}
	heapAfter, rssAfter := memory(t)
	perDevice := (heapAfter - heap) / int64(devices)
	t.Logf("%d devices: %d bytes of heap and stacks, %d bytes of resident memory for each",
		devices, perDevice, (rssAfter-rss)/int64(devices))
	if !raceEnabled {
		require.Less(t, perDevice, int64(most))
	}

	require.NoError(t, in.Close())
	require.NoError(t, child.Wait())
	require.Eventually(t, func() bool { return src.Stats().Connections == 0 }, patience, time.Millisecond)
}

// memory returns the bytes of heap and stacks in use, and the resident memory of
// the process, 0 where that is not known.
func memory(t *testing.T) (heap, rss int64) {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, pages int64
		_, err := fmt.Sscan(string(text), &size, &pages)
		require.NoError(t, err)
		rss = pages * int64(os.Getpagesize())
	}
	return int64(m.HeapInuse + m.StackInuse), rss
}

// runDevices is the other process. It publishes one message from each device for
// each line on its standard input, and ends with it.
func runDevices(addr string) error {
	count, err := strconv.Atoi(os.Getenv(devicesCount))
	if err != nil {
		return err
	}
	conns := make([]net.Conn, count)
	each := func(f func(i int) error) error { // a few at once
		var wg sync.WaitGroup
		errs := make(chan error, 50)
		next := make(chan int)
		for range cap(errs) {
			wg.Go(func() {
				for i := range next {
					if err := f(i); err != nil {
						select {
						case errs <- err:
						default:
						}
					}
				}
			})
		}
		for i := range count {
			next <- i
		}
		close(next)
		wg.Wait()
		close(errs)
		return <-errs
	}
	exchange := func(i int, send, want string) error {
		if _, err := io.WriteString(conns[i], send); err != nil {
			return err
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conns[i], got); err != nil || string(got) != want {
			return fmt.Errorf("device %d got %q: %w", i, got, err)
		}
		return nil
	}
	err = each(func(i int) (err error) {
		if conns[i], err = net.Dial("tcp", addr); err != nil {
			return err
		}
		name := fmt.Sprintf("dev-%06d", i)
		if err := exchange(i, "\x10\x16\x00\x04MQTT\x04\x02\x0e\x10\x00\x0a"+name, "\x20\x02\x00\x00"); err != nil {
			return err
		}
		return exchange(i, "\x82\x13\x00\x01\x00\x0ecmd/"+name+"\x01", "\x90\x03\x00\x01\x01")
	})
	if err != nil {
		return err
	}
	fmt.Println("connected")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		err := each(func(i int) error {
			_, err := fmt.Fprintf(conns[i], "\x32\x19\x00\x0edev/dev-%06d\x00\x07reading", i)
			return err
		})
		if err != nil {
			return err
		}
		if err := each(func(i int) error { return exchange(i, "", "\x40\x02\x00\x07") }); err != nil {
			return err
		}
		fmt.Println("acknowledged")
	}
	return nil
}
