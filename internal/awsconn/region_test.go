package awsconn

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRegionOf(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"kinesis.ap-south-1.amazonaws.com":                              "ap-south-1",
		"kinesis-fips.us-east-2.amazonaws.com":                          "us-east-2",
		"kinesis.us-gov-west-1.amazonaws.com":                           "us-gov-west-1",
		"kinesis-fips.us-gov-east-1.api.aws":                            "us-gov-east-1",
		"kinesis.eu-central-1.api.aws":                                  "eu-central-1",
		"123456789012.data-kinesis.ap-southeast-2.amazonaws.com":        "ap-southeast-2",
		"123456789012.control-kinesis-fips.ca-west-1.api.aws":           "ca-west-1",
		"vpce-0123-abc.kinesis.us-west-2.vpce.amazonaws.com":            "us-west-2",
		"vpce-0123-abc-us-west-2a.kinesis.us-west-2.vpce.amazonaws.com": "us-west-2",
		"vpce-0123.kinesis-fips.us-east-1.vpce.api.aws":                 "us-east-1",
		"kinesis.cn-north-1.amazonaws.com.cn":                           "cn-north-1",
		"kinesis.cn-northwest-1.api.amazonwebservices.com.cn":           "cn-northwest-1",
		"kinesis.eusc-de-east-1.amazonaws.eu":                           "eusc-de-east-1",
		"kinesis.eusc-de-east-1.api.amazonwebservices.eu":               "eusc-de-east-1",
		"kinesis.us-iso-east-1.c2s.ic.gov":                              "us-iso-east-1",
		"kinesis.us-iso-west-1.api.aws.ic.gov":                          "us-iso-west-1",
		"kinesis.us-isob-east-1.sc2s.sgov.gov":                          "us-isob-east-1",
		"kinesis.us-isob-east-1.api.aws.scloud":                         "us-isob-east-1",
		"kinesis.eu-isoe-west-1.cloud.adc-e.uk":                         "eu-isoe-west-1",
		"kinesis.eu-isoe-west-1.api.cloud-aws.adc-e.uk":                 "eu-isoe-west-1",
		"kinesis.us-isof-south-1.csp.hci.ic.gov":                        "us-isof-south-1",
		"kinesis.us-isof-south-1.api.aws.hci.ic.gov":                    "us-isof-south-1",
		"Kinesis.EU-West-1.amazonaws.com.:443":                          "eu-west-1",
		"firehose-fips.us-east-1.api.aws":                               "us-east-1",
		"d-0123.stream.data-kinesis.mx-central-1.amazonaws.com":         "mx-central-1",
		"kinesis.il-central-1.amazonaws.com:8443":                       "il-central-1",
		"kinesis.localhost":                                             "", "localhost:4567": "", "kinesis.us-east-1.example.com": "", "[::1]:4567": "",
		"kinesis.us-east-1.amazonaws.com.example.com": "", "amazonaws.com": "", "xamazonaws.com": "",
	} {
		region, isAWS := RegionOf("https://" + host + "/")
		require.Equal(t, want, region, host)
		require.Equal(t, want != "", isAWS, host)
	}
	region, isAWS := RegionOf("https://kinesis.amazonaws.com")
	require.Empty(t, region)
	require.True(t, isAWS, "there is a region, but it is not said")
	_, isAWS = RegionOf("::")
	require.False(t, isAWS)
}

// TestRegionThatIsMeant never signs for a region that was guessed when it goes to AWS.
func TestRegionThatIsMeant(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		o           Options
		found, want string
	}{
		{Options{Region: "a", Endpoint: "https://kinesis.eu-west-1.api.aws"}, "x", "a"},
		{Options{Endpoint: "https://kinesis.eu-west-1.api.aws"}, "x", "eu-west-1"},
		{Options{Endpoint: "https://kinesis.amazonaws.com"}, "x", "x"},
		{Options{Endpoint: "https://kinesis.amazonaws.com"}, "", ""},
		{Options{Endpoint: "http://localhost:4567"}, "x", "x"},
		{Options{Endpoint: "http://localhost:4567"}, "", "us-east-1"},
		{Options{}, "x", "x"},
		{Options{}, "", ""},
	} {
		require.Equal(t, tc.want, tc.o.region(tc.found), "%+v", tc.o)
	}
}
