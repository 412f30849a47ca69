package main

import (
	"context"
	"fmt"
	"net"

	"github.com/eclipse/paho.golang/paho"
)

// simulate publishes the readings of a few sensors, each with a connection of its
// own, and returns how many there were. The broker acknowledges a reading when
// the pipeline has settled it, so all of them are in Kinesis afterwards.
func simulate(ctx context.Context, address string) (published int, err error) {
	for i, name := range []string{"attic", "cellar", "garage", "hall"} {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return published, err
		}
		c := paho.NewClient(paho.ClientConfig{Conn: conn, ClientID: name})
		if _, err := c.Connect(ctx, &paho.Connect{ClientID: name, CleanStart: true, KeepAlive: 30}); err != nil {
			return published, err
		}
		for n := range 6 {
			payload := fmt.Sprintf(`{"id": %q, "temp": %.1f}`, name, 16.5+float64(2*n)+0.5*float64(i))
			if _, err := c.Publish(ctx, &paho.Publish{Topic: "sensors/" + name + "/temp", QoS: 1, Payload: []byte(payload)}); err != nil {
				return published, err
			}
			published++
		}
		if err := c.Disconnect(&paho.Disconnect{}); err != nil {
			return published, err
		}
	}
	return published, nil
}
