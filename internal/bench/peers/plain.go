package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// plain is a bridge as people write it: messages are collected for up to 10 ms, put
// with PutRecords, and acknowledged when they are stored. What failed is sent again.
func plain(ctx context.Context, broker, endpoint string) error {
	client := kinesis.New(kinesis.Options{
		Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
	type received struct {
		message *paho.Publish
		from    *paho.Client
	}
	queue := make(chan received, 10_000)
	u, err := url.Parse(broker)
	if err != nil {
		return err
	}
	conn, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 30, SessionExpiryInterval: 3600,
		OnConnectionUp: func(c *autopaho.ConnectionManager, _ *paho.Connack) {
			if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "t/#", QoS: 1}}}); err != nil {
				log.Print(err)
			}
		},
		ClientConfig: paho.ClientConfig{
			ClientID: clientID, EnableManualAcknowledgment: true,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
				queue <- received{p.Packet, p.Client}
				return true, nil
			}},
		},
	})
	if err != nil {
		return err
	}
	defer conn.Disconnect(context.Background())
	for {
		var batch []received
		late := time.After(10 * time.Millisecond)
	collect:
		for len(batch) < 500 {
			select {
			case r := <-queue:
				batch = append(batch, r)
			case <-late:
				break collect
			case <-ctx.Done():
				return nil
			}
		}
		left := batch
		for len(left) > 0 && ctx.Err() == nil {
			in := &kinesis.PutRecordsInput{StreamName: aws.String(stream)}
			for _, r := range left {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: &r.message.Topic, Data: r.message.Payload})
			}
			out, err := client.PutRecords(ctx, in)
			if err != nil {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			var failed []received
			for i, r := range out.Records {
				if r.ErrorCode != nil {
					failed = append(failed, left[i])
				}
			}
			left = failed
		}
		for _, r := range batch {
			if err := r.from.Ack(r.message); err != nil && !errors.Is(err, context.Canceled) {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
}
