// Command mqtt2kinesis bridges MQTT into Amazon Kinesis Data Streams.
//
//	mqtt2kinesis run -config bridge.yaml     run what a definition describes
//	mqtt2kinesis check -config bridge.yaml   say what is wrong with a definition
//	mqtt2kinesis test -config … -rule …      try a rule on a message
//	mqtt2kinesis redrive -config … dead.jsonl send dead letters through the rules again
//	mqtt2kinesis plan -rate 50000            estimate shards and cost
//	mqtt2kinesis certify -stream readings    send messages through, and judge what arrives
//	mqtt2kinesis import cluster.hocon        turn EMQX's definitions into one
//	mqtt2kinesis trace -rule temperatures    follow messages of a running bridge
//	mqtt2kinesis health                      ask a running bridge whether it is ready
//	mqtt2kinesis schema                      print the JSON Schema of definitions
//	mqtt2kinesis version
//	mqtt2kinesis help                        list the commands; help check: the flags of one
//
// Without a command it bridges one broker into one stream by one rule, as its
// flags say:
//
//	mqtt2kinesis -mqtt mqtt://localhost:1883 -stream readings \
//	  -sql 'SELECT payload.id AS id, payload.temp AS temp FROM "t/+" WHERE payload.temp > 10' -key '${id}'
//
// AWS credentials and region come from where every AWS program finds them. Each
// flag can also be given by the environment: -client-id by SLUICE_CLIENT_ID, and
// so on; give the password in that way. -help lists the flags.
//
// It says in one line when it is ready. SIGTERM or an interrupt drains it: what
// was received is written within a time limit, and what is not stays unacknowledged
// at the broker; a second signal ends it at once. SIGHUP loads the definition
// again. It exits with 0 after a clean drain, 2 when the flags or the definition
// are wrong and 1 otherwise, with a sentence on what is the matter.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	p := &program{lookup: os.LookupEnv, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, hup: hup}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// program is the surroundings of a command.
type program struct {
	lookup         func(string) (string, bool)
	stdin          io.Reader
	stdout, stderr io.Writer
	hup            <-chan os.Signal
	log            *slog.Logger // made by run
}

// usageError is an error of who gave the flags or wrote the definition.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run executes a command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	run := p.runFlags
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		c, ok := p.find(args[0])
		if !ok {
			fmt.Fprintf(p.stderr, "mqtt2kinesis: %v\n", p.unknown(args[0]))
			return 2
		}
		run, args = c.run, args[1:]
	}
	var err error
	if p.log, err = newLogger(p.stderr, p.lookup); err != nil {
		err = usageError{err}
	} else {
		err = run(ctx, args)
	}
	stderr := terminal{p.stderr}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, new(usageError)):
		fmt.Fprintf(stderr, "mqtt2kinesis: %v\n", err)
		return 2
	default:
		fmt.Fprintf(stderr, "mqtt2kinesis: %v\n", err)
		return 1
	}
}

// flags returns a set of flags for a command, whose mistakes parse reports.
func (p *program) flags(command, usage string) *flag.FlagSet {
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.SetOutput(p.stderr)
	f.Usage = func() {
		fmt.Fprintf(p.stderr, "usage: mqtt2kinesis %s %s\n", command, usage)
		f.PrintDefaults()
	}
	return f
}

// parse parses flags; arguments beside them are a mistake unless there are as
// many as wanted. A wrong flag is one sentence, not a page.
func (p *program) parse(f *flag.FlagSet, args []string, wanted int) error {
	usage := f.Usage
	f.Usage = func() {}
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	f.SetOutput(p.stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		usage()
		return err
	case err != nil:
		return usageError{fmt.Errorf("%w; see mqtt2kinesis help %s", err, f.Name())}
	case f.NArg() > wanted:
		return usageError{fmt.Errorf("%q is one argument too many; see mqtt2kinesis help %s", f.Arg(wanted), f.Name())}
	case f.NArg() < wanted:
		return usageError{fmt.Errorf("the file is missing; see mqtt2kinesis help %s", f.Name())}
	}
	return nil
}
