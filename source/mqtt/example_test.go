package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/mqttfake"
	"github.com/sluiceio/sluice/source/mqtt"
)

// A source is opened, read and closed; in a program the pipeline does that.
func Example() {
	broker := mqttfake.New(mqttfake.Options{}) // stands for a real one
	defer broker.Close()
	ctx := context.Background()

	src, err := mqtt.New(mqtt.Config{
		Brokers:  []string{"mqtt://localhost:1883"},
		ClientID: "sluice-1",
		Filters:  []mqtt.Subscription{{Filter: "t/#", QoS: 1}},
		Dial:     broker.Dial,
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := src.Open(ctx); err != nil {
		fmt.Println(err)
		return
	}
	broker.Publish(mqttfake.Message{Topic: "t/my_topic", Payload: []byte("hello"), QoS: 1})

	msgs := make([]bridge.Message, 100)
	n, err := src.Read(ctx, msgs)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range msgs[:n] {
		fmt.Printf("%s %s\n", m.Topic, m.Payload)
		m.Delivery.Done(bridge.Stored, nil) // only now is it acknowledged
	}
	if err := src.Close(ctx); err != nil { // sends the acknowledgement
		fmt.Println(err)
	}
	fmt.Println("acknowledged:", broker.Acked())
	// Output:
	// t/my_topic hello
	// acknowledged: 1
}

// Everything that is wrong with a configuration is reported at once.
func ExampleConfig_Validate() {
	err := mqtt.Config{Brokers: []string{"http://localhost"}, ClientID: "c"}.Validate()
	fmt.Println(err)
	// Output:
	// mqtt: Brokers[0]: "http://localhost": the scheme is not one of mqtt, mqtts, ws, wss, unix
	// mqtt: Filters: at least one topic filter is needed
}

// Errors that do not pass by themselves are marked.
func ExampleError() {
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtts://localhost"}, ClientID: "c", Filters: []mqtt.Subscription{{Filter: "t"}},
		CAFile: "/does/not/exist.pem", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var trouble *mqtt.Error
	if err := src.Open(context.Background()); errors.As(err, &trouble) {
		fmt.Println(trouble.Permanent, trouble)
	}
	// Output:
	// true mqtt: broker mqtts://localhost:8883 cannot be connected to: CAFile: open /does/not/exist.pem: no such file or directory
}

// Subscriptions change while the source runs; nothing is lost.
func ExampleSource_SetSubscriptions() {
	broker := mqttfake.New(mqttfake.Options{})
	defer broker.Close()
	ctx := context.Background()
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://localhost:1883"}, ClientID: "sluice-1", Dial: broker.Dial,
		Filters: []mqtt.Subscription{{Filter: "sensors/+/temp", QoS: 1}},
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close(ctx)
	if err := src.Open(ctx); err != nil {
		fmt.Println(err)
		return
	}
	err = src.SetSubscriptions(ctx, []mqtt.Subscription{{Filter: "sensors/#", QoS: 1}, {Filter: "doors/#", QoS: 1}})
	fmt.Println(broker.Subscriptions("sluice-1"), err)
	// Output: [doors/# sensors/#] <nil>
}

// A token that expires is renewed without a new connection.
func ExampleSource_Reauthenticate() {
	token := func(_ string, data []byte) ([]byte, byte) { // a broker's side
		fmt.Printf("token %s\n", data)
		return nil, 0
	}
	broker := mqttfake.New(mqttfake.Options{Authenticate: token})
	defer broker.Close()
	ctx := context.Background()
	tokens := []string{"one", "two"} // of whoever issues them
	src, err := mqtt.New(mqtt.Config{
		Brokers: []string{"mqtt://localhost:1883"}, ClientID: "sluice-1", Dial: broker.Dial,
		Filters: []mqtt.Subscription{{Filter: "t/#", QoS: 1}},
		Auth: &mqtt.Auth{Method: "TOKEN", Begin: func(context.Context) (mqtt.Exchange, error) {
			next := mqtt.Token(tokens[0])
			tokens = tokens[1:]
			return next, nil
		}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close(ctx)
	fmt.Println(src.Open(ctx))
	fmt.Println(src.Reauthenticate(ctx))
	// Output:
	// token one
	// <nil>
	// token two
	// <nil>
}
