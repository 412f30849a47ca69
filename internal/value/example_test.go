package value_test

import (
	"fmt"

	"github.com/sluiceio/sluice/internal/value"
)

func ExampleArena() {
	var a value.Arena
	v, _ := a.DecodeString(`{"unit": "C", "temp": 21.50}`)
	warmer, _ := value.Add(&a, v.Member(&a, "temp"), value.Int(1))
	label, _ := value.Add(&a, warmer, v.Member(&a, "unit"))
	fmt.Println(label.AsString())
	fmt.Println(string(value.AppendJSON(nil, v)))
	a.Reset() // label and v are gone
	// Output:
	// 22.5C
	// {"temp":21.5,"unit":"C"}
}

func ExampleCompare() {
	for _, y := range []value.Value{value.String("20.0"), value.Float(20), value.Undefined()} {
		eq, _ := value.Compare(value.Eq, value.Int(20), y)
		fmt.Println(y.Kind(), eq, value.Equal(value.Int(20), y))
	}
	// Output:
	// string true false
	// float true false
	// undefined false false
}
