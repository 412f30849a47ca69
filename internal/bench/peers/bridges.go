package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	stream   = "readings"
	region   = "us-east-1"
	clientID = "peer"
)

// bridge is a candidate.
type bridge struct {
	name    string
	command func(ctx context.Context, dir, broker, endpoint string) (*exec.Cmd, error)
}

// bridges builds what is to be built and returns the candidates.
func bridges(ctx context.Context, dir, telegraf string) ([]bridge, error) {
	sluice := filepath.Join(dir, "mqtt2kinesis")
	build := exec.CommandContext(ctx, "go", "build", "-C", "../../..", "-o", sluice, "./examples/mqtt2kinesis")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	daemon := func(more ...string) func(context.Context, string, string, string) (*exec.Cmd, error) {
		return func(ctx context.Context, _, broker, endpoint string) (*exec.Cmd, error) {
			return exec.CommandContext(ctx, sluice, append([]string{
				"-mqtt", broker, "-client-id", clientID, "-stream", stream, "-region", region, "-endpoint", endpoint,
				"-sql", `SELECT topic, payload FROM "t/#"`, "-key", "${topic}", "-payload", "${payload}",
			}, more...)...), nil
		}
	}
	list := []bridge{
		{"Sluice, one record per message", daemon()},
		{"Sluice, aggregated", daemon("-aggregate")},
		{"plain Go", func(ctx context.Context, _, broker, endpoint string) (*exec.Cmd, error) {
			return exec.CommandContext(ctx, os.Args[0], "-plain", broker, endpoint), nil
		}},
	}
	if telegraf != "" {
		list = append(list, bridge{"Telegraf", func(ctx context.Context, dir, broker, endpoint string) (*exec.Cmd, error) {
			path := filepath.Join(dir, "telegraf.conf")
			return exec.CommandContext(ctx, telegraf, "--config", path), os.WriteFile(path, fmt.Appendf(nil, telegrafConfig, broker, clientID, region, endpoint, stream), 0o600)
		}})
	}
	return list, nil
}

// telegrafConfig makes Telegraf hold messages until they are written, and send the
// payload as it is.
const telegrafConfig = `
[agent]
  flush_interval = "10ms"
  metric_batch_size = 500
  metric_buffer_limit = 100000
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = [%q]
  client_id = %q
  topics = ["t/#"]
  qos = 1
  persistent_session = true
  max_undelivered_messages = 10000
  data_format = "value"
  data_type = "string"
[[outputs.kinesis]]
  region = %q
  endpoint_url = %q
  access_key = "id"
  secret_key = "secret"
  streamname = %q
  data_format = "template"
  template = '{{ .Field "value" }}'
  [outputs.kinesis.partition]
    method = "tag"
    key = "topic"
    default = "none"
`
