package mqttfake

import "github.com/eclipse/paho.golang/packets"

// authenticate is the broker's side of enhanced authentication during CONNECT; ca
// takes its last data.
func (c *conn) authenticate(cp *packets.Connect, ca *packets.Connack) bool {
	method, data := cp.Properties.AuthMethod, cp.Properties.AuthData
	for {
		answer, code := c.broker.opts.Authenticate(cp.ClientID, data)
		switch {
		case code >= 0x80:
			refusal := &packets.Connack{ReasonCode: code, Properties: &packets.Properties{}}
			_ = c.write(packets.CONNACK, refusal)
			return false
		case code == packets.AuthSuccess:
			ca.Properties.AuthMethod, ca.Properties.AuthData = method, answer
			return true
		}
		challenge := &packets.Auth{ReasonCode: code, Properties: &packets.Properties{AuthMethod: method, AuthData: answer}}
		if c.write(packets.AUTH, challenge) != nil {
			return false
		}
		p, err := c.read()
		if err != nil {
			return false
		}
		a, ok := p.Content.(*packets.Auth)
		if !ok {
			return false
		}
		data = a.Properties.AuthData
	}
}

// reauthenticate takes a step of a re-authentication.
func (c *conn) reauthenticate(a *packets.Auth) bool {
	if c.broker.opts.Authenticate == nil {
		return false
	}
	answer, code := c.broker.opts.Authenticate(c.session.id, a.Properties.AuthData)
	if code >= 0x80 {
		_ = c.write(packets.DISCONNECT, &packets.Disconnect{ReasonCode: code, Properties: &packets.Properties{}})
		return false
	}
	props := &packets.Properties{AuthMethod: a.Properties.AuthMethod, AuthData: answer}
	return c.write(packets.AUTH, &packets.Auth{ReasonCode: code, Properties: props}) == nil
}
