// Command embed shows how a service of your own has Sluice inside: its HTTP
// server serves the console beside its own pages, its rules use a function
// written in Go, and a rule is changed by a request while messages flow.
//
//	go run ./examples/embed
//
// It needs nothing but Go: broker and Kinesis run inside the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/source/broker"
)

const stream = "greenhouse"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, "127.0.0.1:8080", "127.0.0.1:1883", hints); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

// world is where the parts of the program can be reached.
type world struct {
	http, mqtt string
	kinesis    *kinesistest.Server
}

// run starts everything, calls ready, and returns when ctx has ended and all
// that was received is stored.
func run(ctx context.Context, httpAddr, mqttAddr string, ready func(world)) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := kinesistest.New(kinesistest.Config{Streams: []kinesistest.StreamConfig{{Name: stream, Shards: 2}}})
	if err != nil {
		return err
	}
	defer server.Close()
	devices, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://" + mqttAddr}}, Logger: log})
	if err != nil {
		return err
	}
	records, err := kinesis.New(kinesis.Config{
		Stream: stream, Endpoint: server.URL(), Region: kinesistest.DefaultRegion,
		AccessKeyID: "test", SecretAccessKey: "test", Logger: log,
	})
	if err != nil {
		return err
	}
	s, err := newService(devices, records, log)
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", httpAddr)
	if err != nil {
		return err
	}

	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	web.RegisterOnShutdown(s.console.Close) // ends the streams of open pages
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		served <- web.Serve(ln)
		stop() // a service without its pages ends
	}()
	go func() {
		select {
		case <-s.listening:
			ready(world{"http://" + ln.Addr().String(), devices.URLs()[0], server})
		case <-ctx.Done():
		}
	}()
	err = s.pipeline.Run(ctx) // drains when ctx ends

	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = errors.Join(err, web.Shutdown(closing))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func hints(w world) {
	fmt.Printf(`Pages        %[1]s/rule and %[1]s/console/
MQTT broker  %[2]s
Kinesis      %[3]s

Publish, and change the rule while messages flow:

  mosquitto_pub -h 127.0.0.1 -p 1883 -q 1 -t house/1/air -m '{"temp":24,"humidity":80}'
  curl -X PUT --data 'SELECT payload.temp AS temp, topic FROM "house/+/air"' %[1]s/rule
`, w.http, w.mqtt, w.kinesis.URL())
}
