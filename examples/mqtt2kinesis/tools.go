package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"text/tabwriter"
	"time"

	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/internal/smallfile"
	"github.com/sluiceio/sluice/sink/kinesis"
)

// plan is the command plan.
func (p *program) plan(_ context.Context, args []string) error {
	f := p.flags("plan", "-rate 50000 [-bytes 200] [-keys 10000] [-delay 100ms]")
	var w kinesis.Workload
	f.Float64Var(&w.MessagesPerSecond, "rate", 0, "messages per second, peaks included")
	f.IntVar(&w.MessageBytes, "bytes", 200, "usual size of a message")
	f.IntVar(&w.KeyBytes, "key-bytes", 16, "usual size of a partition key")
	f.IntVar(&w.Keys, "keys", 10_000, "partition keys that are active at a time")
	f.IntVar(&w.Slots, "slots", 64, "hash slots, when aggregating")
	f.DurationVar(&w.MaxDelay, "delay", 100*time.Millisecond, "how long a message may wait for others, when aggregating")
	region := f.String("region", "us-east-1", "region whose list prices count")
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	if w.MessagesPerSecond <= 0 || w.MessageBytes < 0 || w.KeyBytes < 0 || w.Keys < 1 {
		return usageError{errors.New("-rate is missing, or a number makes no sense")}
	}
	prices, ok := kinesis.PricesOf(*region)
	if !ok {
		return usageError{fmt.Errorf("-region: the prices of %s are not known", *region)}
	}
	t := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tshards\trecords/s\tmessages/record\tmost messages/s of a key\tprovisioned $/month\ton-demand $/month\tadvantage $/month\t")
	for _, name := range []string{"plain", "aggregated", "lines"} {
		w.Aggregate, w.Pack = name == "aggregated", kinesis.NoPacking
		if name == "lines" {
			w.Pack = kinesis.Lines
		}
		e := kinesis.Plan(w, prices)
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.1f\t%.0f\t%.0f\t%.0f\t%.0f\t\n", name, e.Shards, e.EntriesPerSecond, e.MessagesPerEntry,
			e.MaxPerKey, e.Provisioned, e.OnDemand, e.Advantage)
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "Estimates with the list prices of %s of %s, without reading, retention and free tiers.\n"+
		"On-demand advantage: for an account without other streams, with the least that it commits to (%.0f MiB/s written and read).\n",
		prices.Region, prices.Date, prices.AdvantageMiBPerSecond)
	return err
}

// importEMQX is the command import.
func (p *program) importEMQX(_ context.Context, args []string) error {
	f := p.flags("import", "FILE > bridge.yaml")
	if err := p.parse(f, args, 1); err != nil {
		return err
	}
	text, err := smallfile.Read(f.Arg(0))
	if err != nil {
		return err
	}
	yaml, notes, err := config.ImportEMQX(text)
	if e := (*config.Error)(nil); errors.As(err, &e) {
		e.File = f.Arg(0)
		return usageError{e}
	} else if err != nil {
		return usageError{fmt.Errorf("%s: %w", f.Arg(0), err)}
	}
	for _, n := range notes {
		fmt.Fprintf(p.stderr, "note: %s\n", n)
	}
	_, err = p.stdout.Write(yaml)
	return err
}

// health is the command health, for containers, which have no other program to ask.
func (p *program) health(ctx context.Context, args []string) error {
	f := p.flags("health", "[-listen 127.0.0.1:8080]")
	listen := f.String("listen", "127.0.0.1:8080", "`address` of the running bridge, as it was given as -listen")
	if err := p.parse(f, args, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := ask(ctx, *listen, "/readyz")
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = fmt.Fprintln(p.stdout, "ready")
	return err
}

// schema is the command schema.
func (p *program) schema(_ context.Context, args []string) error {
	if err := p.parse(p.flags("schema", "> config.schema.json"), args, 0); err != nil {
		return err
	}
	text, err := config.Schema(nil)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}

// version is the command version.
func (p *program) version(_ context.Context, args []string) error {
	if err := p.parse(p.flags("version", ""), args, 0); err != nil {
		return err
	}
	version, revision, compiler := "(devel)", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version, compiler = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(p.stdout, "mqtt2kinesis %s%s %s\n", version, revision, compiler)
	return err
}
