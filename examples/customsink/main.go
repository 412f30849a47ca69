// Command customsink bridges into a sink of its own: a file to which every
// record is appended as a line. Sinks and sources of your own have all that ours
// have: order per key, batches, retries, acknowledgement, back-pressure.
//
//	go run ./examples/customsink
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// lines is a sink that writes every record as a line of its file. It returns
// when they are on disk: a message is acknowledged then and not before.
type lines struct{ file *os.File }

func (s lines) Write(_ context.Context, b *bridge.Batch) error {
	var text bytes.Buffer
	for i := range b.Records {
		fmt.Fprintf(&text, "%s\t%s\n", b.Records[i].Key, b.Records[i].Data)
	}
	if _, err := s.file.Write(text.Bytes()); err != nil {
		return err // nothing of the batch counts as stored; the pipeline tries again
	}
	return s.file.Sync()
}

func (s lines) Close(context.Context) error { return s.file.Close() }

// few is a source of a few messages. An MQTT source hands out the broker's in
// the same way; see source/mqtt and source/broker.
type few []bridge.Message

func (s *few) Read(_ context.Context, dst []bridge.Message) (int, error) {
	n := copy(dst, *s)
	if *s = (*s)[n:]; len(*s) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (s *few) Close(context.Context) error { return nil }

func run(ctx context.Context, file *os.File) error {
	r, err := rule.New(rule.Config{
		Name:    "warm",
		SQL:     `SELECT payload.temp AS temp, topic FROM "rooms/+" WHERE payload.temp > 20`,
		Actions: []rule.Action{{Sink: "lines", Key: "${topic}", Data: "${temp} degrees"}},
	})
	if err != nil {
		return err
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"few": &few{
			{Topic: "rooms/kitchen", Payload: []byte(`{"temp": 21.5}`)},
			{Topic: "rooms/cellar", Payload: []byte(`{"temp": 12}`)},
			{Topic: "rooms/kitchen", Payload: []byte(`{"temp": 22.5}`)},
		}},
		Rules: map[string]bridge.Rule{"warm": r},
		Sinks: map[string]bridge.Sink{"lines": lines{file}},
	})
	if err != nil {
		return err
	}
	return p.Run(ctx) // ends with the source; until then, cancel ctx to drain
}

func main() {
	file, err := os.CreateTemp("", "customsink-*.txt")
	if err == nil {
		err = run(context.Background(), file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "customsink:", err)
		os.Exit(1)
	}
	text, err := os.ReadFile(file.Name())
	if err != nil {
		fmt.Fprintln(os.Stderr, "customsink:", err)
		os.Exit(1)
	}
	fmt.Printf("%s\n%s", file.Name(), text)
}
