package mqtt_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sluiceio/sluice/source/mqtt"
)

// signed signs the URL of a WebSocket of AWS IoT Core with Signature Version 4. The
// host is signed without a port and has to be sent so, and the token of temporary
// credentials stands outside of the signature.
func signed(credentials aws.CredentialsProvider, region string, now func() time.Time) func(context.Context, *url.URL) (*url.URL, error) {
	noBody := sha256.Sum256(nil)
	signer := v4.NewSigner()
	return func(ctx context.Context, u *url.URL) (*url.URL, error) {
		c, err := credentials.Retrieve(ctx) // asks for new ones when these expire
		if err != nil {
			return nil, err
		}
		token := c.SessionToken
		c.SessionToken = ""
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+u.Hostname()+u.Path, http.NoBody)
		if err != nil {
			return nil, err
		}
		text, _, err := signer.PresignHTTP(ctx, c, req, hex.EncodeToString(noBody[:]), "iotdevicegateway", region, now())
		if err != nil {
			return nil, err
		}
		if token != "" {
			text += "&X-Amz-Security-Token=" + url.QueryEscape(token)
		}
		to, err := url.Parse(text)
		if err == nil {
			to.Scheme = "wss"
		}
		return to, err
	}
}

// AWS IoT Core by WebSocket, with the credentials that every AWS program uses: a URL
// that is signed before every attempt to connect. In a program the provider of the
// credentials is the field Credentials of what config.LoadDefaultConfig returns.
func ExampleConfig_awsIoTWebSocket() {
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "to/ken"}, nil
	})
	now := func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) } // time.Now
	cfg := mqtt.Config{
		Brokers:        []string{"wss://abc123-ats.iot.eu-west-1.amazonaws.com/mqtt"},
		ClientID:       "bridge-1",
		Filters:        []mqtt.Subscription{{Filter: "sensors/#", QoS: 1}},
		WebSocketURL:   signed(provider, "eu-west-1", now),
		ReceiveMaximum: 100, // what AWS IoT Core has under way at most
	}
	fmt.Println(cfg.Validate())

	u, err := cfg.WebSocketURL(context.Background(), &url.URL{Scheme: "wss", Host: "abc123-ats.iot.eu-west-1.amazonaws.com:443", Path: "/mqtt"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(u.Scheme, u.Host, u.Path)
	for _, name := range []string{"X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token"} {
		fmt.Println(name, u.Query().Get(name))
	}
	// Output:
	// <nil>
	// wss abc123-ats.iot.eu-west-1.amazonaws.com /mqtt
	// X-Amz-Credential AKIDEXAMPLE/20261122/eu-west-1/iotdevicegateway/aws4_request
	// X-Amz-SignedHeaders host
	// X-Amz-Signature 5a4bcf21bbc084e989435a33edbbf10dad12a98434835b206a98e6b236fdf48b
	// X-Amz-Security-Token to/ken
}

// AWS IoT Core on port 443 with a client certificate: the protocol is agreed on by
// name. The files may be replaced while the source runs.
func ExampleConfig_awsIoTCertificate() {
	cfg := mqtt.Config{
		Brokers:  []string{"mqtts://abc123-ats.iot.eu-west-1.amazonaws.com:443"},
		ClientID: "bridge-1",
		Filters:  []mqtt.Subscription{{Filter: "$share/bridges/sensors/#", QoS: 1}},
		CAFile:   "AmazonRootCA1.pem",
		CertFile: "bridge-1.pem.crt",
		KeyFile:  "bridge-1.pem.key",
		TLS:      &tls.Config{NextProtos: []string{"x-amzn-mqtt-ca"}},
	}
	fmt.Println(cfg.Validate())
	// Output: <nil>
}
