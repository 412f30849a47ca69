//go:build linux

package hostile_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The boundaries through which input comes in.
const (
	devicePayload = "device payload"
	statement     = "SQL"
	templateText  = "template"
	asBroker      = "MQTT packet as broker"
	asClient      = "MQTT packet as client"
	kinesisReply  = "Kinesis reply"
	definition    = "definition"
	httpAPI       = "HTTP API"
	spoolFile     = "spool file"
)

// boundaries are those that have to have rows.
var boundaries = []string{devicePayload, statement, templateText, asBroker, asClient, kinesisReply, definition, httpAPI, spoolFile}

// table is all rows.
func table() []row {
	return slices.Concat(payloadRows(), jqRows(), textRows(), statementRows(), templateRows(), brokerRows(), clientRows(), kinesisRows(), definitionRows(), consoleRows(), daemonRows(), spoolRows())
}

func TestEveryBoundaryHasRows(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, b := range boundaries {
		var all, short bool
		for _, r := range table() {
			all = all || r.boundary == b
			short = short || r.boundary == b && r.short
		}
		require.True(t, all, "the boundary %q has no row", b)
		require.True(t, short, "the boundary %q has no row in the short form", b)
	}
	for _, r := range table() {
		require.Contains(t, boundaries, r.boundary, r.name)
		require.NotEmpty(t, r.answer, "the row %q accepts every answer", r.name)
		require.False(t, names[r.boundary+r.name], "the row %q is there twice", r.name)
		names[r.boundary+r.name] = true
	}
}
