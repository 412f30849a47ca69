// Command sparkplug shows how a codec is plugged into the rule language: it
// registers a function sparkplug_decode with an engine and runs a rule on a
// Sparkplug B message, which is binary.
//
//	go run ./examples/sparkplug
package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// sample is a message with three metrics: temp, a float, level, an Int8 of -5, and
// state, a text.
const sample = "0880d095ffbc31" + // timestamp
	"120d0a0474656d702009650000ac41" +
	"120c0a056c6576656c200150fb01" +
	"120d0a057374617465200c7a026f6e" +
	"1807" // seq

const statement = `FOREACH sparkplug_decode(payload) AS p, p.metrics AS m
DO m.name AS name, m.value AS value, p.seq AS seq, topic
INCASE is_num(m.value)
FROM "spBv1.0/#"`

func main() {
	payload := flag.String("payload", "", "a Sparkplug B payload in hexadecimal, default a sample")
	flag.Parse()
	if err := run(*payload, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prints the rows that the statement makes of a payload.
func run(payload string, w io.Writer) error {
	if payload == "" {
		payload = sample
	}
	raw, err := hex.DecodeString(payload)
	if err != nil {
		return err
	}
	engine, err := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{rule.Func1("sparkplug_decode", decode)}})
	if err != nil {
		return err
	}
	r, err := rule.New(rule.Config{Name: "sparkplug", SQL: statement, Engine: engine})
	if err != nil {
		return err
	}
	m := &bridge.Message{Topic: "spBv1.0/plant/DDATA/node/device", Payload: raw}
	return r.Each(m, func(row *rule.Row) error {
		_, err := fmt.Fprintf(w, "%s\n", row.AppendJSON(nil))
		return err
	})
}
