package oracle

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Message is what a device has published.
type Message struct {
	Seq    int
	Topic  string
	Key    string
	Kind   string
	Val    int
	On     bool
	Items  []int
	Broken bool // the payload is cut off
}

var kinds = []string{"a", "b", "c", "d"}

// RandomMessage returns the message with a number, of one of so many keys.
func RandomMessage(rng *rand.Rand, seq, keys int) Message {
	m := Message{
		Seq: seq, Kind: kinds[rng.IntN(len(kinds))], Val: rng.IntN(100), On: rng.IntN(2) == 0,
		// The topic is not the key's, so order must not hang on topics.
		Topic:  fmt.Sprintf("t/%d/%s", rng.IntN(3), kinds[rng.IntN(2)]),
		Key:    fmt.Sprint("key-", rng.IntN(keys)),
		Broken: rng.IntN(100) == 0,
	}
	if rng.IntN(200) == 0 { // which Kinesis refuses
		m.Key = fmt.Sprintf("long-%d-%s", rng.IntN(3), strings.Repeat("x", maxKey))
	}
	for range rng.IntN(4) {
		m.Items = append(m.Items, rng.IntN(10))
	}
	return m
}

// maxKey is the highest number of characters of a partition key.
const maxKey = 256

// Payload returns the message as JSON.
func (m *Message) Payload() []byte {
	type item struct {
		N int `json:"n"`
		V int `json:"v"`
	}
	items := make([]item, len(m.Items))
	for i, v := range m.Items {
		items[i] = item{i + 1, v}
	}
	text, _ := json.Marshal(map[string]any{
		"key": m.Key, "seq": m.Seq, "kind": m.Kind, "val": m.Val, "on": m.On, "items": items,
	})
	if m.Broken {
		text = text[:len(text)-2]
	}
	return text
}
