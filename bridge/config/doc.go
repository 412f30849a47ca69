// Package config makes pipelines of definitions in YAML or JSON:
//
//	sources:
//	  plant: {type: mqtt, servers: ["mqtt://localhost:1883"], client_id: bridge-1}
//	sinks:
//	  kinesis: {type: kinesis, region: eu-west-1, stream_name: readings}
//	rules:
//	  temperatures:
//	    sql: SELECT payload.temp AS temp, topic FROM "t/#" WHERE temp > 20
//	    actions:
//	      - {sink: kinesis, partition_key: "${topic}"}
//
// The names of options are EMQX's where they mean the same; docs/configuration.md
// lists them. Definitions are strict: unknown keys, wrong types, names of things
// that do not exist and errors in SQL and templates are reported all at once,
// each with file, line, column and path.
//
// In any text, ${env:NAME} stands for an environment variable and ${file:PATH}
// for the content of a file without its last line break, which keeps secrets out
// of the definition. Their values never appear in an error.
package config
