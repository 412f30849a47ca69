// Package window paces what a queue sends, by what the sink refuses.
//
// A sink refuses records because they come too fast (a shard of a Kinesis stream
// takes 1,000 per second), or at random, whatever the pace. Against the first
// kind going slower helps, and anything else wastes requests. Against the second
// kind it only costs throughput. A [Window] tells them apart and holds back the
// lanes of one group, such as a shard, as far as it helps:
//
//   - The floor is the share of records that is refused at any pace. A trial finds
//     it. When far more is refused than the floor explains, the group goes, for
//     one round, at 90 % of the pace that was accepted just before. A limit cannot
//     be in the way of that, so what is still refused is the floor. If that is as
//     much as before, the old pace is taken up again. While there is a floor, trials
//     are repeated, ever less often.
//   - Otherwise there is a limit, and the accepted pace shows where. The group goes
//     a few percent faster than what is accepted, with the floor added. So the
//     limit is used whole, a few percent of the attempts are refused, and it is
//     noticed when the limit moves. While nothing is refused the pace grows, by a
//     quarter per round in the end.
//   - When nothing at all is accepted, two lanes per second try until one is.
//
// A round is a round trip of at least 100 ms with at least 400 lanes, or 40 lanes
// in 4 seconds, so that chance does not pass for a change. The pace is a rate and
// not a number of lanes in flight: a limit on records per second does not depend
// on how long requests take, and a rate can be lower than one lane per round trip.
//
// # Why this one
//
// These were simulated: the additive window that the queue had before, as TCP
// Reno; probing as BBR does, by the best rate accepted lately; and PCC's gradient,
// a round faster, a round slower, and a step to where more was accepted. The
// figures are throughput in terms of what random refusals leave, for the worst
// number of keys and latency; and the share of attempts refused at a limit that is
// used whole by all of them.
//
//	            20 %   60 %   90 % at random   limit 10/s   1,000/s
//	no window   1.00   1.00   0.99                   1.00      0.98
//	additive    0.01   0.00   0.00                   0.21      0.02
//	probing     0.53   0.02   0.00                   0.07      0.07
//	gradient    0.90   0.82   0.45                   0.06      0.07
//	Window      0.95   0.93   0.80                   0.05      0.04
//
// The additive window takes every refusal for a limit. Probing ends where more
// than a fifth is refused, which is what it probes by. The gradient comes close and
// is simpler, but needs minutes to get down to a limit far below, and it sees
// little by the few records of slow sinks. TestAlgorithms prints the table,
// docs/windows.md shows curves.
package window
