package wasmhost

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMetrics(t *testing.T) {
	r := startHost(t, nil)
	require.Equal(t, "3", r.do(t, "GET", "/", "", "x-test", "metrics").body)
	require.Equal(t, "6", r.do(t, "GET", "/", "", "x-test", "metrics").body)
	s := r.Stats()
	require.EqualValues(t, 6, s.Counters["c"])
	require.EqualValues(t, 10, s.Gauges["g"])
	require.Equal(t, Histogram{Count: 4, Sum: 84, Min: 2, Max: 40}, s.Histograms["h"])
}

func TestSharedData(t *testing.T) {
	r := startHost(t, func(o *Options) { o.Workers = 2 })
	for range 2 {
		require.Equal(t, []string{"v1", "error status returned by host: cas mismatch", "v2", "0"},
			strings.Split(r.do(t, "GET", "/", "", "x-test", "shared").body, "\n")[1:])
	}
}

func TestSharedQueue(t *testing.T) {
	r := startHost(t, func(o *Options) { o.Config = []byte("queue"); o.Workers = 2 })
	a := r.do(t, "GET", "/", "", "x-test", "enqueue")
	require.Equal(t, "error status returned by host: not found", a.body)
	require.Eventually(t, func() bool { return r.Stats().Counters["queue.one"] == 1 }, patience, time.Millisecond)
}

func TestProperties(t *testing.T) {
	r := startHost(t, func(o *Options) { o.RootID = "root" })
	a := r.do(t, "GET", "/a/b?c=d", "", "x-test", "property", "x-request-id", "rid", "x-properties",
		"request/path,request/url_path,request/query,request/method,request/scheme,request/protocol,request/id,request/headers/x-test,plugin_root_id,nothing,node/id,source/address")
	lines := strings.Split(a.body, "\n")
	require.Equal(t, []string{
		"request/path=/a/b?c=d", "request/url_path=/a/b", "request/query=c=d", "request/method=GET", "request/scheme=http",
		"request/protocol=HTTP/1.1", "request/id=rid", "request/headers/x-test=property", "plugin_root_id=root",
		"nothing: error status returned by host: not found", "node/id: error status returned by host: not found",
	}, lines[:11])
	require.True(t, strings.HasPrefix(lines[11], "source/address=127.0.0.1:"))
}

func TestForeignFunctions(t *testing.T) {
	r := startHost(t, nil)
	require.Equal(t, "error status returned by host: not found", r.do(t, "GET", "/", "", "x-test", "foreign").body)
}

func TestVerifySignature(t *testing.T) {
	r := startHost(t, nil)
	text := []byte("header.payload")
	sum := sha256.Sum256(text)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	rsaSignature, err := rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum[:])
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ecSignature, err := ecdsa.SignASN1(rand.Reader, ecKey, sum[:])
	require.NoError(t, err)
	const good = "0801"
	tests := []struct {
		name, hash string
		key        any
		signature  []byte
		text       string
		want       string // the whole answer when it is good
	}{
		{"RS256", "sha256", &rsaKey.PublicKey, rsaSignature, string(text), good},
		{"RS256 of another text", "sha256", &rsaKey.PublicKey, rsaSignature, "other", ""},
		{"RS256 with another hash", "sha384", &rsaKey.PublicKey, rsaSignature, string(text), ""},
		{"ES256", "sha256", &ecKey.PublicKey, ecSignature, string(text), good},
		{"ES256 of another text", "sha256", &ecKey.PublicKey, ecSignature, "other", ""},
		{"a signature of another key", "sha256", &ecKey.PublicKey, rsaSignature, string(text), ""},
		{"an unknown hash", "md5", &rsaKey.PublicKey, rsaSignature, string(text), ""},
		{"no key", "sha256", nil, rsaSignature, string(text), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var der []byte
			if tt.key != nil {
				der, err = x509.MarshalPKIXPublicKey(tt.key)
				require.NoError(t, err)
			}
			var m []byte
			for i, data := range [][]byte{[]byte(tt.hash), der, tt.signature, []byte(tt.text)} {
				m = protowire.AppendBytes(protowire.AppendTag(m, protowire.Number(i+1), protowire.BytesType), data)
			}
			a := r.do(t, "GET", "/", "", "x-test", "verify", "x-argument", base64.StdEncoding.EncodeToString(m))
			require.Equal(t, 200, a.code)
			if tt.want != "" {
				require.Equal(t, tt.want, a.body)
				return
			}
			require.True(t, strings.HasPrefix(a.body, "12"), "an error and no result: %s", a.body)
		})
	}
	a := r.do(t, "GET", "/", "", "x-test", "verify", "x-argument", base64.StdEncoding.EncodeToString([]byte{0x0a, 0xff}))
	require.Equal(t, "error status returned by host: bad argument", a.body)
}

func TestDecodeHeaders(t *testing.T) {
	m := &headerMap{}
	m.add("a", "1")
	m.add("b", "")
	m.add("a", "2")
	got, ok := decodeHeaders(m.encode())
	require.True(t, ok)
	require.Equal(t, m, got)
	for i := 1; i < len(m.encode()); i++ {
		_, ok := decodeHeaders(m.encode()[:i])
		require.False(t, ok, i)
	}
	m.set("a", "3")
	require.Equal(t, []field{{"a", "3"}, {"b", ""}}, m.fields)
}

func FuzzDecodeHeaders(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 'a', 0, 'b', 0})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := decodeHeaders(b); ok && m.len() > 0 {
			again, ok := decodeHeaders(m.encode())
			require.True(t, ok)
			require.Equal(t, m, again)
		}
	})
}

func FuzzRawURL(f *testing.F) {
	for _, target := range []string{"/", "//a", "/a?b#c", "//\xff", "*", "//a?b?", "a"} {
		f.Add(target)
	}
	base := mustURL(f, "http://127.0.0.1:80")
	f.Fuzz(func(t *testing.T, target string) {
		if u, err := rawURL(base, target); err == nil {
			require.Equal(t, target, u.RequestURI())
			require.Equal(t, "127.0.0.1:80", u.Host)
		}
	})
}
