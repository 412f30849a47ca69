package template

// Vars gives placeholders their values.
type Vars interface {
	// AppendVar appends the value of v, as text, to dst. Without a value it
	// returns dst unchanged and false. It must not keep v.
	AppendVar(dst []byte, v *Var) (out []byte, defined bool)
}

// Var is a placeholder of a template.
type Var struct {
	// Text stands between the braces, where the placeholder appears first.
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
}

// Whole reports whether v stands for the whole row, as ${.} does.
func (v *Var) Whole() bool { return len(v.Path) == 0 }

// DecodesText reports whether a text that is met on the way along the path is
// read as JSON, given the number of texts that already have been.
func (v *Var) DecodesText(already int) bool { return v.Dialect == Bridge || already == 0 }
