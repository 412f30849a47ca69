package kinesis

import (
	_ "embed" // the list of prices
	"encoding/json"
	"fmt"
)

// Prices are those of a region, in US dollars, without free tiers.
type Prices struct {
	// Region and Date say where and when they were the list prices.
	Region string `json:"region"`
	Date   string `json:"date"` // year and month
	// HoursPerMonth is what the bills are for.
	HoursPerMonth float64 `json:"hours_per_month"`

	// ShardHour and MillionPayloadUnits are for provisioned streams.
	ShardHour           float64 `json:"shard_hour"`
	MillionPayloadUnits float64 `json:"million_payload_units"`
	// StreamHour and GigabyteIn are for on-demand streams; what is written is
	// counted in GiB, each Kinesis record rounded up to 1 KiB.
	StreamHour float64 `json:"stream_hour"`
	GigabyteIn float64 `json:"gigabyte_in"`
	// AdvantageGigabyteIn and AdvantageGigabyteOut are for on-demand streams of
	// an account with the mode on-demand advantage, which commits to paying
	// for at least AdvantageMiBPerSecond both written and read, in all of its
	// streams together.
	AdvantageGigabyteIn   float64 `json:"advantage_gigabyte_in"`
	AdvantageGigabyteOut  float64 `json:"advantage_gigabyte_out"`
	AdvantageMiBPerSecond float64 `json:"advantage_mib_per_second"`
}

//go:embed prices.json
var pricesJSON []byte

// ListPrices returns the list prices that are known, for some regions. AWS changes
// its prices: see how old they are, and check them before you decide anything by
// them. They are JSON of Prices in the source; yours can be read in the same way.
func ListPrices() []Prices {
	var list []Prices
	if err := json.Unmarshal(pricesJSON, &list); err != nil {
		panic(fmt.Sprintf("kinesis: prices.json: %v", err)) // a test reads it
	}
	return list
}

// PricesOf returns the list prices of a region, false where they are not known.
func PricesOf(region string) (Prices, bool) {
	for _, p := range ListPrices() {
		if p.Region == region {
			return p, true
		}
	}
	return Prices{}, false
}
