package broker

import "github.com/mochi-mqtt/server/v2/packets"

// Properties of packets as columns: maps by the names of the MQTT 5
// specification, which always hold 'User-Property'.

func connectProps(p *packets.Properties) map[string]any {
	m := userProps(p.User)
	if p.SessionExpiryIntervalFlag {
		m["Session-Expiry-Interval"] = int64(p.SessionExpiryInterval)
	}
	if p.ReceiveMaximum > 0 {
		m["Receive-Maximum"] = int(p.ReceiveMaximum)
	}
	if p.MaximumPacketSize > 0 {
		m["Maximum-Packet-Size"] = int64(p.MaximumPacketSize)
	}
	if p.TopicAliasMaximum > 0 {
		m["Topic-Alias-Maximum"] = int(p.TopicAliasMaximum)
	}
	if p.RequestProblemInfoFlag {
		m["Request-Problem-Information"] = int(p.RequestProblemInfo)
	}
	if p.AuthenticationMethod != "" {
		m["Authentication-Method"] = p.AuthenticationMethod
	}
	return m
}

func disconnectProps(p *packets.Properties) map[string]any {
	if p == nil {
		p = new(packets.Properties)
	}
	m := userProps(p.User)
	if p.SessionExpiryIntervalFlag {
		m["Session-Expiry-Interval"] = int64(p.SessionExpiryInterval)
	}
	if p.ReasonString != "" {
		m["Reason-String"] = p.ReasonString
	}
	return m
}

func subscribeProps(p *packets.Properties, identifier int) map[string]any {
	m := userProps(p.User)
	if identifier > 0 {
		m["Subscription-Identifier"] = identifier
	}
	return m
}

// userProps returns the map with the user properties: of repeated ones the last
// wins in 'User-Property', 'User-Property-Pairs' has them all, in order.
func userProps(user []packets.UserProperty) map[string]any {
	byName := make(map[string]any, len(user))
	m := map[string]any{"User-Property": byName}
	if len(user) == 0 {
		return m
	}
	pairs := make([]any, len(user))
	for i, u := range user {
		byName[u.Key] = u.Val
		pairs[i] = map[string]any{"key": u.Key, "value": u.Val}
	}
	m["User-Property-Pairs"] = pairs
	return m
}

// reasonName is the name of a CONNACK's code, as EMQX writes it.
func reasonName(code, version byte) string {
	if version < 5 { // MQTT 3.1.1, section 3.2.2.3
		names := [...]string{
			"success", "unacceptable_protocol_version", "client_identifier_not_valid",
			"server_unavailable", "malformed_username_or_password", "not_authorized",
		}
		if int(code) < len(names) {
			return names[code]
		}
		return "unspecified_error"
	}
	for _, c := range []packets.Code{
		packets.CodeSuccess, packets.ErrMalformedPacket, packets.ErrProtocolViolation,
		packets.ErrUnsupportedProtocolVersion, packets.ErrClientIdentifierNotValid,
		packets.ErrBadUsernameOrPassword, packets.ErrNotAuthorized, packets.ErrServerUnavailable,
		packets.ErrServerBusy, packets.ErrPacketTooLarge, packets.ErrRetainNotSupported, packets.ErrQosNotSupported,
	} {
		if c.Code == code {
			return snake(c.Reason)
		}
	}
	return "unspecified_error"
}
