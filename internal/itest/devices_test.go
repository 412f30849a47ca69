package itest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/paho"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// fleet is a number of devices, each of which publishes its messages with QoS 1
// and in order, on a connection of its own.
type fleet struct {
	devices, messages int

	ledger kinesistest.Ledger // of what was published
}

func (f *fleet) total() int { return f.devices * f.messages }

// fleetFlags are the rule for what the devices publish: the payload as it is, by
// device.
func fleetFlags(more ...string) []string {
	return append([]string{"-sql", `SELECT *, payload.id AS id FROM "t/+"`, "-key", "${id}", "-payload", "${payload}"}, more...)
}

// publish publishes everything and returns when the broker has taken all.
func (f *fleet) publish(ctx context.Context, address string) error {
	var all sync.WaitGroup
	errs := make([]error, f.devices)
	for i := range f.devices {
		all.Go(func() { errs[i] = f.device(ctx, address, fmt.Sprintf("dev-%d", i)) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (f *fleet) device(ctx context.Context, address, name string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: name})
	if _, err := c.Connect(ctx, &paho.Connect{ClientID: name, CleanStart: true, KeepAlive: 60}); err != nil {
		return err
	}
	for seq := range f.messages {
		payload := fmt.Appendf(nil, `{"id":%q,"seq":%d,"temp":21.5,"msg":"hello Amazon Kinesis"}`, name, seq)
		f.ledger.Sent(name, payload)
		if _, err := c.Publish(ctx, &paho.Publish{Topic: "t/" + name, QoS: 1, Payload: payload}); err != nil {
			return err
		}
	}
	return c.Disconnect(&paho.Disconnect{})
}

// await waits until everything is in the stream, and returns what the ledger
// says of it. Nothing may be lost, and first occurrences must be in order.
func (f *fleet) await(t *testing.T, server *kinesistest.Server) kinesistest.Report {
	t.Helper()
	report := kinesistest.Report{}
	eventually(t, "all messages in Kinesis", func() bool {
		report = f.ledger.Check(server.UserRecords(stream))
		return len(report.Lost) == 0
	})
	require.NoError(t, report.Err())
	require.Equal(t, f.total(), report.Arrived)
	return report
}
