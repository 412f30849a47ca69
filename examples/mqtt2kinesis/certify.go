package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/redact"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/mqtt"
)

// certification is what the flags of the command certify say, and its surroundings.
type certification struct {
	mqtt, username, password, ca string
	stream, region, endpoint     string
	messages, keys, bytes        int
	timeout, patience            time.Duration
	reshard                      bool

	run    string // a name that nobody else has
	log    *slog.Logger
	client *sdk.Client
}

// certify is the command certify: it sends messages through a broker, a bridge and a
// stream, reads the stream, and judges what it finds there.
func (p *program) certify(ctx context.Context, args []string) error {
	f := p.flags("certify", "-mqtt URL -stream NAME -yes")
	c := certification{run: strings.ToLower(rand.Text()[:8]), log: slog.New(slog.DiscardHandler)}
	f.StringVar(&c.mqtt, "mqtt", "mqtt://localhost:1883", "`URL` of the broker")
	f.StringVar(&c.username, "username", "", "user name at the broker; the password is SLUICE_PASSWORD")
	f.StringVar(&c.ca, "ca", "", "`file` of the authorities that sign the broker's certificate (default the system's)")
	f.StringVar(&c.stream, "stream", "", "name or ARN of the stream; its other records are left alone")
	f.StringVar(&c.region, "region", "", "AWS region (default what the AWS configuration says)")
	f.StringVar(&c.endpoint, "endpoint", "", "`URL` of Kinesis where it is not AWS's own")
	f.IntVar(&c.messages, "messages", 2000, "messages for each way of writing")
	f.IntVar(&c.keys, "keys", 50, "partition keys")
	f.IntVar(&c.bytes, "bytes", 200, "size of a message, at least 64")
	f.DurationVar(&c.timeout, "timeout", 5*time.Minute, "when to give up")
	f.DurationVar(&c.patience, "patience", time.Minute, "how long a message may take after the one before it; what comes later counts as lost")
	f.BoolVar(&c.reshard, "reshard", false, "split a shard of the stream on the way, which is not undone")
	report := f.String("report", "", "`file` for the report (default standard output)")
	yes := f.Bool("yes", false, "go on: without it only the cost is shown")
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	c.password, _ = p.lookup("SLUICE_PASSWORD")
	if c.stream == "" || c.messages < 1 || c.keys < 1 || c.bytes < 64 || c.timeout <= 0 || c.patience <= 0 {
		return usageError{errors.New("-stream is missing, or a number makes no sense; see mqtt2kinesis help certify")}
	}
	c.showCost(p.stdout)
	if !*yes {
		return usageError{errors.New("nothing was sent: give -yes to go on")}
	}
	out := p.stdout
	if *report != "" {
		file, err := os.Create(*report)
		if err != nil {
			return usageError{err}
		}
		defer file.Close()
		out = file
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.certify(ctx, out)
}

// ways are the ways of writing that are certified.
var ways = []struct {
	name string
	set  func(*kinesis.Config)
}{
	{"one record per message", func(*kinesis.Config) {}},
	{"aggregated", func(c *kinesis.Config) { c.Aggregate = true }},
	{"lines", func(c *kinesis.Config) { c.Pack = kinesis.Lines }},
}

func (c *certification) showCost(w io.Writer) {
	most := len(ways) * c.messages
	fmt.Fprintf(w, "publishes %d messages of %d bytes on sluice-certify/%s/#, and writes them to the stream %s: at most %d PUT payload units",
		most, c.bytes, c.run, c.stream, most*(1+c.bytes/25_600))
	if prices, ok := kinesis.PricesOf("us-east-1"); ok {
		fmt.Fprintf(w, ", $%.4f at the list prices of us-east-1 of %s", float64(most)*float64(1+c.bytes/25_600)/1e6*prices.MillionPayloadUnits, prices.Date)
	}
	fmt.Fprintln(w, ". What the stream keeps since the beginning of the run is read once.")
	if c.reshard {
		fmt.Fprintln(w, "A shard is split, which adds the price of one shard for as long as it stays.")
	}
}

// result is what was found of one way of writing.
type result struct {
	kinesistest.Report
	way       string
	records   int // of Kinesis
	ambiguous uint64
	took      time.Duration
}

// err is what speaks against a certificate.
func (r *result) err() error {
	if r.Err() == nil {
		return nil
	}
	first := append(append(r.Lost, r.Reordered...), r.Unknown...)[0]
	return fmt.Errorf("%s: %d of %d messages were lost, %d came behind later ones of their key, %d are not ours; the first of them is %.90s",
		r.way, len(r.Lost), r.Sent, len(r.Reordered), len(r.Unknown), first.Data)
}

func (c *certification) certify(ctx context.Context, out io.Writer) error {
	var err error
	if c.client, err = kinesis.NewClient(c.sink()); err != nil {
		return usageError{err}
	}
	before, err := c.shards(ctx)
	if err != nil {
		return err
	}
	var results []*result
	for i, way := range ways {
		r, err := c.try(ctx, i)
		if err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		results = append(results, r)
		if r.err() != nil {
			break // the others would say nothing more
		}
	}
	after, err := c.shards(context.WithoutCancel(ctx)) // which may be over
	if err != nil {
		return err
	}
	return c.write(out, results, before, after)
}

func (c *certification) sink() kinesis.Config {
	return kinesis.Config{Stream: c.stream, Region: c.region, Endpoint: c.endpoint, Logger: c.log}
}

// shards counts the open shards of the stream.
func (c *certification) shards(ctx context.Context) (int, error) {
	open, err := c.openShards(ctx)
	return len(open), err
}

func (c *certification) openShards(ctx context.Context) (open []types.Shard, err error) {
	for s, err := range listShards(ctx, c.client, c.name(), c.arn()) {
		if err != nil {
			return nil, err
		}
		if s.SequenceNumberRange == nil || s.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, s)
		}
	}
	return open, nil
}

// name and arn are the stream as the service wants it: one of them is nil.
func (c *certification) name() *string {
	if strings.HasPrefix(c.stream, "arn:") {
		return nil
	}
	return &c.stream
}

func (c *certification) arn() *string {
	if strings.HasPrefix(c.stream, "arn:") {
		return &c.stream
	}
	return nil
}

// try sends messages through a bridge that writes in the i-th way, and stops in the
// middle, and reads what the stream has got.
//
//	bridge starts ─► half is published ─► bridge ends without a drain ─► the rest is
//	published ─► shard is split, if allowed ─► another bridge starts ─► all is stored
func (c *certification) try(ctx context.Context, i int) (*result, error) {
	began := time.Now()
	r := &result{way: ways[i].name}
	topic := fmt.Sprintf("sluice-certify/%s/%d", c.run, i)
	publisher, err := c.publisher(ctx)
	if err != nil {
		return nil, err
	}
	defer publisher.Close(context.WithoutCancel(ctx))

	first, err := c.bridge(ctx, i, topic)
	if err != nil {
		return nil, err
	}
	var ledger kinesistest.Ledger
	half := c.messages / 2
	if err := c.publish(ctx, publisher, &ledger, topic, 0, half); err != nil {
		return nil, errors.Join(err, first.end())
	}
	r.ambiguous += first.ambiguous()
	if err := first.end(); err != nil && !errors.Is(err, bridge.ErrDrainTimeout) {
		return nil, err
	}
	if err := c.publish(ctx, publisher, &ledger, topic, half, c.messages); err != nil {
		return nil, err
	}
	if c.reshard && i == 0 {
		if err := c.split(ctx); err != nil {
			return nil, err
		}
	}
	second, err := c.bridge(ctx, i, topic)
	if err != nil {
		return nil, err
	}
	arrived, err := c.await(ctx, r, began, topic)
	if ctx.Err() != nil {
		err = nil // what is not there by now is lost
	}
	r.ambiguous += second.ambiguous()
	if err := errors.Join(err, second.end()); err != nil && !errors.Is(err, bridge.ErrDrainTimeout) {
		return nil, err
	}
	r.Report, r.took = ledger.Check(arrived), time.Since(began)
	return r, nil
}

// publisher returns a queue in front of the broker.
func (c *certification) publisher(ctx context.Context) (*bridge.Producer, error) {
	client, err := republish.NewClient(republish.ClientConfig{
		Brokers: []string{c.mqtt}, ClientID: "sluice-certify-" + c.run, Username: c.username, Password: c.password, CAFile: c.ca, Logger: c.log,
	})
	if err != nil {
		return nil, usageError{err}
	}
	sink, err := republish.New(republish.Config{Publisher: client, Unmarked: true, Logger: c.log})
	if err != nil {
		return nil, err
	}
	return bridge.NewProducer(ctx, sink, bridge.ProducerConfig{Name: "broker", Logger: c.log})
}

// publish publishes the messages from index from up to n.
func (c *certification) publish(ctx context.Context, p *bridge.Producer, l *kinesistest.Ledger, topic string, from, n int) error {
	failed := make(chan error, 1)
	for i := from; i < n; i++ {
		key := fmt.Sprintf("key-%d", i%c.keys)
		data := fmt.Sprintf(`{"key":"%s","run":"%s","n":%d,"fill":"`, key, topic, i)
		data += strings.Repeat("x", max(0, c.bytes-len(data)-2)) + `"}`
		l.Sent(key, []byte(data))
		rec := bridge.Record{Dest: topic + "/" + key, Key: []byte(key), Data: []byte(data), Attrs: []bridge.Attr{{Name: "qos", Value: []byte("1")}}}
		p.Go(ctx, rec, func(_ bridge.Receipt, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := p.Flush(ctx); err != nil {
		return fmt.Errorf("the broker does not take the messages: %w", err)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("the broker does not take the messages: %w", err)
	default:
		return nil
	}
}

// certified is a bridge under test.
type certified struct {
	pipeline *bridge.Pipeline
	cancel   context.CancelFunc
	ended    chan error
}

// bridge starts a bridge and returns when it has subscribed.
func (c *certification) bridge(ctx context.Context, i int, topic string) (*certified, error) {
	source, err := mqtt.New(mqtt.Config{
		Brokers: []string{c.mqtt}, ClientID: fmt.Sprintf("sluice-certify-%s-%d", c.run, i), Username: c.username, Password: c.password, CAFile: c.ca,
		SessionExpiry: 10 * time.Minute, Filters: []mqtt.Subscription{{Filter: topic + "/#", QoS: 1}}, StartTimeout: 30 * time.Second, Logger: c.log,
	})
	if err != nil {
		return nil, usageError{err}
	}
	pass, err := rule.New(rule.Config{
		Name: "pass", SQL: fmt.Sprintf(`SELECT payload.key AS key, payload FROM "%s/#"`, topic),
		Actions: []rule.Action{{Sink: "kinesis", Key: "${key}", Data: "${payload}"}},
	})
	if err != nil {
		return nil, err
	}
	cfg := c.sink()
	ways[i].set(&cfg)
	sink, err := kinesis.New(cfg)
	if err != nil {
		return nil, err
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": source}, Rules: map[string]bridge.Rule{"pass": pass}, Sinks: map[string]bridge.Sink{"kinesis": sink},
		DrainTimeout: time.Millisecond, Logger: c.log, // what is under way is cut off
	})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	b := &certified{p, cancel, make(chan error, 1)}
	go func() { b.ended <- p.Run(running) }()
	select {
	case <-p.Ready():
		return b, nil
	case err := <-b.ended:
		cancel()
		if err == nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
}

func (b *certified) ambiguous() uint64 { return b.pipeline.Stats().Sinks["kinesis"].Ambiguous }

func (b *certified) end() error {
	b.cancel()
	return <-b.ended
}

// await reads the stream until every message of the run is in it, or no more come.
func (c *certification) await(ctx context.Context, r *result, since time.Time, topic string) ([]kinesistest.UserRecord, error) {
	var all []kinesistest.UserRecord // of the last time that the stream was read to its end
	most, last := 0, time.Now()
	for {
		var arrived []kinesistest.UserRecord
		different, holding := map[string]bool{}, 0
		// The service's clock may be behind ours.
		s := &letterStream{client: c.client, name: c.name(), arn: c.arn(), since: since.Add(-time.Minute)}
		for {
			_, records, err := s.next(ctx)
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return all, err
			}
			for i := range records {
				ours := false
				for u := range unpack(records[i]) {
					if strings.Contains(string(u.Data), `"run":"`+topic+`"`) {
						ours = true
						different[string(u.Data)] = true
						arrived = append(arrived, kinesistest.UserRecord{Record: kinesistest.Record{PartitionKey: u.PartitionKey, Data: u.Data}})
					}
				}
				if ours {
					holding++
				}
			}
		}
		all, r.records = arrived, holding
		if len(different) > most {
			most, last = len(different), time.Now()
		}
		if most >= c.messages || time.Since(last) > c.patience {
			return all, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return all, nil
		}
	}
}

// unpack returns the messages of a record, in whatever way it was written.
func unpack(r types.Record) func(yield func(kinesis.UserRecord) bool) {
	return func(yield func(kinesis.UserRecord) bool) {
		for u := range kinesis.Deaggregate(r) {
			for line := range strings.SplitSeq(strings.TrimSuffix(string(u.Data), "\n"), "\n") {
				u.Data = []byte(line)
				if !yield(u) {
					return
				}
			}
		}
	}
}

// split halves the first open shard, and waits until the stream is active again.
func (c *certification) split(ctx context.Context) error {
	open, err := c.openShards(ctx)
	if err != nil || len(open) == 0 {
		return err
	}
	middle, err := middleOf(open[0].HashKeyRange)
	if err != nil {
		return err
	}
	if _, err := c.client.SplitShard(ctx, &sdk.SplitShardInput{
		StreamName: c.name(), StreamARN: c.arn(), ShardToSplit: open[0].ShardId, NewStartingHashKey: &middle,
	}); err != nil {
		return fmt.Errorf("-reshard: %w", err)
	}
	return sdk.NewStreamExistsWaiter(c.client).Wait(ctx, &sdk.DescribeStreamInput{StreamName: c.name(), StreamARN: c.arn()}, c.timeout)
}

// write writes the report, and returns what speaks against a certificate.
func (c *certification) write(w io.Writer, results []*result, before, after int) error {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
	}
	fmt.Fprintf(w, "# Sluice %s, %s\n\n", version, time.Now().UTC().Format(time.RFC3339))
	fmt.Fprintf(w, "Broker %s. Stream %s, region %s, endpoint %s; %d open shards before and %d after.\n",
		redact.URL(c.mqtt), c.stream, c.client.Options().Region, redact.URL(aws.ToString(c.client.Options().BaseEndpoint)), before, after)
	fmt.Fprintf(w, "In the middle of each run the bridge was ended without a drain, and another started on its session.\n\n")
	fmt.Fprintln(w, "| way of writing | messages | arrived | Kinesis records | lost | out of order | not ours | stored twice | ambiguous | seconds |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	var err error
	for _, r := range results {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %.1f |\n", r.way, r.Sent, r.Arrived, r.records,
			len(r.Lost), len(r.Reordered), len(r.Unknown), r.Duplicates, r.ambiguous, r.took.Seconds())
		err = errors.Join(err, r.err())
	}
	if err != nil {
		fmt.Fprintf(w, "\n**The promise does not hold here.** %v\n", err)
		return err
	}
	_, err = fmt.Fprintln(w, "\nNothing was lost, and the first occurrences of every key are in order.")
	return err
}
