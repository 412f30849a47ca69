package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/topic"
)

// Filter says which messages Messages follows: those that fit every field that is
// set. The zero value follows all.
type Filter struct {
	// Rule is the name of a rule: only messages that it is applied to, and of
	// the rules only this one.
	Rule string
	// Source is the name of a source.
	Source string
	// Topic is a topic filter; it is matched with the topic of a published
	// message and with the event topic of another event.
	Topic string
	// ClientID is that of the publisher, or of the client that an event is
	// about. A source that is itself a client of a broker does not know it.
	ClientID string
	// Address is the publisher's IP address, with or without a port, or a prefix
	// such as "10.1.0.0/16". A source that is itself a client of a broker does
	// not know it.
	Address string

	// Rate bounds the messages followed per second. Default 20.
	Rate int
	// MaxText bounds the bytes shown of a payload, a key, an attribute, a record's
	// data or the result of a step. Default 4096.
	MaxText int
}

// Validate reports everything that is wrong with the filter, joined, each mistake
// as a *bridge.FieldError.
func (f Filter) Validate() error {
	_, err := f.compile()
	return err
}

// compiled is a Filter with its defaults and its address read.
type compiled struct {
	Filter
	prefix netip.Prefix // of the address
	port   uint16       // of the address; 0 for any
}

func (f Filter) compile() (compiled, error) {
	c := compiled{Filter: f}
	var errs []error
	bad := func(field string, err error) { errs = append(errs, &bridge.FieldError{Path: field, Err: err}) }
	if f.Topic != "" {
		if err := topic.ValidateFilter(f.Topic); err != nil {
			bad("Topic", err)
		}
	}
	if f.Address != "" && !c.setAddress(f.Address) {
		bad("Address", fmt.Errorf("%q is not an IP address, with or without a port, nor a prefix such as 10.1.0.0/16", f.Address))
	}
	if f.Rate < 0 {
		bad("Rate", fmt.Errorf("%d is negative", f.Rate))
	}
	if f.MaxText < 0 {
		bad("MaxText", fmt.Errorf("%d is negative", f.MaxText))
	}
	if f.Rate == 0 {
		c.Rate = 20
	}
	if f.MaxText == 0 {
		c.MaxText = 4096
	}
	return c, errors.Join(errs...)
}

func (c *compiled) setAddress(text string) (ok bool) {
	if p, err := netip.ParsePrefix(text); err == nil {
		c.prefix = p.Masked()
		return true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return false
		}
		addr, c.port = with.Addr(), with.Port()
	}
	addr = addr.WithZone("").Unmap()
	c.prefix = netip.PrefixFrom(addr, addr.BitLen())
	return true
}

// fits reports whether a message to which the rules are applied is to be followed.
func (c *compiled) fits(m *bridge.Message, rules []string) bool {
	name := m.Event
	if name == "" {
		name = m.Topic
	}
	return (c.ClientID == "" || c.ClientID == m.ClientID) &&
		(c.Source == "" || c.Source == m.Source) &&
		(c.Topic == "" || topic.Match(c.Topic, name)) &&
		(c.Rule == "" || slices.Contains(rules, c.Rule)) &&
		(c.Address == "" || c.fitsAddress(m))
}

func (c *compiled) fitsAddress(m *bridge.Message) bool {
	var addr netip.Addr
	with, err := netip.ParseAddrPort(m.PeerName)
	if err == nil {
		addr = with.Addr()
	} else if addr, err = netip.ParseAddr(m.PeerHost); err != nil {
		return false
	}
	return c.prefix.Contains(addr.WithZone("").Unmap()) && (c.port == 0 || c.port == with.Port())
}
