package jsonx_test

import (
	"fmt"

	"github.com/sluiceio/sluice/internal/jsonx"
)

func ExamplePaths_Extract() {
	var paths jsonx.Paths
	id := paths.Add(jsonx.Member("id"))
	temp := paths.Add(jsonx.Member("values"), jsonx.Element(1), jsonx.Member("temp"))

	doc := []byte(`{"id": 7, "values": [{}, {"temp": 21.50}], "id": 8}`)
	spans, err := paths.Extract(nil, doc)
	fmt.Printf("%s %s %v\n", spans[id].Text(doc), spans[temp].Text(doc), err)

	_, err = paths.Extract(spans, []byte(`{"id": 07}`))
	fmt.Println(err)
	// Output:
	// 8 21.50 <nil>
	// invalid JSON at byte 8: unexpected '7', a comma or closing brace is missing
}
