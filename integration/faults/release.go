package faults

// BadRelease changes the source of the consumer, as testserver.Overlay takes it, so that it dies of an event whose first
// metric has one of these names, when it decodes or when it persists it.
var BadRelease = map[string]map[string]string{
	"schema/decode.go": {
		"	if len(decoded.Events) == 0 && !decoded.Final {\n": `	if len(decoded.Events) > 0 && decoded.Events[0].Metrics[0].Name == "` + KillsDecoders + `" {
		panic("planted: dies of decoding it")
	}
	if len(decoded.Events) == 0 && !decoded.Final {
`,
	},
	"katibdb/persist.go": {
		"		p := filter(batch, known, time.Now())\n": `		p := filter(batch, known, time.Now())
		for _, m := range batch {
			if len(m.Events) > 0 && m.Events[0].Metrics[0].Name == "` + KillsWriters + `" {
				panic("planted: dies of persisting it")
			}
		}
`,
	},
}

// Names of metrics that BadRelease dies of.
const (
	KillsDecoders = "kills-decoders"
	KillsWriters  = "kills-writers"
)
