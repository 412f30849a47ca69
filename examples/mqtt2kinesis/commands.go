package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// command is what the first word of a command line can be.
type command struct {
	name, usage, about string
	run                func(context.Context, []string) error
}

// commands returns all commands, in the order in which people meet them.
func (p *program) commands() []command {
	return []command{
		{"run", "-config bridge.yaml", "run what a definition describes", p.runDefinition},
		{"check", "-config bridge.yaml", "say what is wrong with a definition; with -connect also whether brokers and sinks can be reached", p.checkDefinition},
		{"test", "-config bridge.yaml -rule …", "try a rule on a message, or a statement with -sql", p.testRule},
		{"redrive", "-config bridge.yaml dead.jsonl", "send dead letters through the rules again", p.redrive},
		{"plan", "-rate 50000", "estimate shards and cost", p.plan},
		{"certify", "-mqtt … -stream …", "send messages through a broker and a stream, and judge what arrives", p.certify},
		{"import", "cluster.hocon", "turn EMQX's definitions into one for run", p.importEMQX},
		{"trace", "-rule temperatures", "follow messages of a running bridge", p.trace},
		{"health", "", "ask a running bridge whether it is ready", p.health},
		{"schema", "", "print the JSON Schema of definitions, for editors", p.schema},
		{"version", "", "print the version", p.version},
		{"help", "[COMMAND]", "print this, or the flags of a command", p.help},
	}
}

// find returns the command of a name.
func (p *program) find(name string) (command, bool) {
	all := p.commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// help is the command help.
func (p *program) help(ctx context.Context, args []string) error {
	f := p.flags("help", "[COMMAND]")
	if err := p.parse(f, args, min(len(args), 1)); err != nil {
		return err
	}
	if f.NArg() == 0 {
		p.overview(p.stdout)
		_, err := fmt.Fprintln(p.stdout, "\nmqtt2kinesis help COMMAND prints the flags of a command, mqtt2kinesis -help those of a bridge without a file.")
		return err
	}
	c, ok := p.find(f.Arg(0))
	switch {
	case !ok:
		return usageError{p.unknown(f.Arg(0))}
	case c.name == "help":
		return p.help(ctx, nil)
	}
	return c.run(ctx, []string{"-help"})
}

// overview prints what there is, one line each.
func (p *program) overview(w io.Writer) {
	fmt.Fprintln(w, "mqtt2kinesis bridges MQTT into Amazon Kinesis Data Streams by rules in SQL.")
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range p.commands() {
		fmt.Fprintf(t, "  mqtt2kinesis %s\t%s\n", strings.TrimSpace(c.name+" "+c.usage), c.about)
	}
	fmt.Fprintln(t, "  mqtt2kinesis -sql … -stream …\tbridge one broker into one stream by one rule, as flags say")
	_ = t.Flush()
}

// unknown is the error for a first word that is neither a flag nor a command.
func (p *program) unknown(word string) error {
	var names []string
	best, least := "", min(3, len(word)) // more differences are no slip
	for _, c := range p.commands() {
		names = append(names, c.name)
		if d := differences(word, c.name); d < least {
			best, least = c.name, d
		}
	}
	if best != "" {
		best = fmt.Sprintf("did you mean %q? ", best)
	}
	return fmt.Errorf("there is no command %q; %sthe commands are %s", word, best, strings.Join(names, ", "))
}

// differences is how many letters must be put in, left out or changed to get from
// a to b.
func differences(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0]++
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, changed)
		}
	}
	return row[len(b)]
}
