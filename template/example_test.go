package template_test

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/sluiceio/sluice/template"
)

func Example() {
	tmpl := template.Compile(`{"device":"$<clientid>","t":$<payload.temp>}`)
	buf, err := tmpl.AppendFields(nil, template.String("clientid", "dev-1"), template.String("payload", `{"temp":21.5}`))
	fmt.Printf("%s %v\n", buf, err)
	// Output: {"device":"dev-1","t":21.5} <nil>
}

// The whole row is JSON with sorted keys.
func ExampleCompile() {
	buf, _ := template.Compile("$<.>").Append(nil, template.MapVars{"topic": "t/1", "qos": 1})
	fmt.Printf("%s\n", buf)
	// Output: {"qos":1,"topic":"t/1"}
}

func ExampleCompileWith() {
	tmpl, err := template.CompileWith("${$}{x} is ${x}", template.Options{Dialect: template.Republish})
	if err != nil {
		fmt.Println(err)
		return
	}
	buf, _ := tmpl.Append(nil, template.MapVars{"x": 7})
	fmt.Printf("%s\n", buf)
	// Output: ${x} is 7
}

// Values are escaped for JSON.
func ExampleOptions() {
	tmpl, err := template.CompileWith(`{"m":"$<msg>","list":$<list>,"none":$<none>}`, template.Options{Dialect: template.JSON})
	if err != nil {
		fmt.Println(err)
		return
	}
	buf, _ := tmpl.Append(nil, template.MapVars{"msg": `say "hi"`, "list": []any{72, 105}})
	fmt.Printf("%s\n", buf)
	// Output: {"m":"say \"hi\"","list":[72,105],"none":null}
}

// A function gives the values.
func ExampleTemplate_AppendFunc() {
	tmpl := template.Compile("$<host>/$<pid>")
	buf, err := tmpl.AppendFunc(nil, func(dst []byte, v *template.Var) ([]byte, error) {
		switch v.Text {
		case "host":
			return append(dst, "node-1"...), nil
		case "pid":
			return strconv.AppendInt(dst, 4711, 10), nil
		}
		return dst, template.ErrUndefined
	})
	fmt.Printf("%s %v\n", buf, err)
	// Output: node-1/4711 <nil>
}

// room is variables of one's own: values by the number that Bind has given.
type room struct{ id, name []byte }

func (c *room) AppendVar(dst []byte, v *template.Var) ([]byte, error) {
	switch {
	case v.Slot == 0:
		return append(dst, c.id...), nil
	case c.name == nil:
		return dst, template.ErrUndefined
	}
	return append(dst, c.name...), nil
}

func ExampleTemplate_Bind() {
	slots := map[string]int{"id": 0, "room": 1}
	tmpl := template.Compile("$<room>:$<id>").Bind(func(v template.Var) int { return slots[v.Text] })
	row := &room{id: []byte("17"), name: []byte("kitchen")}
	buf, err := tmpl.Append(nil, row)
	fmt.Printf("%s %v\n", buf, err)
	// Output: kitchen:17 <nil>
}

func ExampleTemplate_AppendStrict() {
	tmpl := template.Compile("$<clientid>-$<room>")
	key, err := tmpl.AppendStrict(nil, template.MapVars{"clientid": "dev-1"})
	fmt.Printf("%s\n", key)
	fmt.Println(err)
	fmt.Println(errors.Is(err, template.ErrUndefined))
	// Output:
	// dev-1-undefined
	// template "$<clientid>-$<room>": $<room> is undefined
	// true
}

func ExampleTemplate_Vars() {
	tmpl := template.Compile("$<clientid>/${payload.site.id}/$<clientid>")
	for _, v := range tmpl.Vars() {
		fmt.Println(v.Slot, v.String(), v.Path)
	}
	// Output:
	// 0 $<clientid> [clientid]
	// 1 ${payload.site.id} [payload site id]
}

func ExampleTemplate_Constant() {
	tmpl := template.Compile("all")
	fmt.Println(tmpl.Constant())
	// Output: all true
}
