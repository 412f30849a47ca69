package template_test

import (
	"errors"
	"fmt"

	"github.com/sluiceio/sluice/template"
)

func Example() {
	tmpl, err := template.Compile(`{"device":"${clientid}","t":${payload.temp}}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	row := template.MapVars{"clientid": "dev-1", "payload": `{"temp":21.5}`}
	fmt.Printf("%s\n", tmpl.Append(nil, row))
	// Output: {"device":"dev-1","t":21.5}
}

// The whole row is JSON with sorted keys.
func ExampleCompile() {
	tmpl, _ := template.Compile("${.}")
	fmt.Printf("%s\n", tmpl.Append(nil, template.MapVars{"topic": "t/1", "qos": 1}))
	// Output: {"qos":1,"topic":"t/1"}
}

func ExampleCompileWith() {
	tmpl, _ := template.CompileWith("${$}{x} is ${x}", template.Options{Dialect: template.Republish})
	fmt.Printf("%s\n", tmpl.Append(nil, template.MapVars{"x": 7}))
	// Output: ${x} is 7
}

func ExampleTemplate_AppendStrict() {
	tmpl, _ := template.Compile("${clientid}-${room}")
	key, err := tmpl.AppendStrict(nil, template.MapVars{"clientid": "dev-1"})
	fmt.Printf("%s\n", key)
	var undefined *template.UndefinedError
	if errors.As(err, &undefined) {
		fmt.Println("no value for", undefined.Var.Text)
	}
	// Output:
	// dev-1-undefined
	// no value for room
}

func ExampleTemplate_Vars() {
	tmpl, _ := template.Compile("${clientid}/${payload.site.id}/${clientid}")
	for _, v := range tmpl.Vars() {
		fmt.Println(v.Slot, v.Path)
	}
	// Output:
	// 0 [clientid]
	// 1 [payload site id]
}

func ExampleTemplate_Constant() {
	tmpl, _ := template.Compile("all")
	fmt.Println(tmpl.Constant())
	// Output: all true
}
