package sparkplug

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// MaxDepth is how deep templates and property sets may nest.
const MaxDepth = 50

// ErrDepth says that a payload nests deeper than MaxDepth.
var ErrDepth = errors.New("sparkplug: templates or property sets nest too deeply")

// Decode returns the content of a Sparkplug B payload, see Function for its form.
// Numbers are uint64, int64 or float64, bytes are text in base64. A payload that is no
// Protocol Buffers message, or has a field of a wrong type, is an error.
func Decode(payload []byte) (map[string]any, error) {
	d := decoder{func(int) error { return nil }}
	return d.message("Payload", payload, 0)
}

// decoder reads messages of the schema. It calls spend for what it makes of them,
// since a few bytes of a payload become a map.
type decoder struct{ spend func(bytes int) error }

// What messages and values cost in memory, about.
const (
	messageCost = 320
	valueCost   = 48
)

// message reads a message of the schema.
func (d decoder) message(name string, b []byte, depth int) (map[string]any, error) {
	if depth > MaxDepth {
		return nil, ErrDepth
	}
	if err := d.spend(messageCost); err != nil {
		return nil, err
	}
	out := make(map[string]any)
	var held string // the member that holds the value, of which there is one only
	for len(b) > 0 {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, fmt.Errorf("sparkplug: %w", protowire.ParseError(n))
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, wire, b)
		if size < 0 {
			return nil, fmt.Errorf("sparkplug: field %d: %w", number, protowire.ParseError(size))
		}
		content := b[:size]
		b = b[size:]
		f, known := schema[name][number]
		if !known {
			continue
		}
		if err := d.field(f, out, wire, content, depth); err != nil {
			return nil, err
		}
		if strings.HasSuffix(f.name, "_value") && f.name != held {
			delete(out, held)
			held = f.name
		}
	}
	if name == "Metric" {
		addValue(out, held)
	}
	return out, nil
}

// field puts a field's content into out.
func (d decoder) field(f field, out map[string]any, wire protowire.Type, b []byte, depth int) error {
	if f.repeated && f.kind <= boolKind && wire == protowire.BytesType {
		if err := d.spend(valueCost * len(b)); err != nil {
			return err
		}
		return f.decodePacked(out, b)
	}
	cost := valueCost
	if f.kind != messageKind {
		cost += len(b)
	}
	if err := d.spend(cost); err != nil {
		return err
	}
	x, err := d.value(f, wire, b, depth)
	if err != nil {
		return err
	}
	f.put(out, x)
	return nil
}

// put stores a value; the last one counts unless the field is repeated.
func (f field) put(out map[string]any, x any) {
	if !f.repeated {
		out[f.name] = x
		return
	}
	list, _ := out[f.name].([]any)
	list = append(list, x)
	out[f.name] = list
}

// decodePacked reads numbers that stand in a row without tags.
func (f field) decodePacked(out map[string]any, b []byte) error {
	b, _ = protowire.ConsumeBytes(b)
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("sparkplug: %s: %w", f.name, protowire.ParseError(n))
		}
		f.put(out, f.varint(v))
		b = b[n:]
	}
	return nil
}

func (f field) varint(v uint64) any {
	switch f.kind {
	case boolKind:
		return v != 0
	case uint32Kind:
		return uint64(uint32(v))
	}
	return v
}

// value returns a field's content, which is complete.
func (d decoder) value(f field, wire protowire.Type, b []byte, depth int) (any, error) {
	switch {
	case f.kind <= boolKind && wire == protowire.VarintType:
		v, _ := protowire.ConsumeVarint(b)
		return f.varint(v), nil
	case f.kind == floatKind && wire == protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(b)
		return number(float64(math.Float32frombits(v))), nil
	case f.kind == doubleKind && wire == protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(b)
		return number(math.Float64frombits(v)), nil
	case f.kind >= stringKind && wire == protowire.BytesType:
		content, _ := protowire.ConsumeBytes(b)
		switch f.kind {
		case stringKind:
			return string(content), nil
		case bytesKind:
			return base64.StdEncoding.EncodeToString(content), nil
		}
		return d.message(f.message, content, depth+1)
	}
	return nil, fmt.Errorf("sparkplug: field %s has the wire type %d", f.name, wire)
}

// number returns f; an infinity or NaN, which the rule language does not have, as
// its name.
func number(f float64) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return f
}

// The datatypes whose values are signed (Sparkplug 3.0.0, section 6.4.16).
const (
	typeInt8  = 1
	typeInt16 = 2
	typeInt32 = 3
	typeInt64 = 4
)

// addValue gives a metric the member value, from the one that holds it.
func addValue(metric map[string]any, held string) {
	if metric["is_null"] == true {
		metric["value"] = nil
		return
	}
	switch x := metric[held].(type) {
	case nil:
	case uint64:
		metric["value"] = signed(x, metric["datatype"])
	default:
		metric["value"] = x
	}
}

// signed returns an integer by its datatype.
func signed(v uint64, datatype any) any {
	switch datatype {
	case uint64(typeInt8):
		return int64(int8(v))
	case uint64(typeInt16):
		return int64(int16(v))
	case uint64(typeInt32):
		return int64(int32(v))
	case uint64(typeInt64):
		return int64(v)
	}
	return v
}
