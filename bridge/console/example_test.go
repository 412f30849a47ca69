package console_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/console"
)

func ExampleNew() {
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": &bridgetest.Source{}},
		Sinks:   map[string]bridge.Sink{"out": bridge.SinkFunc(func(context.Context, *bridge.Batch) error { return nil })},
	})
	if err != nil {
		panic(err)
	}
	c, err := console.New(console.Config{Pipeline: p})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	mux := http.NewServeMux()
	mux.Handle("/console/", http.StripPrefix("/console", c))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/console/", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

func ExampleDeadLetters() {
	dead := console.NewDeadLetters(console.DeadLettersConfig{
		Replay: func(_ context.Context, l console.DeadLetter) error {
			fmt.Printf("publish %s to %s\n", l.Attr("payload"), l.Attr("topic"))
			return nil
		},
	})
	// The pipeline writes what other sinks refuse, if it is their Fallback.
	_ = dead.Write(context.Background(), &bridge.Batch{Records: []bridge.Record{{Attrs: []bridge.Attr{
		{Name: "topic", Value: []byte("shop/orders")}, {Name: "payload", Value: []byte(`{"order":1}`)},
	}}}})
	n, err := dead.Replay(context.Background(), dead.All()[0].ID)
	fmt.Println(n, err, dead.Len())
	// Output:
	// publish {"order":1} to shop/orders
	// 1 <nil> 0
}
