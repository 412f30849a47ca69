package rule_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// A rule makes a record of each message that passes its condition.
func Example() {
	r, err := rule.New(rule.Config{
		Name:    "temps",
		SQL:     `SELECT payload.temp AS temp, clientid FROM "sensors/#" WHERE payload.temp > 20`,
		Actions: []rule.Action{{Sink: "kinesis", Key: "${clientid}"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var out bridge.Out
	for _, payload := range []string{`{"temp":25.5}`, `{"temp":19}`} {
		err := r.Apply(&out, &bridge.Message{Topic: "sensors/1", ClientID: "dev-1", Payload: []byte(payload)})
		if err != nil {
			fmt.Println(err)
		}
	}
	for _, rec := range out.Records() {
		fmt.Printf("%s: %s\n", rec.Key, rec.Data)
	}
	// Output: dev-1: {"clientid":"dev-1","temp":25.5}
}

// FOREACH makes a row of each element of a list.
func ExampleNew_foreach() {
	r, _ := rule.New(rule.Config{
		SQL:     `FOREACH payload.sensors AS s DO s.name AS name, s.value * 10 AS value INCASE s.value > 1 FROM "t/#"`,
		Actions: []rule.Action{{Data: "${name}=${value}"}},
	})
	var out bridge.Out
	_ = r.Apply(&out, &bridge.Message{Topic: "t/1", Payload: []byte(`{"sensors":[{"name":"a","value":1},{"name":"b","value":2}]}`)})
	for _, rec := range out.Records() {
		fmt.Printf("%s\n", rec.Data)
	}
	// Output: b=20
}

// What is wrong with a statement is said before any message comes.
func ExampleSyntaxError() {
	_, err := rule.New(rule.Config{SQL: `SELECT payload.temp AS t FORM "t/#"`})
	fmt.Println(err)
	var syntax *rule.SyntaxError
	if errors.As(err, &syntax) {
		line, column := syntax.Position()
		fmt.Println(line, column)
	}
	// Output:
	// 1:26: expected a comma or FROM, found FORM (did you mean FROM?)
	//   SELECT payload.temp AS t FORM "t/#"
	//                            ^^^^
	// 1 26
}

// Test tries a statement on a simulated event.
func ExampleTest() {
	result, err := rule.Test(rule.TestInput{
		SQL:      `SELECT clientid, payload.msg AS m FROM "t/#"`,
		Template: "${clientid} says ${m}",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.JSON[0])
	fmt.Println(result.Rendered[0])
	// Output:
	// {"clientid":"c_emqx","m":"hello"}
	// c_emqx says hello
}

// Functions of one's own are registered with an engine, for its rules only.
func ExampleFunc1() {
	engine, _ := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{
		rule.Func1("shout", func(_ *rule.Call, s string) (any, error) { return strings.ToUpper(s) + "!", nil }),
	}})
	result, _ := rule.Test(rule.TestInput{SQL: `SELECT shout(payload.msg) AS m FROM "t/#"`, Engine: engine})
	fmt.Println(result.JSON[0])
	// Output: {"m":"HELLO!"}
}

func ExampleFunc2() {
	engine, _ := rule.NewEngine(rule.EngineConfig{Functions: []rule.Function{
		rule.Func2("scale", func(_ *rule.Call, x, factor float64) (any, error) { return x * factor, nil }),
	}})
	_, err := rule.Test(rule.TestInput{SQL: `SELECT scale('x', 2) FROM "t/#"`, Engine: engine})
	fmt.Println(rule.SyntaxErrors(err)[0].Summary())
	// Output: 1:14: scale: argument 1 (arg1) must be number, not string
}

func ExampleRule_Explain() {
	r, _ := rule.New(rule.Config{
		SQL:     `SELECT payload.a.b AS b, 60 * 60 AS hour FROM "t/#", "$events/client_connected" WHERE payload.c > b`,
		Actions: []rule.Action{{Sink: "kinesis", Key: "${b}"}},
	})
	fmt.Println(r.Explain())
	// Output:
	// statement  SELECT payload.a.b AS b, 60 * 60 AS hour FROM "t/#", "$events/client_connected" WHERE payload.c > b
	// triggers   t/#
	//            $events/client/connected
	// payload    read in one pass, when first needed:
	//            payload.a.b
	//            payload.c
	// constants  60 * 60 = 3600
	// columns    b
	//            hour
	// action     sink "kinesis", key "${b}", data "${.}"
}
