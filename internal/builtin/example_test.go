package builtin_test

import (
	"fmt"

	"github.com/sluiceio/sluice/internal/builtin"
	"github.com/sluiceio/sluice/internal/value"
)

func ExampleFunction_Invoke() {
	pad, _ := builtin.Lookup("pad")
	ctx := &builtin.Ctx{Env: builtin.NewEnv(builtin.Config{}), Arena: new(value.Arena)}

	v, err := pad.Invoke(ctx, []value.Value{value.String("7"), value.Int(3), value.String("leading"), value.String("0")})
	fmt.Println(v.AsString(), err)

	_, err = pad.Invoke(ctx, []value.Value{value.String("7"), value.String("3")})
	fmt.Println(err)
	// Output:
	// 007 <nil>
	// pad: argument 2 (length) must be integer, not string
}
