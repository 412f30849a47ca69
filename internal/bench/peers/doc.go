// Peers runs other bridges from MQTT to Kinesis through the same faults as Sluice, and
// says who keeps what: messages lost, first occurrences out of order, and messages
// stored twice.
//
//	go run . [-messages 20000] [-run 'away|kill'] [-telegraf PATH]
//
// Each bridge is a process of its own, with a broker that keeps a session and a Kinesis
// that fails as the scenario says, both in this process. The candidates are Sluice's
// daemon, a program as people write it with Eclipse Paho and AWS's SDK (plain.go), and
// Telegraf, if a binary of it is named. To build one:
//
//	go mod init t && go get github.com/influxdata/telegraf/cmd/telegraf@v1.37.2
//	go build -tags custom,inputs.mqtt_consumer,outputs.kinesis,parsers.value,serializers.template \
//	  github.com/influxdata/telegraf/cmd/telegraf
//
// It is a module of its own so that nobody who uses Sluice downloads more for it.
package main
