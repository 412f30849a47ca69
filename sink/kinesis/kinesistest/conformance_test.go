package kinesistest_test

import (
	"testing"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest/conformance"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, cfg := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := kinesistest.Start(t, cfg)
			conformance.Test(t, conformance.Target{Client: srv.Client(once), Prefix: "conformance-", Deviations: conformance.KinesisTest})
		})
	}
}
