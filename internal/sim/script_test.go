package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluiceio/sluice/sink/kinesis"
)

// script is a run before it is run. Each step draws what it needs from its own seed,
// so that the others stay the same when one is left out.
type script struct {
	settings settings
	steps    []step
}

type step struct {
	what string
	seed uint64
}

// settings are what a bridge and the world around it are like.
type settings struct {
	aggregate bool
	pack      kinesis.Packing
	buffer    string // "", "durable" or "volatile"
	v3        bool   // MQTT 3.1.1
	window    int
	keys      int
	workers   int
	readBatch int
	records   int // bound of the queues
	letters   int // bound of the queue of dead letters
	inFlight  int
	batchSize int
}

// op is a kind of step.
type op struct {
	what   string
	weight int
	do     func(*world, *rand.Rand)
}

// ops are the steps there are, with how often each comes up.
var ops = []op{
	{"publish", 30, (*world).publish},
	{"wait", 20, (*world).wait},
	{"Kinesis misbehaves", 12, (*world).misbehave},
	{"Kinesis is well", 6, (*world).behave},
	{"split", 2, (*world).split},
	{"merge", 1, (*world).merge},
	{"cut connections", 4, (*world).cut},
	{"MQTT misbehaves", 4, (*world).disturb},
	{"MQTT is well", 3, (*world).calm},
	{"disconnect", 2, (*world).disconnect},
	{"change a rule", 10, (*world).changeRule},
	{"replace the sink", 6, (*world).replaceSink},
	{"replace it by a broken one", 4, (*world).breakSink},
	{"change the queue", 2, (*world).changeQueue},
	{"switch the sink off and on", 2, (*world).switchSink},
	{"trace", 2, (*world).trace},
	{"replace the sink while it starts", 2, (*world).replaceWhileStarting},
	{"dead letters fail", 3, (*world).failLetters},
	{"dead letters are well", 3, (*world).healLetters},
	{"restart", 2, (*world).restart},
	{"kill", 4, (*world).kill},
}

// newScript makes the script of a seed.
func newScript(seed uint64) script {
	rng := rand.New(rand.NewPCG(seed, 1))
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	sc := script{settings: settings{
		aggregate: rng.IntN(3) == 0,
		buffer:    []string{"", "", "", "durable", "volatile"}[rng.IntN(5)],
		v3:        rng.IntN(4) == 0,
		window:    []int{1, 20, 300, 10_000}[rng.IntN(4)],
		keys:      1 + rng.IntN(200),
		workers:   []int{1, 2, 8}[rng.IntN(3)],
		readBatch: []int{1, 7, 256}[rng.IntN(3)],
		records:   []int{20, 200, 100_000}[rng.IntN(3)],
		letters:   []int{1, 5, 1000}[rng.IntN(3)],
		inFlight:  []int{1, 4, 16}[rng.IntN(3)],
		batchSize: []int{1, 20, 500}[rng.IntN(3)],
	}}
	if !sc.settings.aggregate && rng.IntN(3) == 0 {
		sc.settings.pack = kinesis.Lines
	}
	for range 10 + rng.IntN(60) {
		n := rng.IntN(total)
		i := slices.IndexFunc(ops, func(o op) bool {
			n -= o.weight
			return n < 0
		})
		sc.steps = append(sc.steps, step{ops[i].what, rng.Uint64()})
	}
	return sc
}

// shrink leaves out steps, halves first, as long as fails still reports true. Since a
// failure may need luck, each candidate gets several chances.
func (sc script) shrink(fails func(script) bool, until time.Time) script {
	for size := (len(sc.steps) + 1) / 2; size > 0; size /= 2 {
		for i := 0; i < len(sc.steps); {
			if time.Now().After(until) {
				return sc
			}
			less := sc
			less.steps = slices.Delete(slices.Clone(sc.steps), i, min(i+size, len(sc.steps)))
			if fails(less) {
				sc = less
			} else {
				i += size
			}
		}
	}
	return sc
}
