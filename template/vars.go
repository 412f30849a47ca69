package template

import "errors"

// ErrUndefined is what a Vars returns for a placeholder that has no value.
var ErrUndefined = errors.New("is undefined")

// Vars gives placeholders their values.
type Vars interface {
	// AppendVar appends the value of v, as text, to dst. Without a value it
	// returns dst unchanged and ErrUndefined. It must not keep v.
	AppendVar(dst []byte, v *Var) ([]byte, error)
}

// JSONVars is implemented by Vars that know how their values look in JSON; a template
// of the dialect [JSON] asks for that where a placeholder stands outside of quotes.
type JSONVars interface {
	// AppendJSONVar is AppendVar with the value as JSON.
	AppendJSONVar(dst []byte, v *Var) ([]byte, error)
}

// VarsFunc is a function as Vars.
type VarsFunc func(dst []byte, v *Var) ([]byte, error)

// AppendVar calls f.
func (f VarsFunc) AppendVar(dst []byte, v *Var) ([]byte, error) { return f(dst, v) }

// Var is a placeholder of a template.
type Var struct {
	// Text stands between the brackets, where the placeholder appears first.
	Text string
	// Path is the column and the keys below it; empty for the whole row.
	// A step may be empty: it is then the name of an empty key.
	Path []string
	// Slot is a number for the Vars' own use, by which it finds the value
	// quickly; see [Template.Bind]. At first it is the index in
	// [Template.Vars].
	Slot int
	// Dialect says how texts on the way along Path are read; see
	// [Var.DecodesText].
	Dialect Dialect

	angle bool // written as $<…>
}

// String returns the placeholder as it is written where it appears first.
func (v *Var) String() string {
	if v.angle {
		return "$<" + v.Text + ">"
	}
	return "${" + v.Text + "}"
}

// Whole reports whether v stands for the whole row, as ${.} does.
func (v *Var) Whole() bool { return len(v.Path) == 0 }

// DecodesText reports whether a text that is met on the way along the path is
// read as JSON, given the number of texts that already have been.
func (v *Var) DecodesText(already int) bool { return v.Dialect != Republish || already == 0 }
