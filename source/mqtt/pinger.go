package mqtt

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho/log"
)

// pinger keeps a connection alive and notices when the broker is gone. Unlike
// paho's it counts every byte from the network as a sign of life, those of the
// packets that paho does not see among them, and it does not expect an answer
// while reading is paused.
type pinger struct{}

var errSilent = errors.New("the broker has not answered within the keep-alive time")

// Run asks the broker for a sign of life when there has been none for a while, and
// returns an error when none comes.
func (pinger) Run(ctx context.Context, nc net.Conn, keepAlive uint16) error {
	c, ok := nc.(*conn)
	if !ok || keepAlive == 0 {
		return nil
	}
	period := time.Duration(keepAlive) * time.Second
	tick := time.NewTicker(period / 4)
	defer tick.Stop()
	var asked time.Time // zero: no answer is awaited
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		heard := c.heard()
		if heard.After(asked) {
			asked = time.Time{}
		}
		said := time.Unix(0, c.lastWrite.Load())
		switch {
		case !asked.IsZero() && now.Sub(asked) >= period:
			c.cause.CompareAndSwap(nil, &errSilent)
			return errSilent
		case asked.IsZero() && now.Sub(heard) >= period*3/4, now.Sub(said) >= period*3/4:
			if _, err := packets.NewControlPacket(packets.PINGREQ).WriteTo(c); err != nil {
				return err
			}
			if asked.IsZero() {
				asked = now
			}
		}
	}
}

// PacketSent does nothing: the connection knows.
func (pinger) PacketSent() {}

// PacketReceived does nothing: the connection knows.
func (pinger) PacketReceived() {}

// PingResp does nothing: the connection knows.
func (pinger) PingResp() {}

// SetDebug does nothing.
func (pinger) SetDebug(log.Logger) {}
