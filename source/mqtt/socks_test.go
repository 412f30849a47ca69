package mqtt

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// socks is a small SOCKS5 proxy (RFC 1928, RFC 1929).
type socks struct {
	user, password string // "" asks for none
	served         atomic.Int32
}

func startSocks(t *testing.T, user, password string) (*socks, string) {
	t.Helper()
	ln, port := listen(t)
	p := &socks{user: user, password: password}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = p.serve(c)
			}()
		}
	}()
	return p, "127.0.0.1:" + port
}

func (p *socks) serve(c net.Conn) error {
	if err := p.greet(c); err != nil {
		return err
	}
	addr, err := readTarget(c)
	if err != nil {
		return err
	}
	up, err := net.Dial("tcp", addr)
	if err != nil {
		_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0}) // connection refused
		return err
	}
	defer up.Close()
	p.served.Add(1)
	if _, err := c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
	_, err = io.Copy(c, up)
	return err
}

// greet agrees on a method and checks the password.
func (p *socks) greet(c net.Conn) error {
	methods, err := readShort(c, 1)
	if err != nil {
		return err
	}
	want := byte(0)
	if p.user != "" {
		want = 2
	}
	for _, m := range methods {
		if m == want {
			if _, err := c.Write([]byte{5, want}); err != nil || want == 0 {
				return err
			}
			user, err := readShort(c, 1)
			if err != nil {
				return err
			}
			password, err := readShort(c, 0)
			if err != nil {
				return err
			}
			if string(user) == p.user && string(password) == p.password {
				_, err = c.Write([]byte{1, 0})
				return err
			}
			_, _ = c.Write([]byte{1, 1})
			return fmt.Errorf("user %q", user)
		}
	}
	_, _ = c.Write([]byte{5, 0xff})
	return fmt.Errorf("methods % x", methods)
}

// readShort skips some bytes and reads a length of one byte and as many bytes.
func readShort(c net.Conn, skip int) ([]byte, error) {
	head := make([]byte, skip+1)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	b := make([]byte, head[skip])
	_, err := io.ReadFull(c, b)
	return b, err
}

// readTarget reads a request to connect.
func readTarget(c net.Conn) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return "", err
	}
	var host string
	switch head[3] {
	case 1:
		ip := make([]byte, 4)
		if _, err := io.ReadFull(c, ip); err != nil {
			return "", err
		}
		host = net.IP(ip).String()
	case 3: // the proxy looks the name up
		name, err := readShort(c, 0)
		if err != nil {
			return "", err
		}
		host = string(name)
	default:
		return "", fmt.Errorf("address type %d", head[3])
	}
	port := make([]byte, 2)
	if _, err := io.ReadFull(c, port); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(port))), nil
}

func TestSocks(t *testing.T) {
	ln, port := listen(t)
	b := serve(t, ln)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		open, addr := startSocks(t, "", "")
		cfg := netConfig("mqtt://" + host + ":" + port)
		cfg.Proxy = "socks5://" + addr
		require.NoError(t, roundTrip(t, b, cfg).Close(t.Context()))
		require.EqualValues(t, 1, open.served.Load())

		closed, addr := startSocks(t, "u", "p w")
		cfg.Proxy = "socks5://u:p%20w@" + addr
		require.NoError(t, roundTrip(t, b, cfg).Close(t.Context()))
		require.EqualValues(t, 1, closed.served.Load())
		for _, who := range []string{"u:secret@", ""} {
			cfg.Proxy = "socks5://" + who + addr
			err := attempt(t, cfg)
			require.ErrorContains(t, err, "proxy: ")
			require.NotContains(t, err.Error(), "secret")
		}
		cfg.Proxy = "socks5://" + addr
		require.EqualValues(t, 1, closed.served.Load())
	}
	_, addr := startSocks(t, "", "")
	cfg := netConfig("mqtt://" + freeAddr(t))
	cfg.Proxy = "socks5://" + addr
	require.ErrorContains(t, attempt(t, cfg), "connection refused")
}

// TestSocksWithTLS goes to a broker with TLS through a proxy.
func TestSocksWithTLS(t *testing.T) {
	ca := newAuthority(t, "ca")
	ln, port := listen(t)
	b := serveTLS(t, ln, ca.serverTLS())
	p, addr := startSocks(t, "", "")
	cfg := netConfig("mqtts://localhost:" + port)
	cfg.CAFile, cfg.Proxy = ca.file, "socks5://"+addr
	roundTrip(t, b, cfg)
	require.EqualValues(t, 1, p.served.Load())
}
