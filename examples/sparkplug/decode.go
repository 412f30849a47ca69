package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/sluiceio/sluice/rule"
)

// decode is the function sparkplug_decode(payload): a Sparkplug B payload as a map
// with timestamp, seq and metrics. It reads the Protocol Buffers form of the
// Sparkplug specification 3.0, section 6.4: what it does not know it skips.
func decode(_ *rule.Call, payload []byte) (any, error) {
	out := map[string]any{}
	metrics := []any{}
	err := fields(payload, func(number int, v field) error {
		switch number {
		case 1:
			out["timestamp"] = int64(v.n)
		case 2:
			m, err := metric(v.bytes)
			metrics = append(metrics, m)
			return err
		case 3:
			out["seq"] = int64(v.n)
		case 4:
			out["uuid"] = string(v.bytes)
		}
		return nil
	})
	out["metrics"] = metrics
	return out, err
}

// Data types of metrics whose values are signed but sent as unsigned numbers.
const (
	typeInt8  = 1
	typeInt16 = 2
	typeInt32 = 3
	typeInt64 = 4
)

func metric(message []byte) (map[string]any, error) {
	out := map[string]any{}
	datatype := uint64(0)
	err := fields(message, func(number int, v field) error {
		switch number {
		case 1:
			out["name"] = string(v.bytes)
		case 2:
			out["alias"] = int64(v.n)
		case 3:
			out["timestamp"] = int64(v.n)
		case 4:
			datatype = v.n
			out["datatype"] = int64(v.n)
		case 7:
			out["is_null"] = v.n != 0
		case 10, 11:
			out["value"] = signed(v.n, datatype)
		case 12:
			out["value"] = float64(math.Float32frombits(uint32(v.n)))
		case 13:
			out["value"] = math.Float64frombits(v.n)
		case 14:
			out["value"] = v.n != 0
		case 15, 16:
			out["value"] = string(v.bytes)
		}
		return nil
	})
	return out, err
}

func signed(n, datatype uint64) any {
	switch datatype {
	case typeInt8:
		return int64(int8(n))
	case typeInt16:
		return int64(int16(n))
	case typeInt32:
		return int64(int32(n))
	case typeInt64:
		return int64(n)
	default:
		return n
	}
}

// field is the value of a field: a number, or bytes.
type field struct {
	n     uint64
	bytes []byte
}

var errTruncated = errors.New("the payload is not Sparkplug B: it ends within a field")

// fields calls visit for each field of a Protocol Buffers message.
func fields(message []byte, visit func(number int, v field) error) error {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return errTruncated
		}
		message = message[n:]
		var v field
		switch wire := key & 7; wire {
		case 0:
			if v.n, n = binary.Uvarint(message); n <= 0 {
				return errTruncated
			}
		case 1:
			if n = 8; len(message) < n {
				return errTruncated
			}
			v.n = binary.LittleEndian.Uint64(message)
		case 2:
			length, head := binary.Uvarint(message)
			if head <= 0 || length > uint64(len(message)-head) {
				return errTruncated
			}
			n = head + int(length)
			v.bytes = message[head:n]
		case 5:
			if n = 4; len(message) < n {
				return errTruncated
			}
			v.n = uint64(binary.LittleEndian.Uint32(message))
		default:
			return fmt.Errorf("the payload is not Sparkplug B: there is no wire type %d", wire)
		}
		message = message[n:]
		if err := visit(int(key>>3), v); err != nil {
			return err
		}
	}
	return nil
}
