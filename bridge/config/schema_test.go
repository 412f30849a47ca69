package config

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The published schema is that of the types. SLUICE_UPDATE=1 writes it.
func TestSchemaIsUpToDate(t *testing.T) {
	t.Parallel()
	const path = "../../docs/config.schema.json"
	want, err := Schema(nil)
	require.NoError(t, err)
	if os.Getenv("SLUICE_UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, want, 0o600))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	if !bytes.Equal(want, got) {
		t.Fatal("the schema is not that of the types: run SLUICE_UPDATE=1 go test ./bridge/config -run UpToDate")
	}
}

// Every option is described.
func TestOptionsAreDescribed(t *testing.T) {
	t.Parallel()
	var check func(path string, typ reflect.Type)
	check = func(path string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := path + "." + f.Tag.Get("yaml")
			require.NotEmpty(t, f.Tag.Get("yaml"), "%s.%s", path, f.Name)
			require.True(t, strings.HasSuffix(f.Tag.Get("doc"), "."), name)
			check(name, f.Type)
		}
	}
	types := DefaultTypes()
	for name, create := range types.Sources {
		check(name, reflect.TypeOf(create()))
	}
	for name, create := range types.Sinks {
		check(name, reflect.TypeOf(create()))
	}
	check("resource_opts", reflect.TypeFor[ResourceOptions]())
	check("rule", reflect.TypeFor[ruleDefinition]())
	check("pipeline", reflect.TypeFor[pipelineOptions]())
}
