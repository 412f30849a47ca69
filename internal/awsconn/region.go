package awsconn

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// suffixes are the domains of AWS's partitions, the plain one of each and that
// of its dual-stack endpoints.
var suffixes = []string{
	".amazonaws.com", ".api.aws", // commercial and GovCloud
	".amazonaws.com.cn", ".api.amazonwebservices.com.cn", // China
	".amazonaws.eu", ".api.amazonwebservices.eu", // European sovereign cloud
	".c2s.ic.gov", ".api.aws.ic.gov", // iso
	".sc2s.sgov.gov", ".api.aws.scloud", // iso-b
	".cloud.adc-e.uk", ".api.cloud-aws.adc-e.uk", // iso-e
	".csp.hci.ic.gov", ".api.aws.hci.ic.gov", // iso-f
}

var regionName = regexp.MustCompile(`^[a-z]{2,5}(-[a-z]+)+-[0-9]+$`)

// RegionOf is the region that an endpoint of AWS's own names, empty for others.
// The region stands behind the service's label, whose forms are kinesis,
// kinesis-fips, data-kinesis and such, or last before the domain:
//
//	kinesis-fips.us-gov-west-1.amazonaws.com
//	123456789012.data-kinesis.eu-west-1.api.aws
//	vpce-0123.kinesis.us-west-2.vpce.amazonaws.com
func RegionOf(endpoint string) (region string, isAWS bool) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	// The longest first: one may end like another.
	i := -1
	for n, s := range suffixes {
		if strings.HasSuffix(host, s) && (i < 0 || len(s) > len(suffixes[i])) {
			i = n
		}
	}
	if i < 0 {
		return "", false
	}
	labels := strings.Split(strings.TrimSuffix(strings.TrimSuffix(host, suffixes[i]), ".vpce"), ".")
	for _, l := range slices.Backward(labels) {
		if regionName.MatchString(l) {
			return l, true
		}
	}
	return "", true
}
