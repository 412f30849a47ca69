package builtin

import (
	"slices"
	"strings"
	"sync"
)

// All returns the functions, by family and name. The result must not be changed.
func All() []*Function { return table().all }

// Lookup returns the function with this name.
func Lookup(name string) (*Function, bool) {
	f, ok := table().byName[name]
	return f, ok
}

type functions struct {
	all    []*Function
	byName map[string]*Function
}

// families are in the order of the reference page.
var table = sync.OnceValue(func() functions {
	t := functions{byName: make(map[string]*Function)}
	for _, family := range []struct {
		name      string
		functions []Function
	}{
		{"Mathematics", mathFunctions()},
		{"Types", typeFunctions()},
		{"Conversion", convertFunctions()},
		{"Text", textFunctions()},
		{"Formatted text", formatFunctions()},
		{"Regular expressions", regexFunctions()},
		{"Arrays", arrayFunctions()},
		{"Maps", mapFunctions()},
		{"Hashes", hashFunctions()},
		{"Encoding", encodingFunctions()},
		{"Compression", compressFunctions()},
		{"Bits", bitFunctions()},
		{"Date and time", timeFunctions()},
		{"Random values", randomFunctions()},
		{"Event", eventFunctions()},
		{"State and system", stateFunctions()},
		{"jq", jqFunctions()},
	} {
		slices.SortStableFunc(family.functions, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
		for i := range family.functions {
			f := &family.functions[i]
			f.Family, f.checks = family.name, checks[f.Name]
			t.all = append(t.all, f)
			t.byName[f.Name] = f
		}
	}
	return t
})
