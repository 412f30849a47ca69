package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluiceio/sluice/sink/kinesis"
)

// options are what the flags say.
type options struct {
	// the broker
	mqtt, clientID, username, password string
	ca, cert, certKey                  string
	qos, receiveMaximum                int
	cleanStart                         bool
	sessionExpiry                      time.Duration
	// the rule and its action
	sql, key, payload string
	// Kinesis
	stream, endpoint, region string
	aggregate                bool
	ordering                 kinesis.Ordering
	slots                    int
	// the pipeline
	batch                                 int
	linger, maxDelay, drain, startTimeout time.Duration
	listen                                listening
}

// define defines the flags and their defaults.
func (o *options) define(f *flag.FlagSet) {
	f.StringVar(&o.mqtt, "mqtt", "mqtt://localhost:1883", "`URL` of the broker: mqtt, mqtts, ws or wss")
	f.StringVar(&o.clientID, "client-id", "mqtt2kinesis", "name of the session at the broker; unique among running bridges")
	f.StringVar(&o.username, "username", "", "user name at the broker")
	f.StringVar(&o.password, "password", "", "password at the broker; better given as SLUICE_PASSWORD")
	f.StringVar(&o.ca, "ca", "", "`file` of the authorities that sign the broker's certificate (default the system's)")
	f.StringVar(&o.cert, "cert", "", "`file` of the client certificate")
	f.StringVar(&o.certKey, "cert-key", "", "`file` of the client certificate's key")
	f.IntVar(&o.qos, "qos", 1, "quality of service of the subscriptions: 0, 1 or 2")
	f.BoolVar(&o.cleanStart, "clean-start", false, "discard what the broker kept for an earlier run")
	f.DurationVar(&o.sessionExpiry, "session-expiry", 24*time.Hour, "how long the broker keeps messages while the bridge is away; 0 loses them with each connection")
	f.IntVar(&o.receiveMaximum, "receive-maximum", 10_000, "messages that may be under way before one is acknowledged, up to 65535")

	f.StringVar(&o.sql, "sql", "", "the rule, such as SELECT * FROM \"t/#\"")
	f.StringVar(&o.key, "key", "${topic}", "`template` of the partition key, whose records stay in order; the topic where it has no value")
	f.StringVar(&o.payload, "payload", "", "`template` of the data (default all columns as JSON)")

	f.StringVar(&o.stream, "stream", "", "name or ARN of the stream")
	f.StringVar(&o.endpoint, "endpoint", "", "`URL` of Kinesis where it is not AWS's own")
	f.StringVar(&o.region, "region", "", "AWS region (default what the AWS configuration says)")
	f.BoolVar(&o.aggregate, "aggregate", false, "pack many messages into one record, as the Kinesis Producer Library does")
	f.Func("ordering", "strict (default), or relaxed for the throughput of single keys", func(text string) error {
		return o.ordering.UnmarshalText([]byte(text))
	})
	f.IntVar(&o.slots, "slots", 64, "with -aggregate: hash slots, a power of two, at least four times the shards")

	f.DurationVar(&o.linger, "linger", 0, "how long a record may wait for a request to fill while another is under way; negative: not at all (default 5ms)")
	f.DurationVar(&o.maxDelay, "max-delay", 0, "with -aggregate: how long a message may wait for others (default -linger, or 100ms)")
	f.IntVar(&o.batch, "batch", 500, "records in one request, up to 500")
	f.DurationVar(&o.drain, "drain", 30*time.Second, "time to write what was received when asked to stop")
	o.listen.define(f)
	f.DurationVar(&o.startTimeout, "start-timeout", 10*time.Second, "give up when not connected by then; 0 keeps trying unless only you can help")
}

// parse reads the environment, then the flags, which win.
// It prints overview above the flags when asked for help.
func parse(args []string, lookup func(string) (string, bool), stderr io.Writer, overview func(io.Writer)) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("mqtt2kinesis", flag.ContinueOnError)
	f.SetOutput(stderr)
	o.define(f)
	usage := func() {
		overview(stderr)
		fmt.Fprintln(stderr, "\nThe flags of the last; -some-name can also be given as SLUICE_SOME_NAME in the environment:")
		f.PrintDefaults()
	}
	f.Usage = func() {} // a wrong flag is one sentence, not a page

	var errs []error
	f.VisitAll(func(fl *flag.Flag) {
		name := "SLUICE_" + strings.ToUpper(strings.ReplaceAll(fl.Name, "-", "_"))
		if text, ok := lookup(name); ok {
			if err := f.Set(fl.Name, text); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	f.SetOutput(io.Discard)
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		f.SetOutput(stderr)
		usage()
		return nil, err
	} else if err != nil {
		errs = append(errs, err)
	}
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("%q is not a flag; commands come first: see mqtt2kinesis help", f.Arg(0)))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return o, o.validate()
}

// validate checks what the packages that the options are for do not.
func (o *options) validate() error {
	var errs []error
	if o.sql == "" {
		errs = append(errs, errors.New(`-sql is missing: say what to take from where, such as SELECT * FROM "t/#"`))
	}
	if o.stream == "" {
		errs = append(errs, errors.New("-stream is missing: name the Kinesis stream to write to"))
	}
	if o.sql == "" && o.stream == "" {
		errs = append(errs, errors.New("or name a file that says all: mqtt2kinesis run -config FILE; mqtt2kinesis help lists what else there is"))
	}
	if o.qos < 0 || o.qos > 2 {
		errs = append(errs, fmt.Errorf("-qos: %d is not 0, 1 or 2", o.qos))
	}
	if o.batch < 1 || o.batch > kinesis.MaxEntries {
		errs = append(errs, fmt.Errorf("-batch: %d is not between 1 and %d", o.batch, kinesis.MaxEntries))
	}
	if o.drain <= 0 {
		errs = append(errs, fmt.Errorf("-drain: %v is not a time to wait", o.drain))
	}
	if err := o.listen.check(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// batchTime is how long a record may wait for others. Zero means the default of
// the sink, which is longer when it aggregates.
func (o *options) batchTime() time.Duration {
	if o.aggregate {
		return cmp.Or(o.maxDelay, o.linger)
	}
	return o.linger
}
