package itest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge/config"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// deployFile returns a file that shows how to run mqtt2kinesis.
func deployFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(projectRoot(), "examples/mqtt2kinesis/deploy", name))
	require.NoError(t, err)
	return string(text)
}

// drainTime is how long a bridge may take to stop unless it is told otherwise.
const drainTime = 30 * time.Second

// instructions are those of the last stage of the Dockerfile, by name.
func instructions(t *testing.T) map[string]string {
	t.Helper()
	text := deployFile(t, "Dockerfile")
	list := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z]+) (.*)$`).FindAllStringSubmatch(text[strings.LastIndex(text, "\nFROM "):], -1) {
		list[m[1]] = m[2]
	}
	return list
}

// execForm reads the arguments of an instruction in JSON.
func execForm(t *testing.T, text string) (words []string) {
	t.Helper()
	_, list, ok := strings.Cut(text, "[")
	require.True(t, ok, text)
	require.NoError(t, json.Unmarshal([]byte("["+list), &words))
	return words
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := deployFile(t, "Dockerfile")
	mod, err := os.ReadFile(filepath.Join(projectRoot(), "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)[1]
	require.Contains(t, text, "GO_IMAGE=golang:"+string(version)+"\n")
	last := instructions(t)
	require.Equal(t, []string{"/mqtt2kinesis"}, execForm(t, last["ENTRYPOINT"]))
	checkFlags(t, "CMD", strings.Join(execForm(t, last["CMD"]), " "))
	checkFlags(t, "HEALTHCHECK", strings.Join(execForm(t, last["HEALTHCHECK"])[1:], " "))
}

func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	unit := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(deployFile(t, "mqtt2kinesis.service"), -1) {
		unit[m[1]] = m[2]
	}
	_, arguments, ok := strings.Cut(unit["ExecStart"], "mqtt2kinesis ")
	require.True(t, ok)
	checkFlags(t, "ExecStart", arguments)
	require.Equal(t, "2", unit["RestartPreventExitStatus"])
	stop, err := time.ParseDuration(unit["TimeoutStopSec"])
	require.NoError(t, err)
	require.Greater(t, stop, drainTime)
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]struct {
			Build struct {
				Context, Dockerfile string
			}
			Volumes         []string
			StopGracePeriod string                       `yaml:"stop_grace_period"`
			DependsOn       map[string]map[string]string `yaml:"depends_on"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(deployFile(t, "compose.yaml")), &file))
	bridge := file.Services["bridge"]
	folder := filepath.Join(projectRoot(), "examples/mqtt2kinesis/deploy")
	require.FileExists(t, filepath.Join(folder, bridge.Build.Context, bridge.Build.Dockerfile))
	stop, err := time.ParseDuration(bridge.StopGracePeriod)
	require.NoError(t, err)
	require.Greater(t, stop, drainTime)
	for name, s := range file.Services {
		for _, v := range s.Volumes {
			require.FileExists(t, filepath.Join(folder, strings.Split(v, ":")[0]), name)
		}
		for other := range s.DependsOn {
			require.Contains(t, file.Services, other, name)
		}
	}
	require.Contains(t, bridge.Volumes[0], ":"+configPath(t)+":")
	for _, m := range regexp.MustCompile(`://(\w+):`).FindAllStringSubmatch(deployFile(t, "bridge-emulator.yaml"), -1) {
		require.Contains(t, file.Services, m[1])
	}
}

// configPath is where the container looks for its definition.
func configPath(t *testing.T) string {
	t.Helper()
	words := execForm(t, instructions(t)["CMD"])
	for i, w := range words {
		if w == "-config" {
			return words[i+1]
		}
	}
	require.Fail(t, "no -config")
	return ""
}

func TestKubernetesManifest(t *testing.T) {
	t.Parallel()
	type probe struct {
		HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	}
	type object struct {
		Kind string
		Data map[string]string
		Spec struct {
			Replicas int
			Strategy struct{ Type string }
			Template struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []struct {
						Args         []string
						Ports        []struct{ Name string }
						Liveness     probe `yaml:"livenessProbe"`
						Readiness    probe `yaml:"readinessProbe"`
						VolumeMounts []struct {
							MountPath string `yaml:"mountPath"`
						} `yaml:"volumeMounts"`
					}
				}
			}
		}
	}
	objects := map[string]object{}
	for _, text := range strings.Split(deployFile(t, "kubernetes.yaml"), "\n---\n") {
		var o object
		require.NoError(t, yaml.Unmarshal([]byte(text), &o))
		objects[o.Kind] = o
	}
	spec := objects["Deployment"].Spec
	require.Equal(t, "Recreate", spec.Strategy.Type)
	require.Greater(t, time.Duration(spec.Template.Spec.Grace)*time.Second, drainTime)
	c := spec.Template.Spec.Containers[0]
	checkFlags(t, "args", strings.Join(c.Args, " "))
	require.Contains(t, c.Args, configPath(t))
	require.Equal(t, filepath.Dir(configPath(t)), c.VolumeMounts[0].MountPath)
	require.Equal(t, "/livez", c.Liveness.HTTPGet.Path)
	require.Equal(t, "/readyz", c.Readiness.HTTPGet.Path)
	require.Equal(t, c.Ports[0].Name, c.Liveness.HTTPGet.Port)
	require.Equal(t, c.Ports[0].Name, c.Readiness.HTTPGet.Port)
	definition := objects["ConfigMap"].Data[filepath.Base(configPath(t))]
	_, err := config.Parse("kubernetes.yaml", []byte(definition), surroundings)
	require.NoError(t, err)
}

// The container, as the Dockerfile's last stage describes it, becomes healthy,
// carries messages, drains when it is stopped, and says by its exit code that a
// definition is wrong. The base image is one of the program alone.
func TestContainer(t *testing.T) {
	t.Parallel()
	image(t, "SLUICE_MQTT_IMAGE") // there is an engine
	docker, b := program(t, "docker"), mosquitto(t)
	endpoint := kinesistest.Start(t, kinesistest.Config{}).URL()
	awsCLI(t, endpoint).createStream(t, stream, 1)
	name := fmt.Sprintf("sluice-test-%d", os.Getpid())
	packed := packImage(t, name)
	t.Cleanup(func() {
		_ = exec.Command(docker, "rm", "-f", name).Run() // the test has no context any more
		_ = exec.Command(docker, "image", "rm", "-f", packed).Run()
	})

	definition := strings.NewReplacer("mqtt://mosquitto:1883", b.url, "http://localstack:4566", endpoint).Replace(deployFile(t, "bridge-emulator.yaml"))
	launch := func(text string) *process {
		file := filepath.Join(t.TempDir(), "bridge.yaml")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644)) // another user reads it
		return start(t, "", nil, docker, "run", "--rm", "--name", name, "--network", "host", "--read-only",
			"-v", file+":"+configPath(t)+":ro", packed, "run", "-config", configPath(t), "-listen", "127.0.0.1:"+freePort(t))
	}
	wrong := launch(strings.Replace(definition, "stream_name", "stream_nam", 1))
	require.Equal(t, 2, wrong.wait(t), "a wrong definition")
	require.Contains(t, wrong.out.String(), `did you mean "stream_name"?`)

	right := launch(definition)
	addr := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(right.out.await(t, "status is served"))[1]
	right.out.await(t, "bridge is ready")
	health := execForm(t, instructions(t)["HEALTHCHECK"])
	health[len(health)-1] = addr
	run(t, nil, append([]string{docker, "exec", name}, health...)...)
	publishers()[0].publish(t, b.port, walkTopic, walkPayload)
	require.Len(t, awsCLI(t, endpoint).read(t, stream, 1), 1)
	run(t, nil, docker, "stop", "--time", "60", name)
	require.Zero(t, right.wait(t), "a clean stop")
	require.Contains(t, right.out.String(), "draining")
}

// packImage makes an image of the program, without a registry, with the
// instructions of the Dockerfile.
func packImage(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	binary := example(t, "mqtt2kinesis")
	run(t, nil, "cp", binary, dir)
	linked, _ := exec.CommandContext(t.Context(), "ldd", binary).Output() // nothing when it is static
	for _, library := range regexp.MustCompile(`/[^ )]+`).FindAllString(string(linked), -1) {
		run(t, nil, "cp", "-L", "--parents", library, dir)
	}
	archive := run(t, nil, program(t, "tar"), "-C", dir, "-c", ".")
	file := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, os.WriteFile(file, bytes.Clone(archive), 0o600))
	argv := []string{program(t, "docker"), "import"}
	for instruction, text := range instructions(t) {
		if instruction != "FROM" && instruction != "COPY" && instruction != "HEALTHCHECK" && instruction != "STOPSIGNAL" {
			argv = append(argv, "--change", instruction+" "+text)
		}
	}
	run(t, nil, append(argv, file, name)...)
	return name
}
