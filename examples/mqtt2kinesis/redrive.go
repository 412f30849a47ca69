package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/sink/file"
	"github.com/sluiceio/sluice/sink/spool"
)

// redriving is what the flags of the command redrive say.
type redriving struct {
	path, from, checkpoint, failed string
	sink, rule, topic              string // of letters in a stream
	stream, dryRun                 bool
}

// redrive is the command redrive.
func (p *program) redrive(ctx context.Context, args []string) error {
	f := p.flags("redrive", "-config FILE [-dry-run] LETTERS")
	var r redriving
	f.StringVar(&r.path, "config", "", "`file` of the definition, with the rules and sinks as they are now")
	f.BoolVar(&r.dryRun, "dry-run", false, "show what the rules make of the letters now, and send nothing")
	f.StringVar(&r.checkpoint, "checkpoint", "", "`file` that says how far the letters are done with (default LETTERS.checkpoint); a directory of a buffer knows that itself")
	f.StringVar(&r.failed, "failed", "", "`file` for what fails again (default LETTERS.failed)")
	f.StringVar(&r.rule, "rule", "", "`name` of the rule of letters in a stream, which does not tell it (default all that are on the topic)")
	f.StringVar(&r.topic, "topic", "", "topic of letters in a stream (default the partition key)")
	if err := p.parse(f, args, 1); err != nil {
		return err
	}
	r.sink, r.stream = strings.CutPrefix(f.Arg(0), "sink:")
	if r.from = r.sink; !r.stream && (r.rule != "" || r.topic != "") {
		return usageError{errors.New("-rule and -topic are for letters in a stream; others say it themselves")}
	}
	r.checkpoint = cmp.Or(r.checkpoint, r.from+".checkpoint")
	r.failed = cmp.Or(r.failed, r.from+".failed")
	engine, err := newEngine()
	if err != nil {
		return err
	}
	d := &daemon{path: r.path, opts: config.Options{Engine: engine, LookupEnv: p.lookup}, log: p.log}
	def, err := d.load()
	if err != nil {
		return usageError{err}
	}
	if r.stream {
		return p.redriveStream(ctx, def, &r)
	}
	info, err := os.Stat(r.from)
	if err != nil {
		return usageError{err}
	}
	if info.IsDir() {
		return p.redriveBuffer(ctx, def, &r)
	}
	return p.redriveFile(ctx, def, &r)
}

// redriveFile sends the letters of a file.
func (p *program) redriveFile(ctx context.Context, def *config.Definition, r *redriving) error {
	c, err := readCheckpoint(r.checkpoint, r.from)
	if err != nil {
		return usageError{err}
	}
	letters, err := openLetters(r.from, c.Offset)
	if err != nil {
		return usageError{err}
	}
	skipped := 0
	letters.bad = func(offset int64, err error) {
		skipped++
		fmt.Fprintf(terminal{p.stderr}, "%s at byte %d is passed over: %v\n", r.from, offset, err)
	}
	if r.dryRun {
		defer letters.Close(ctx)
		for {
			l, _, err := letters.next()
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			p.showRedrive(def, l)
		}
	}
	save := func() error {
		offset, _ := letters.progress()
		return checkpoint{Offset: offset}.write(r.checkpoint, r.from)
	}
	err = p.runRedrive(ctx, def, letters, r.failed, save)
	_, left := letters.progress()
	switch {
	case err != nil:
		return err
	case left > 0:
		return fmt.Errorf("%d letters were not sent, or come after one that was not; run it again", left)
	case skipped > 0:
		return fmt.Errorf("%d lines of %s are no dead letters", skipped, r.from)
	}
	return nil
}

// redriveBuffer sends the letters that are in a buffer on disk, which forgets those
// that are settled.
func (p *program) redriveBuffer(ctx context.Context, def *config.Definition, r *redriving) error {
	buffer, err := spool.Open(spool.Config{Dir: r.from, Logger: p.log})
	if err != nil {
		return err
	}
	letters := &letterBuffer{source: buffer.Source(), left: buffer.Stats().Pending}
	if !r.dryRun {
		return p.runRedrive(ctx, def, letters, r.failed, func() error { return nil })
	}
	defer letters.Close(context.WithoutCancel(ctx))
	msgs := make([]bridge.Message, 100)
	for {
		n, err := letters.source.Read(ctx, msgs[:min(uint64(len(msgs)), letters.left)])
		for i := range msgs[:n] {
			p.showRedrive(def, letterOf(&msgs[i]))
		}
		if letters.left -= uint64(n); err != nil || letters.left == 0 {
			return err
		}
	}
}

// runRedrive runs the pipeline of letters until there are no more, and saves its
// progress.
func (p *program) runRedrive(ctx context.Context, def *config.Definition, letters bridge.Source, failed string, save func() error) error {
	again, err := file.New(file.Config{Path: failed, Sync: true})
	if err != nil {
		return err
	}
	cfg, err := def.Redrive(letters, again, p.log)
	if err != nil {
		return err
	}
	pipeline, err := bridge.New(cfg)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	var saving sync.WaitGroup
	saving.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := save(); err != nil {
					p.log.Warn("the checkpoint cannot be written", "error", err)
				}
			}
		}
	})
	err = pipeline.Run(ctx)
	close(done)
	saving.Wait()
	err = errors.Join(err, save())
	s := pipeline.Stats()
	var stored uint64
	for name, sink := range s.Sinks {
		if name != "redrive.failed" {
			stored += sink.Ended[bridge.Stored]
		}
	}
	fmt.Fprintf(p.stdout, "%d letters read, %d records stored, %d failed again\n",
		s.Sources["redrive"].Received, stored, s.Sinks["redrive.failed"].Ended[bridge.Stored])
	return err
}

// letterBuffer hands out the letters that are in a buffer on disk when it is opened.
type letterBuffer struct {
	source bridge.Source
	left   uint64
}

// Read implements bridge.Source.
func (b *letterBuffer) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.source.Read(ctx, dst[:min(uint64(len(dst)), b.left)])
	b.left -= uint64(n)
	for i := range dst[:n] {
		delivery := dst[i].Delivery
		dst[i] = letterOf(&dst[i]).Message()
		dst[i].Delivery = delivery
	}
	return n, err
}

// Close implements bridge.Source.
func (b *letterBuffer) Close(ctx context.Context) error { return b.source.Close(ctx) }

// letterOf returns the letter that a buffer's message holds.
func letterOf(m *bridge.Message) *config.Letter {
	l := &config.Letter{Topic: m.Topic, Payload: m.Payload, Data: m.Payload}
	l.Rule, _ = m.Columns[spool.ColumnRule].(string)
	l.Key, _ = m.Columns[spool.ColumnKey].([]byte)
	attrs, _ := m.Columns[spool.ColumnAttrs].([]any)
	for _, a := range attrs {
		attr, _ := a.(map[string]any)
		value, _ := attr["value"].([]byte)
		switch attr["name"] {
		case "topic":
			l.Topic = string(value)
		case "rule":
			l.Rule = string(value)
		case "clientid":
			l.ClientID = string(value)
		case "error":
			l.Error = string(value)
		case "sink":
			l.Sink = string(value)
		case "dest":
			l.Dest = string(value)
		case "payload":
			l.Payload = value
		case "qos":
			if len(value) == 1 && value[0] >= '0' && value[0] <= '2' {
				l.QoS = value[0] - '0'
			}
		}
	}
	return l
}

// showRedrive prints what would become of a letter.
func (p *program) showRedrive(def *config.Definition, l *config.Letter) {
	out := terminal{p.stdout}
	what := "no rule wanted it"
	if l.Sink != "" {
		what = "sink " + l.Sink + " did not take a record of rule " + l.Rule
	} else if l.Rule != "" {
		what = "rule " + l.Rule + " failed"
	}
	fmt.Fprintf(out, "%s: %s%s\n", line(l.Topic), line(what), because(l.Error))
	records, err := def.RedriveRecords(l)
	switch {
	case err != nil:
		fmt.Fprintf(out, "  fails again: %s\n", line(err.Error()))
		return
	case len(records) == 0:
		fmt.Fprintln(out, "  makes no record now")
	}
	for i := range records {
		r := &records[i]
		change := ""
		if l.Sink != "" && bytes.Equal(r.Data, l.Data) && bytes.Equal(r.Key, l.Key) {
			change = " (as before)"
		}
		fmt.Fprintf(out, "  %s%s\n  %s\n", recordHead(r), change, line(shownBytes(r.Data)))
	}
}
