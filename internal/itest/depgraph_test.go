package itest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const self = "github.com/sluiceio/sluice"

// otelAPI is OpenTelemetry's API.
var otelAPI = []string{
	"github.com/cespare/xxhash/v2",
	"github.com/go-logr/logr",
	"github.com/go-logr/stdr",
	"go.opentelemetry.io/auto/sdk",
	"go.opentelemetry.io/otel",
	"go.opentelemetry.io/otel/log",
	"go.opentelemetry.io/otel/metric",
	"go.opentelemetry.io/otel/trace",
}

// What importing a package links beside the standard library, by module. A new
// module here is a new dependency of every user of the package.
var modulesOf = map[string][]string{
	"bridge":   nil,
	"template": {"github.com/valyala/bytebufferpool", "github.com/valyala/fasttemplate"},
	"rule": {
		"github.com/dlclark/regexp2",
		"github.com/itchyny/gojq",
		"github.com/itchyny/timefmt-go",
		"github.com/rivo/uniseg",
		"github.com/valyala/bytebufferpool",
		"github.com/valyala/fasttemplate",
		"golang.org/x/crypto", // hash functions that EMQX's rules name
		"golang.org/x/sys",
	},
	"bridge/console": { // those of rule
		"github.com/dlclark/regexp2",
		"github.com/itchyny/gojq",
		"github.com/itchyny/timefmt-go",
		"github.com/rivo/uniseg",
		"github.com/valyala/bytebufferpool",
		"github.com/valyala/fasttemplate",
		"golang.org/x/crypto",
		"golang.org/x/sys",
		"golang.org/x/time", // the rate limit of package sink, which has ShardLoad
	},
	"bridge/metrics": append([]string{"golang.org/x/time"}, otelAPI...), // no SDK and no exporter
	"bridge/tracing": otelAPI,
	"source/mqtt": {
		"github.com/eclipse/paho.golang",
		"github.com/gorilla/websocket",
		"golang.org/x/net",
	},
	"source/broker": {
		"github.com/gorilla/websocket",
		"github.com/mochi-mqtt/server/v2",
		"golang.org/x/crypto", // bcrypt, for users files
	},
	"source/broker/boltstore": {
		"github.com/gorilla/websocket",
		"github.com/mochi-mqtt/server/v2",
		"go.etcd.io/bbolt",
		"golang.org/x/crypto",
		"golang.org/x/sys",
	},
	"sink/kinesis": {
		"github.com/aws/aws-sdk-go-v2",
		"github.com/aws/smithy-go",
		"github.com/klauspost/compress",
		"golang.org/x/time",
	},
	"sink/kinesis/kinesistest": {
		"github.com/aws/aws-sdk-go-v2",
		"github.com/aws/smithy-go",
		"github.com/fxamacker/cbor/v2",
		"github.com/x448/float16",
	},
}

// Packages for tests only, which no other package may link.
var testModules = []string{
	"github.com/stretchr/testify", "github.com/testcontainers/testcontainers-go",
	"go.uber.org/goleak", "pgregory.net/rapid",
}

func TestModulesLinked(t *testing.T) {
	t.Parallel()
	for pkg, allowed := range modulesOf {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			require.Subset(t, allowed, linked(t, "./"+pkg))
		})
	}
}

// Nothing but tests, and packages that are for tests, reaches the test modules.
func TestTestModulesStayInTests(t *testing.T) {
	t.Parallel()
	packages := slices.DeleteFunc(golist(t, "{{.ImportPath}}", "./..."), func(p string) bool {
		return strings.HasSuffix(p, "/bridgetest")
	})
	for _, module := range linked(t, packages...) {
		require.NotContains(t, testModules, module)
	}
}

// linked lists the modules that the packages link, those of one project such as
// the AWS SDK as one.
func linked(t *testing.T, packages ...string) []string {
	t.Helper()
	modules := golist(t, "{{with .Module}}{{.Path}}{{end}}", append([]string{"-deps"}, packages...)...)
	for i, m := range modules {
		if strings.HasPrefix(m, "github.com/aws/aws-sdk-go-v2/") {
			modules[i] = "github.com/aws/aws-sdk-go-v2"
		}
	}
	slices.Sort(modules)
	modules = slices.Compact(modules)
	return slices.DeleteFunc(modules, func(m string) bool { return m == self || m == "" })
}

func golist(t *testing.T, format string, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-f", format}, args...)...)
	cmd.Dir = projectRoot()
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}
