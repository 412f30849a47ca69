package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// keys is how many partition keys there are.
const keys = 5000

// result is what a way took.
type result struct {
	Stored  int64 // that it takes for stored
	Seconds float64
	CPU     float64 // seconds
	Allocs  uint64
}

func main() {
	n := flag.Int("records", 40_000, "records to put")
	latency := flag.Duration("latency", 5*time.Millisecond, "of each call")
	only := flag.String("only", "", "run the ways whose names contain this")
	serve := flag.String("serve", "", "for the child processes: endpoint, faulty, or the number of a way")
	url := flag.String("url", "", "for the child processes")
	flag.Parse()
	var err error
	switch *serve {
	case "":
		err = compare(*n, *latency, *only)
	case "endpoint", "faulty":
		err = endpoint(*latency, *serve == "faulty")
	default:
		err = measure(*serve, *url, *n)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// compare runs every way, each against an endpoint of its own.
func compare(n int, latency time.Duration, only string) error {
	for _, kind := range []string{"endpoint", "faulty"} {
		fmt.Printf("\n%d records of 200 bytes, %d keys, %v for each call, %s\n\n", n, keys, latency,
			map[string]string{"endpoint": "no faults", "faulty": "5 % of the records and 2 % of the calls fail"}[kind])
		fmt.Println("| | records/s | CPU s per million | allocs per record | lost | of these without a word | twice | out of order |")
		fmt.Println("|---|---|---|---|---|---|---|---|")
		for i, w := range ways {
			if !strings.Contains(strings.ToLower(w.name), strings.ToLower(only)) {
				continue
			}
			if err := runWay(i, kind, n, latency); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return nil
}

func runWay(i int, kind string, n int, latency time.Duration) error {
	server, err := start("-serve", kind, "-latency", latency.String())
	if err != nil {
		return err
	}
	url, err := server.line()
	if err != nil {
		return err
	}
	out, err := exec.Command(os.Args[0], "-serve", fmt.Sprint(i), "-url", url, "-records", fmt.Sprint(n)).Output()
	if err != nil {
		return err
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	answer, err := server.ask()
	if err != nil {
		return err
	}
	var held, twice, disorder int
	if _, err := fmt.Sscan(answer, &held, &twice, &disorder); err != nil {
		return err
	}
	_ = server.end()
	lost := n - held
	fmt.Printf("| %s | %.0f | %.1f | %.1f | %d | %d | %d | %d |\n", ways[i].name, float64(n)/r.Seconds, r.CPU/float64(n)*1e6,
		float64(r.Allocs)/float64(n), lost, max(0, int(r.Stored)-held), twice, disorder)
	return server.cmd.Wait()
}

// measure runs one way and prints what it took.
func measure(number, url string, n int) error {
	var i int
	if _, err := fmt.Sscan(number, &i); err != nil {
		return err
	}
	records := make([]record, n)
	filling := bytes.Repeat([]byte("x"), 190)
	for j := range records {
		records[j] = record{fmt.Sprintf("device-%06d", j%keys), append(fmt.Appendf(nil, "%010d", j), filling...)}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := cpuTime(), time.Now()
	stored, err := ways[i].put(context.Background(), url, records)
	if err != nil {
		return err
	}
	r := result{Stored: stored, Seconds: time.Since(began).Seconds(), CPU: (cpuTime() - cpu).Seconds()}
	runtime.ReadMemStats(&after)
	r.Allocs = after.Mallocs - before.Mallocs
	return json.NewEncoder(os.Stdout).Encode(r)
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail for ourselves
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
