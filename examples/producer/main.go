// Producer is an HTTP service that writes what is posted to it to a Kinesis stream,
// and answers 202 only when the stream has it:
//
//	go run ./examples/producer -stream readings -region eu-central-1
//	curl -d '{"temp":21}' localhost:8080/devices/kitchen
//
// Without -stream it writes to a Kinesis within the process, to try it out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	addr := flag.String("listen", "localhost:8080", "address to listen on")
	cfg := kinesis.Config{Aggregate: true}
	flag.StringVar(&cfg.Stream, "stream", "", "name or ARN of the stream; empty: one within the process")
	flag.StringVar(&cfg.Region, "region", "", "AWS region; empty: from the environment")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if cfg.Stream == "" {
		server, err := kinesistest.New(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: "readings"}}})
		if err != nil {
			return err
		}
		defer server.Close()
		aws := server.AWSConfig()
		cfg.AWS, cfg.Stream = &aws, "readings"
	}
	producer, err := kinesis.NewProducer(ctx, cfg, bridge.ProducerConfig{
		IDs:   true,
		Queue: bridge.QueueConfig{OnFull: bridge.DropNewest}, // clients that post too much are told so at once
	})
	if err != nil {
		return err
	}
	server := &http.Server{Addr: *addr, Handler: newHandler(producer), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	fmt.Printf("curl -d '{\"temp\":21}' http://%s/devices/kitchen\n", *addr)
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	// Requests first: their records are what the producer then writes.
	closing, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(closing), producer.Close(closing))
}
