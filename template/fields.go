package template

import (
	"runtime"
	"unsafe"

	"github.com/sluiceio/sluice/internal/value"
)

// Field is a column of a row by name. Unlike the values of [MapVars], fields that
// are made for a call of [Template.AppendFields] cost no allocation.
type Field struct {
	name string
	v    value.Value
	err  error
}

// String is a column with a text, which may be JSON to look into.
func String(name, s string) Field { return Field{name: name, v: value.String(s)} }

// Bytes is a column with bytes, such as a payload. They are borrowed.
func Bytes(name string, b []byte) Field { return Field{name: name, v: value.Bytes(b)} }

// Int is a column with an integer.
func Int(name string, i int64) Field { return Field{name: name, v: value.Int(i)} }

// Float is a column with a float.
func Float(name string, f float64) Field {
	v, err := value.Finite(f)
	return Field{name, v, err}
}

// Bool is a column with a boolean.
func Bool(name string, b bool) Field { return Field{name: name, v: value.Bool(b)} }

// Any is a column with a value as in [MapVars], which may allocate.
func Any(name string, x any) Field {
	v, err := (*value.Arena)(nil).FromAny(x)
	return Field{name, v, err}
}

// Fields are the columns of a row; of several with the same name the first counts.
type Fields []Field

var _ JSONVars = Fields{}

// AppendVar implements [Vars].
func (f Fields) AppendVar(dst []byte, v *Var) ([]byte, error) {
	x, err := f.lookup(v)
	if err != nil {
		return dst, err
	}
	return value.AppendText(dst, x), nil
}

// AppendJSONVar implements [JSONVars].
func (f Fields) AppendJSONVar(dst []byte, v *Var) ([]byte, error) {
	x, err := f.lookup(v)
	if err != nil {
		return dst, err
	}
	return value.AppendJSON(dst, x), nil
}

func (f Fields) lookup(v *Var) (value.Value, error) {
	if v.Whole() {
		return f.row()
	}
	for i := range f {
		if f[i].name == v.Path[0] {
			if f[i].err != nil {
				return f[i].v, f[i].err
			}
			return follow(f[i].v, v)
		}
	}
	return value.Undefined(), ErrUndefined
}

// row returns the fields as a map.
func (f Fields) row() (value.Value, error) {
	pairs := make([]value.Pair, 0, len(f))
	for i := len(f) - 1; i >= 0; i-- { // of the same name the last pair counts
		if f[i].err != nil {
			return f[i].v, f[i].err
		}
		pairs = append(pairs, value.Pair{Key: f[i].name, Value: f[i].v})
	}
	return value.Map(pairs), nil
}

// AppendFields is Append for fields.
func (t *Template) AppendFields(dst []byte, fields ...Field) ([]byte, error) {
	var first fault
	dst = t.renderFields(dst, hide(fields), &first)
	runtime.KeepAlive(fields)
	return dst, t.lenient(&first)
}

func (t *Template) renderFields(dst []byte, fields Fields, first *fault) []byte {
	for i := range t.segments {
		s := &t.segments[i]
		dst = append(dst, s.literal...)
		if s.v == nil {
			continue
		}
		start := len(dst)
		var err error
		if s.place == bare {
			dst, err = fields.AppendJSONVar(dst, s.v)
		} else {
			dst, err = fields.AppendVar(dst, s.v)
		}
		if err != nil || s.place == quoted {
			dst = first.settle(dst, start, s, err)
		}
	}
	return dst
}

// hide returns fields in a way that escape analysis does not follow: it cannot see
// that rendering borrows them during the call only. The caller keeps them alive.
func hide(fields []Field) []Field {
	if len(fields) == 0 {
		return nil
	}
	address := uintptr(unsafe.Pointer(unsafe.SliceData(fields)))
	return unsafe.Slice(*(**Field)(unsafe.Pointer(&address)), len(fields))
}
