package torture

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// message is what a device has published.
type message struct {
	seq    int
	topic  string
	key    string
	kind   string
	val    int
	on     bool
	items  []int
	broken bool // the payload is cut off
}

var kinds = []string{"a", "b", "c", "d"}

func randomMessage(rng *rand.Rand, seq, keys int) message {
	m := message{
		seq: seq, kind: kinds[rng.IntN(len(kinds))], val: rng.IntN(100), on: rng.IntN(2) == 0,
		// The topic is not the key's, so order must not hang on topics.
		topic:  fmt.Sprintf("t/%d/%s", rng.IntN(3), kinds[rng.IntN(2)]),
		key:    fmt.Sprint("key-", rng.IntN(keys)),
		broken: rng.IntN(100) == 0,
	}
	if rng.IntN(200) == 0 { // which Kinesis refuses
		m.key = fmt.Sprintf("long-%d-%s", rng.IntN(3), strings.Repeat("x", maxKey))
	}
	for range rng.IntN(4) {
		m.items = append(m.items, rng.IntN(10))
	}
	return m
}

// maxKey is the highest number of characters of a partition key.
const maxKey = 256

func (m *message) payload() []byte {
	type item struct {
		N int `json:"n"`
		V int `json:"v"`
	}
	items := make([]item, len(m.items))
	for i, v := range m.items {
		items[i] = item{i + 1, v}
	}
	text, _ := json.Marshal(map[string]any{
		"key": m.key, "seq": m.seq, "kind": m.kind, "val": m.val, "on": m.on, "items": items,
	})
	if m.broken {
		text = text[:len(text)-2]
	}
	return text
}
