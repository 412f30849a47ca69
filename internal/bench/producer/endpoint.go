package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// stream is where all put to.
const stream = "readings"

// endpoint serves a Kinesis until its standard input ends, as a child of main.
func endpoint(latency time.Duration, faulty bool) error {
	plan := kinesistest.Plan{Seed: 1, Faults: []kinesistest.Fault{{Kind: kinesistest.Slow, Op: "Put*", Delay: latency}}}
	if faulty {
		plan.Faults = append(plan.Faults,
			kinesistest.Fault{Kind: kinesistest.FailRecord, Op: "Put*", Code: "ProvisionedThroughputExceededException", Rate: 0.05},
			kinesistest.Fault{Kind: kinesistest.ResetAfter, Op: "Put*", Rate: 0.01},
			kinesistest.Fault{Kind: kinesistest.FailCall, Op: "Put*", Rate: 0.01})
	}
	server, err := kinesistest.New(kinesistest.Config{
		Streams: []kinesistest.StreamConfig{{Name: stream, Shards: 4}}, Faults: plan,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	fmt.Println(server.URL())
	_, err = bufio.NewReader(os.Stdin).ReadString('\n') // until main lets go
	if err != nil {
		return nil
	}
	fmt.Println(judge(server))
	return nil
}

// judge counts what the stream holds: how many different records, how many twice,
// and how many stand behind a later one of their key.
func judge(server *kinesistest.Server) string {
	seen, last := map[string]bool{}, map[string]int{}
	twice, disorder := 0, 0
	for _, r := range server.UserRecords(stream) {
		if seen[string(r.Data)] {
			twice++
			continue
		}
		seen[string(r.Data)] = true
		var n int
		_, _ = fmt.Sscanf(string(r.Data[:10]), "%d", &n)
		if n < last[r.PartitionKey] {
			disorder++
		}
		last[r.PartitionKey] = max(n, last[r.PartitionKey])
	}
	return fmt.Sprintf("%d %d %d", len(seen), twice, disorder)
}

// child is a process of this program.
type child struct {
	cmd *exec.Cmd
	in  *bufio.Writer
	out *bufio.Reader
	end func() error
}

func start(args ...string) (*child, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &child{cmd, bufio.NewWriter(in), bufio.NewReader(out), in.Close}, cmd.Start()
}

// line reads a line of what the child prints.
func (c *child) line() (string, error) {
	text, err := c.out.ReadString('\n')
	return strings.TrimSpace(text), err
}

// ask sends a line and reads one.
func (c *child) ask() (string, error) {
	_, _ = c.in.WriteString("\n")
	if err := c.in.Flush(); err != nil {
		return "", err
	}
	return c.line()
}
