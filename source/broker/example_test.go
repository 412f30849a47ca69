package broker_test

import (
	"context"
	"fmt"
	"net"

	"github.com/eclipse/paho.golang/paho"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

func Example() {
	ctx := context.Background()
	src, err := broker.New(broker.Config{
		Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, // any free port
		Logger:    quiet(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := src.Open(ctx); err != nil { // a Pipeline does it by itself
		fmt.Println(err)
		return
	}
	defer src.Close(ctx)

	nc, err := net.Dial("tcp", src.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	device := paho.NewClient(paho.ClientConfig{Conn: nc})
	if _, err := device.Connect(ctx, &paho.Connect{ClientID: "dev-1", KeepAlive: 30, CleanStart: true}); err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		_, _ = device.Publish(ctx, &paho.Publish{Topic: "t/1", QoS: 1, Payload: []byte("hello")})
		_ = device.Disconnect(&paho.Disconnect{})
	}()

	messages := make([]bridge.Message, 10)
	if n, _ := src.Read(ctx, messages); n > 0 {
		m := messages[0]
		fmt.Printf("%s published %q to %s\n", m.ClientID, m.Payload, m.Topic)
		m.Delivery.Done(bridge.Stored, nil) // now the device gets its acknowledgement
	}
	<-device.Done()
	// Output: dev-1 published "hello" to t/1
}

func ExampleConfig_Validate() {
	err := broker.Config{
		Events:    []string{"$events/client/vanished"},
		Listeners: []broker.Listener{{URL: "mqtts://0.0.0.0:8883"}},
	}.Validate()
	fmt.Println(err)
	// Output:
	// broker: Events[0]: no event has a topic that "$events/client/vanished" matches
	// Listeners[0]: URL "mqtts://0.0.0.0:8883": TLS needs a certificate
}
