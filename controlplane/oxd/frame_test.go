package oxd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestReadFrame(t *testing.T) {
	t.Parallel()
	long := `{"a":"` + strings.Repeat("x", 92) + `"}`
	require.Len(t, long, 100)
	tests := []struct {
		name, stream, body string
		err                error
		rest               string
	}{
		{name: "one", stream: `0007{"a":1}`, body: `{"a":1}`},
		{name: "the next stays", stream: `0002{}0002{}`, body: `{}`, rest: `0002{}`},
		{name: "characters, not bytes", stream: "0008{\"a\":\"ü\"}"[:4] + `{"ü":11}`, body: `{"ü":11}`},
		{name: "a pair counts two", stream: `0009{"a":"😀"}`[:4] + `{"😀":11}`, body: `{"😀":11}`},
		{name: "oxd-node at 100 characters", stream: "00100" + long, body: long},
		{name: "100 characters, four digits", stream: "0100" + long, body: long},
		{name: "ten characters", stream: `0010{"a":"123"}`[:4] + `{"a": "b"}`, body: `{"a": "b"}`},
		{name: "nothing", stream: "", err: io.EOF},
		{name: "half a prefix", stream: "00", err: io.ErrUnexpectedEOF},
		{name: "half a body", stream: `0007{"a"`, err: io.ErrUnexpectedEOF},
		{name: "no digits", stream: `{"command":"x"}`, err: errPrefix},
		{name: "a sign", stream: "-001x", err: errPrefix},
		{name: "zero", stream: "0000", err: errPrefix},
		{name: "other digits", stream: "٠٠٠١x", err: errPrefix},
		{name: "a pair cut in two", stream: "0001😀", err: errPrefix},
		{name: "not UTF-8", stream: "0003a\xffb", err: errUTF8},
		{name: "HTTP", stream: "GET / HTTP/1.1\r\n\r\n", err: errPrefix},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, source := range []io.Reader{strings.NewReader(tt.stream), iotest.OneByteReader(strings.NewReader(tt.stream))} {
				r := bufio.NewReader(source)
				body, err := readFrame(r, func() {})
				require.ErrorIs(t, err, tt.err)
				if tt.err == nil {
					require.NoError(t, err)
					require.Equal(t, tt.body, string(body))
					rest, err := io.ReadAll(r)
					require.NoError(t, err)
					require.Equal(t, tt.rest, string(rest))
				}
			}
		})
	}
}

// FuzzReadFrame: whatever comes, a frame has as many characters as its prefix
// says, and nothing after it is read.
func FuzzReadFrame(f *testing.F) {
	for _, seed := range []string{`0007{"a":1}`, `0002{}0002{}`, "0001😀", "00100" + strings.Repeat("x", 100), "0003a\xffb", "9999", "GET /", "0010ü"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		source := bytes.NewReader(stream)
		r := bufio.NewReader(source)
		body, err := readFrame(r, func() {})
		if err != nil {
			known := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errPrefix) || errors.Is(err, errUTF8)
			require.True(t, known, err)
			return
		}
		require.True(t, utf8.Valid(body))
		units := len(utf16.Encode([]rune(string(body))))
		digits := len(stream) - len(body) - r.Buffered() - source.Len()
		require.Contains(t, []int{prefixDigits, prefixDigits + 1}, digits)
		var said int
		_, err = fmt.Sscanf(string(stream[:digits]), "%d", &said)
		require.NoError(t, err)
		require.Equal(t, said, units)
	})
}

func TestAnswersAreASCII(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"plain", "Ünïcödé", "😀 pair", "\x7f\u2028<&>", "a\x00b", "\xff broken"} {
		frame, err := encodeFrame(succeeded(map[string]string{"text": text}))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%04d", len(frame)-prefixDigits), string(frame[:prefixDigits]))
		for _, b := range frame {
			require.Less(t, b, byte(utf8.RuneSelf))
		}
		var got struct {
			Data map[string]string `json:"data"`
		}
		require.NoError(t, json.Unmarshal(frame[prefixDigits:], &got))
		require.Equal(t, strings.ToValidUTF8(text, "\ufffd"), got.Data["text"])
		body, err := readFrame(bufio.NewReader(bytes.NewReader(frame)), func() {})
		require.NoError(t, err)
		require.Equal(t, string(frame[prefixDigits:]), string(body))
	}
	_, err := encodeFrame(succeeded(strings.Repeat("x", maxFrame)))
	require.ErrorIs(t, err, errAnswerTooLong)
}
