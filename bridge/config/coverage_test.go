package config

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// covered is a struct of options and the configuration that is made of it.
type covered struct {
	name    string
	options func() any             // a pointer to the struct
	configs func(any) (any, error) // a struct, or several in a slice of any
	// without are the fields of the configuration that have no option, and why.
	without map[string]string
}

const (
	goOnly  = "a Go value, which a file cannot hold"
	runtime = "set by what runs the definition"
)

func coverage() []covered {
	all := Context{Name: "x", Logger: nil, Filters: []string{"t"}, Events: []string{"$events/client/#"}}
	return []covered{
		{"sources.mqtt", func() any { return new(mqttSource) }, func(o any) (any, error) { return o.(*mqttSource).config(all), nil }, map[string]string{
			"Credentials": goOnly, "Dial": goOnly, "WebSocketURL": goOnly, "Logger": runtime,
			"DisableFastPath": "for comparison only",
		}},
		{"sources.broker", func() any { return new(brokerSource) }, func(o any) (any, error) {
			cfg, err := o.(*brokerSource).config(all)
			return []any{cfg, struct{ SessionFile string }{o.(*brokerSource).SessionFile}}, err
		}, map[string]string{
			"Logger": runtime, "Store": "opened of session_file with the source", "ReadPublished": "for programs that publish by Go",
		}},
		{"sinks.file", func() any { return new(fileSink) }, func(o any) (any, error) { return o.(*fileSink).config(), nil }, map[string]string{
			"Writer": goOnly,
		}},
		{"sinks.firehose", func() any { return new(firehoseSink) }, func(o any) (any, error) { return o.(*firehoseSink).config(all) }, map[string]string{
			"AWS": goOnly, "Logger": runtime,
		}},
		{"sinks.http", func() any { return new(httpSink) }, func(o any) (any, error) { return o.(*httpSink).config(all) }, map[string]string{
			"Client": goOnly, "Logger": runtime,
		}},
		{"sinks.kinesis", func() any { return new(kinesisSink) }, func(o any) (any, error) { return o.(*kinesisSink).config(all) }, map[string]string{
			"AWS": goOnly, "Client": goOnly, "OnReceipt": goOnly, "Logger": runtime,
		}},
		{"sinks.mqtt", func() any { return new(mqttSink) }, func(o any) (any, error) {
			client, err := o.(*mqttSink).client(all)
			return []any{client, o.(*mqttSink).sink(nil)}, err
		}, map[string]string{"Dial": goOnly, "Logger": runtime, "Publisher": "the client"}},
		{"resource_opts", func() any { return new(ResourceOptions) }, func(o any) (any, error) {
			return []any{o.(*ResourceOptions).queue(), o.(*ResourceOptions).spool("x", nil)}, nil
		}, map[string]string{"Logger": runtime}},
		{"actions", func() any { return new(actionDefinition) }, func(o any) (any, error) { return o.(*actionDefinition).action(o.(*actionDefinition).Sink), nil }, nil},
		{"pipeline", func() any { return new(pipelineOptions) }, func(o any) (any, error) {
			p := o.(*pipelineOptions)
			return []any{(&Definition{options: *p}).pipeline(nil), p.Limits.limits()}, nil
		}, map[string]string{
			"Queue": "resource_opts of each sink", "Hooks": goOnly, "Logger": runtime, "LogPayload": runtime,
		}},
	}
}

// Every field of a configuration has an option, or a reason why it has none, and
// every option has an effect on a configuration.
func TestOptionsCoverConfigurations(t *testing.T) {
	t.Parallel()
	files := certificates(t)
	for _, c := range coverage() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			all := c.options()
			optionType := reflect.TypeOf(all).Elem()
			for _, path := range optionPaths(optionType, nil) {
				set(reflect.ValueOf(all).Elem(), path, files)

				alone := c.options()
				reach(reflect.ValueOf(alone).Elem(), path)
				cfg, errBefore := c.configs(alone)
				before := shown(cfg)
				set(reflect.ValueOf(alone).Elem(), path, files)
				cfg, errAfter := c.configs(alone)
				if errBefore == nil && errAfter == nil {
					require.NotEqual(t, before, shown(cfg), "%s: option %s has no effect", c.name, optionType.FieldByIndex(path[:1]).Name)
				}
			}
			cfg, err := c.configs(all)
			require.NoError(t, err)
			configs, several := cfg.([]any)
			if !several {
				configs = []any{cfg}
			}
			left := map[string]bool{}
			for _, cfg := range configs {
				zeros(reflect.ValueOf(cfg), "", left)
			}
			for field := range left {
				require.Contains(t, c.without, field, "field %s has no option", field)
			}
			for field := range c.without {
				require.Contains(t, left, field, "the exception is not one any more")
			}
		})
	}
}

// shown is what distinguishes configurations; functions and pointers differ by
// whether they are there.
func shown(cfg any) string {
	var b strings.Builder
	var show func(v reflect.Value)
	show = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			switch {
			case v.IsNil():
				b.WriteString("nil ")
			case v.Type() == reflect.TypeFor[*tls.Config]():
				cfg := v.Elem()
				for _, name := range []string{"ServerName", "NextProtos", "RootCAs", "Certificates", "ClientCAs", "ClientAuth"} {
					f := cfg.FieldByName(name)
					fmt.Fprintf(&b, "%v ", f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0)
				}
			default:
				show(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					show(v.Field(i))
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				show(v.Index(i))
			}
		case reflect.Func:
			fmt.Fprintf(&b, "%v ", v.IsNil())
			if t := v.Type(); !v.IsNil() && t.NumIn() == 1 && t.In(0) == reflect.TypeFor[context.Context]() {
				data := v.Call([]reflect.Value{reflect.ValueOf(context.Background())})[0] // of enhanced authentication
				fmt.Fprintf(&b, "%v ", data.Interface())
			}
		default:
			fmt.Fprintf(&b, "%v ", v)
		}
	}
	show(reflect.ValueOf(cfg))
	return b.String()
}

// optionPaths returns the paths of the options of a struct, by fields; those of
// structs within come after the struct itself.
func optionPaths(t reflect.Type, before []int) (paths [][]int) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		path := append(slices.Clone(before), i)
		if inner := optionPaths(t.Field(i).Type, path); inner != nil {
			paths = append(paths, inner...)
		} else {
			paths = append(paths, path)
		}
	}
	return paths
}

// reach makes what is on the way to an option and returns its value.
func reach(v reflect.Value, path []int) reflect.Value {
	for _, i := range path {
		v = v.Field(i)
		for inner := v.Type(); inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice; inner = v.Type() {
			if inner.Kind() == reflect.Slice {
				if inner.Elem().Kind() != reflect.Struct {
					break
				}
				if v.Len() == 0 {
					v.Set(reflect.MakeSlice(inner, 1, 1))
				}
				v = v.Index(0)
				continue
			}
			if inner.Elem().Kind() != reflect.Struct {
				break
			}
			if v.IsNil() {
				v.Set(reflect.New(inner.Elem()))
			}
			v = v.Elem()
		}
	}
	return v
}

// set gives the option at path a value that is not the default.
func set(v reflect.Value, path []int, files map[string]string) {
	parent := reach(v, path[:len(path)-1])
	name := parent.Type().Field(path[len(path)-1]).Tag.Get("yaml")
	v = reach(v, path)
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		text := files[name]
		if text == "" {
			text = "x"
		}
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		v.Index(0).SetString("x")
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"X": "x"}))
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Uint8:
		v.SetUint(1)
		switch v.Type() {
		case reflect.TypeFor[qos](), reflect.TypeFor[retain]():
			v.SetUint(2) // 1 is the default of subscriptions
		}
	default:
		v.SetInt(1)
		if v.Type() == reflect.TypeFor[sessionExpiry]() {
			v.SetInt(int64(time.Minute))
		}
	}
}

// zeros collects the fields that have their zero values.
func zeros(v reflect.Value, prefix string, into map[string]bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Slice && v.Len() > 0 {
		if v.Kind() == reflect.Slice {
			v = v.Index(0)
		} else {
			v = v.Elem()
		}
	}
	if v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[tls.Config]() {
		return
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if v.Field(i).IsZero() {
			into[prefix+f.Name] = true
		} else {
			zeros(v.Field(i), prefix+f.Name+".", into)
		}
	}
}

// certificates writes a certificate with its key, and a file of users and one of
// permissions, and returns their names by option.
func certificates(t *testing.T) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files := map[string]string{}
	for name, text := range map[string]string{
		"cacertfile": string(certificate), "certfile": string(certificate),
		"keyfile":    string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
		"users_file": "", "acl_file": "",
	} {
		files[name] = filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(files[name], []byte(text), 0o600))
	}
	return files
}
