package oxd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// A frame is four decimal digits and then as many characters of JSON in UTF-8, a
// character being a UTF-16 unit, as Java and JavaScript count.
const (
	prefixDigits = 4
	maxFrame     = 9999
)

var (
	// errPrefix: the stream does not start with the length of a command. What
	// follows cannot be told apart, so that the connection has to end.
	errPrefix = errors.New("a command starts with its length, four digits from 0001 to 9999")
	// errUTF8: characters cannot be counted in what is no UTF-8.
	errUTF8 = errors.New("a command is UTF-8")
	// errAnswerTooLong: the prefix has no number for it.
	errAnswerTooLong = errors.New("the answer is longer than 9999 characters, which the socket cannot carry: ask over HTTP")
)

// readFrame reads one frame. began is called when its first byte is there. io.EOF
// means that the client is done.
func readFrame(r *bufio.Reader, began func()) ([]byte, error) {
	one, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	began()
	length, err := readPrefix(r, one)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, length)
	for units := 0; units < length; {
		char, size, err := r.ReadRune()
		if err != nil {
			return nil, unexpected(err)
		}
		if char == utf8.RuneError && size == 1 {
			return nil, errUTF8
		}
		body = utf8.AppendRune(body, char)
		if units++; char > 0xffff {
			units++
		}
		if units > length { // the length ends inside a surrogate pair
			return nil, errPrefix
		}
	}
	return body, nil
}

func readPrefix(r *bufio.Reader, one byte) (int, error) {
	length := 0
	for digit := 0; ; digit++ {
		if one < '0' || one > '9' {
			return 0, errPrefix
		}
		length = length*10 + int(one-'0')
		if digit == prefixDigits-1 {
			break
		}
		var err error
		if one, err = r.ReadByte(); err != nil {
			return 0, unexpected(err)
		}
	}
	// oxd-node writes 00100 for a command of 100 characters. A command is an object,
	// so that a digit here can be nothing else.
	if length == 10 {
		if next, err := r.Peek(1); err == nil && next[0] == '0' {
			length = 100
			_, _ = r.Discard(1) // it is there: it was looked at
		}
	}
	if length == 0 {
		return 0, errPrefix
	}
	return length, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encodeFrame returns the frame of an answer. It is ASCII, so that characters and
// bytes are the same number.
func encodeFrame(response Response) ([]byte, error) {
	body, err := encodeASCII(response)
	if err != nil {
		return nil, err
	}
	if len(body) > maxFrame {
		return nil, errAnswerTooLong
	}
	return append(fmt.Appendf(make([]byte, 0, prefixDigits+len(body)), "%04d", len(body)), body...), nil
}
