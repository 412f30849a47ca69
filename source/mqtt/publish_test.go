package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/sluiceio/sluice/bridge"
)

// examplePublishes are packets with every property, and broken ones.
func examplePublishes() [][]byte {
	one, expiry, sub := byte(1), uint32(60), 300
	full := &packets.Publish{
		Topic: "t/a", Payload: []byte("payload"), QoS: 1, PacketID: 7, Retain: true, Duplicate: true,
		Properties: &packets.Properties{
			PayloadFormat: &one, MessageExpiry: &expiry, ContentType: "text/plain", ResponseTopic: "r/1",
			CorrelationData: []byte{0, 1}, SubscriptionIdentifier: &sub,
			User: []packets.User{{Key: "a", Value: "1"}, {Key: "a", Value: ""}},
		},
	}
	plain := &packets.Publish{Topic: "t", QoS: 0, Properties: &packets.Properties{}}
	var out [][]byte
	for _, p := range []*packets.Publish{full, plain} {
		var b bytes.Buffer
		_, _ = p.WriteTo(&b)
		out = append(out, b.Bytes())
	}
	return append(out,
		[]byte{0x32, 6, 0, 1, 't', 0, 0, 0},                       // packet identifier 0
		[]byte{0x30, 5, 0, 1, 't', 9, 1},                          // properties longer than the packet
		[]byte{0x30, 6, 0, 1, 't', 2, 1, 1},                       // payload format
		[]byte{0x30, 7, 0, 1, 't', 3, 35, 0, 1},                   // topic alias
		[]byte{0x30, 4, 0, 9, 't', 0},                             // topic longer than the packet
		[]byte{0x36, 6, 0, 1, 't', 0, 1, 0},                       // QoS 3
		[]byte{0x30, 9, 0, 1, 't', 5, 11, 0x80, 0x80, 0x80, 0x80}, // endless identifier
	)
}

// FuzzDecodePublish compares with paho's codec: what decodePublish accepts, paho
// accepts with the same meaning. The converse does not hold: paho is lenient.
func FuzzDecodePublish(f *testing.F) {
	for _, p := range examplePublishes() {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) == 0 {
			return
		}
		packet[0] = packets.PUBLISH<<4 | packet[0]&0x0f
		size, header, err := packetSize(packet)
		if err != nil || size == 0 || size > len(packet) {
			return
		}
		got, ok := decodePublish(packet[0]&0x0f, packet[header:size], newInterner(), false)
		if !ok {
			return
		}
		cp, err := packets.ReadPacket(bytes.NewReader(packet[:size]))
		require.NoError(t, err)
		want := fromPaho(cp.Content.(*packets.Publish), newInterner())
		if got.props != nil && len(got.props.SubscriptionIDs) > 0 {
			ids := got.props.SubscriptionIDs
			got.props.SubscriptionIDs = ids[len(ids)-1:] // paho keeps the last
		}
		if got.props != nil && len(got.props.CorrelationData) == 0 && want.props != nil {
			got.props.CorrelationData, want.props.CorrelationData = nil, nil
		}
		if got.props != nil && want.props == nil {
			require.Empty(t, *got.props, "present but empty")
			got.props = nil
		}
		require.Len(t, got.payload, len(want.payload))
		want.payload, got.payload = append([]byte{}, want.payload...), append([]byte{}, got.payload...)
		require.Equal(t, want, got)
	})
}

func TestDecodePublish(t *testing.T) {
	ex := examplePublishes()
	_, header, err := packetSize(ex[0])
	require.NoError(t, err)
	p, ok := decodePublish(ex[0][0]&0x0f, ex[0][header:], newInterner(), false)
	require.True(t, ok)
	require.Equal(t, "t/a", p.topic)
	require.Equal(t, "payload", string(p.payload))
	require.True(t, p.retain && p.dup)
	require.EqualValues(t, 7, p.id)
	require.EqualValues(t, 60, *p.props.MessageExpiry)
	require.Equal(t, []int{300}, p.props.SubscriptionIDs)
	require.Equal(t, []bridge.UserProperty{{Key: "a", Value: "1"}, {Key: "a"}}, p.props.User)
	for i, bad := range ex[2:] {
		want := i == 2 // the one with a payload format is sound
		_, ok := decodePublish(bad[0]&0x0f, bad[2:], newInterner(), false)
		require.Equal(t, want, ok, "% x", bad)
	}
}

// TestFrames cuts a random stream, arriving in random pieces, into the packets
// that it was made of, and checks that a lent packet never changes.
func TestFrames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		var want [][]byte
		for range rapid.IntRange(1, 60).Draw(t, "packets") {
			n := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, 3*slabSize)).Draw(t, "size")
			p := encode(0x30, bytes.Repeat([]byte{byte(len(want))}, n))
			stream, want = append(stream, p...), append(want, p)
		}
		var src io.Reader = bytes.NewReader(stream)
		switch rapid.IntRange(0, 2).Draw(t, "pieces") {
		case 0:
			src = iotest.HalfReader(src)
		case 1:
			src = &pieces{src, rapid.IntRange(1, 5000).Draw(t, "piece")}
		}
		f := frames{src: src, max: maxPacketSize}
		lend := rapid.Bool().Draw(t, "lend")
		var got [][]byte
		for {
			frame, _, need, err := f.buffered()
			if err != nil {
				t.Fatal(err)
			}
			if frame == nil {
				if err := f.fill(need); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				continue
			}
			if lend {
				f.lent = true
			} else {
				frame = bytes.Clone(frame)
			}
			got = append(got, frame)
		}
		if len(got) != len(want) {
			t.Fatalf("%d of %d packets", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(want[i], got[i]) {
				t.Fatalf("packet %d differs", i)
			}
		}
	})
}

type pieces struct {
	r io.Reader
	n int
}

func (p *pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

func encode(first byte, body []byte) []byte {
	p := []byte{first}
	for n := len(body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			p = append(p, b|0x80)
			continue
		}
		p = append(p, b)
		break
	}
	return append(p, body...)
}

func TestFramesRefuse(t *testing.T) {
	f := frames{src: bytes.NewReader([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}), max: maxPacketSize}
	require.NoError(t, f.fill(0))
	_, _, _, err := f.buffered()
	require.ErrorIs(t, err, errMalformed)
	f = frames{src: bytes.NewReader([]byte{0x30, 0xff, 0x7f}), max: 1000}
	require.NoError(t, f.fill(0))
	_, _, _, err = f.buffered()
	require.ErrorContains(t, err, "MaxPacketSize")
}

func TestInterner(t *testing.T) {
	in := newInterner()
	name := []byte("device/1/temp")
	first, ok := in.intern(name)
	require.True(t, ok)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = in.intern(name) }))
	for i := range 3 * internTopics {
		_, ok = in.intern(fmt.Append(nil, "device/", i))
		require.True(t, ok)
	}
	require.LessOrEqual(t, len(in.young)+len(in.old), 2*internTopics)
	again, ok := in.intern(name)
	require.True(t, ok)
	require.Equal(t, first, again)
	for _, bad := range []string{"", "a/#", "a/+", "a\x00", "\xff"} {
		_, ok := in.intern([]byte(bad))
		require.False(t, ok, "%q", bad)
	}
}

// encoded returns a packet's bytes.
func encoded(t *testing.T, p packets.Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := p.WriteTo(&b)
	require.NoError(t, err)
	return b.Bytes()
}
