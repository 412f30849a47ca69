package kinesistest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/middleware"
	"github.com/fxamacker/cbor/v2"
)

// Content types the service speaks.
const (
	typeJSON = "application/x-amz-json-1.1"
	typeCBOR = "application/x-amz-cbor-1.1"
)

// codec turns bodies into the SDK's structs and back. The members of the
// service's shapes have the names of the structs' fields.
type codec struct {
	parse  func(body []byte) (any, error) // to maps, lists and scalars
	format func(tree any) ([]byte, error)
	time   func(time.Time) any
}

func codecFor(contentType string) codec {
	if contentType == typeCBOR {
		return codec{parseCBOR, cbor.Marshal, timeCBOR}
	}
	return codec{parseJSON, json.Marshal, timeJSON}
}

func (c codec) decode(body []byte, into any) error {
	tree, err := c.parse(body)
	if err != nil {
		return &Error{Code: CodeSerialization, Status: http.StatusBadRequest}
	}
	if _, ok := tree.(map[string]any); !ok {
		return &Error{Code: CodeSerialization, Status: http.StatusBadRequest}
	}
	return assign(reflect.ValueOf(into).Elem(), tree)
}

func (c codec) encode(out any) ([]byte, error) {
	v := reflect.ValueOf(out).Elem()
	if v.Kind() == reflect.Struct {
		if tree := c.tree(v).(map[string]any); len(tree) > 0 {
			return c.format(tree)
		}
		return nil, nil // Operations without results answer with nothing.
	}
	return c.format(out)
}

func parseJSON(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("kinesistest: data after the JSON value")
	}
	return tree, nil
}

func parseCBOR(body []byte) (any, error) {
	var tree any
	err := cborMode.Unmarshal(body, &tree)
	return tree, err
}

// cborMode makes maps as encoding/json does.
var cborMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any](), MaxArrayElements: 1 << 17}.DecMode()
	if err != nil {
		panic(err) // The options are constants.
	}
	return mode
}()

// timeJSON is seconds with milliseconds.
func timeJSON(t time.Time) any {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64))
}

// timeCBOR is milliseconds, unlike what CBOR says about its tag 1.
func timeCBOR(t time.Time) any { return cbor.Tag{Number: 1, Content: t.UnixMilli()} }

// maxSeconds tells times in seconds, all below it, from times in milliseconds.
const maxSeconds = 1e11

// maxMillis is beyond the year 9999.
const maxMillis = 253_402_300_800_000

func serialization(format string, args ...any) error {
	return clientError(CodeSerialization, format, args...)
}

// assign sets a field of a request from what was sent for it. Members nobody
// knows and nulls are ignored, as by the service.
func assign(v reflect.Value, tree any) error {
	if tree == nil {
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return assign(v.Elem(), tree)
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		return assignTime(v, tree)
	}
	switch v.Kind() {
	case reflect.Struct:
		return assignStruct(v, tree)
	case reflect.Map:
		return assignMap(v, tree)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return assignBlob(v, tree)
		}
		return assignList(v, tree)
	case reflect.String:
		s, ok := tree.(string)
		if !ok {
			return mismatch(tree, "a String")
		}
		v.SetString(s)
	case reflect.Bool:
		b, ok := tree.(bool)
		if !ok {
			return mismatch(tree, "a Boolean")
		}
		v.SetBool(b)
	case reflect.Int32, reflect.Int64:
		f, ok := number(tree)
		if !ok || math.IsNaN(f) {
			return mismatch(tree, "an Integer")
		}
		v.SetInt(int64(max(math.MinInt32, min(math.Floor(f), math.MaxInt32))))
	}
	return nil
}

func mismatch(tree any, want string) error {
	switch tree := tree.(type) {
	case []any:
		return serialization("Start of list found where not expected")
	case map[string]any:
		return serialization("Start of structure or map found where not expected.")
	case bool:
		return serialization("class java.lang.Boolean can not be converted to %s", want)
	case string:
		return serialization("class java.lang.String can not be converted to %s", want)
	case json.Number:
		return serialization("class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to %s", want)
	default:
		return serialization("%T can not be converted to %s", tree, want)
	}
}

func number(tree any) (f float64, ok bool) {
	switch n := tree.(type) {
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	case float64:
		return n, true
	case float32:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	}
	return 0, false
}

func assignStruct(v reflect.Value, tree any) error {
	m, ok := tree.(map[string]any)
	if !ok {
		return mismatch(tree, "a Structure")
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if member, ok := m[field.Name]; ok && field.IsExported() {
			if err := assign(v.Field(i), member); err != nil {
				return err
			}
		}
	}
	return nil
}

func assignMap(v reflect.Value, tree any) error {
	m, ok := tree.(map[string]any)
	if !ok {
		return serialization("Expected map or null")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(m)))
	for key, member := range m {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := assign(value, member); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key), value)
	}
	return nil
}

func assignList(v reflect.Value, tree any) error {
	list, ok := tree.([]any)
	if !ok {
		return serialization("Expected list or null")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, item := range list {
		if err := assign(v.Index(i), item); err != nil {
			return err
		}
	}
	return nil
}

func assignBlob(v reflect.Value, tree any) error {
	switch data := tree.(type) {
	case []byte:
		v.SetBytes(append([]byte{}, data...))
	case string:
		raw, err := decodeBlob(data)
		if err != nil {
			return err
		}
		v.SetBytes(raw)
	default:
		return mismatch(tree, "a Blob")
	}
	return nil
}

func decodeBlob(text string) ([]byte, error) {
	if len(text)%4 != 0 {
		return nil, serialization("'%s' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: %d", text, len(text))
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, serialization("'%s' can not be converted to a Blob: Invalid Base64 character", text)
	}
	return raw, nil
}

func assignTime(v reflect.Value, tree any) error {
	if t, ok := tree.(time.Time); ok { // CBOR's tag 1, taken for seconds
		tree = float64(t.Unix()) + float64(t.Nanosecond())/1e9
	}
	f, ok := number(tree)
	if !ok || math.IsNaN(f) || math.Abs(f) > maxMillis {
		return mismatch(tree, "milliseconds since epoch")
	}
	if math.Abs(f) < maxSeconds {
		f *= 1000
	}
	v.Set(reflect.ValueOf(time.UnixMilli(int64(math.Round(f))).UTC()))
	return nil
}

// tree is the opposite of assign: absent members are left out.
func (c codec) tree(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return c.tree(v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return c.time(t)
		}
		m := map[string]any{}
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && present(v.Field(i)) {
				m[field.Name] = c.tree(v.Field(i))
			}
		}
		return m
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes()
		}
		list := make([]any, v.Len())
		for i := range list {
			list[i] = c.tree(v.Index(i))
		}
		return list
	case reflect.String:
		return v.String()
	default:
		return v.Interface()
	}
}

func present(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return !v.IsNil()
	case reflect.String:
		return v.Len() > 0
	}
	return v.Type() != reflect.TypeFor[middleware.Metadata]()
}
