package wasmhost

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // offered because Envoy offers it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// abiForeign is proxy_call_foreign_function, with Envoy's names and messages. Envoy
// 1.40 answers "not found" to set_envoy_filter_state, and so does this.
func abiForeign(ctx context.Context, v *vm, a []uint64) status {
	name, ok1 := v.text(a[0], a[1])
	argument, ok2 := v.bytes(a[2], a[3])
	if !ok1 || !ok2 {
		return statusInvalidMemory
	}
	var result []byte
	switch name {
	case "verify_signature":
		request, err := parseVerifySignature(argument)
		if err != nil {
			return statusBadArgument
		}
		result = encodeVerifyResult(request.verify())
	case "clear_route_cache": // there are no routes here
	default:
		return statusNotFound
	}
	return v.give(ctx, result, a[4], a[5])
}

// errProtobuf says that an argument is not the message the function takes.
var errProtobuf = errors.New("wasmhost: malformed protobuf")

// protoFields calls each for every length-delimited or varint field of a message.
func protoFields(b []byte, each func(field protowire.Number, data []byte, number uint64)) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errProtobuf
		}
		b = b[n:]
		switch typ {
		case protowire.BytesType:
			data, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return errProtobuf
			}
			each(num, data, 0)
			b = b[n:]
		case protowire.VarintType:
			x, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return errProtobuf
			}
			each(num, nil, x)
			b = b[n:]
		default:
			n := protowire.ConsumeFieldValue(num, typ, b)
			if n < 0 {
				return errProtobuf
			}
			b = b[n:]
		}
	}
	return nil
}

// verifySignature is envoy.source.extensions.common.wasm.VerifySignatureArguments.
type verifySignature struct {
	hash                           string
	key, signature, text, pemBytes []byte
}

func parseVerifySignature(b []byte) (verifySignature, error) {
	var m verifySignature
	err := protoFields(b, func(field protowire.Number, data []byte, _ uint64) {
		switch field { //nolint:exhaustive // of the message
		case 1:
			m.hash = string(data)
		case 2:
			m.key = data
		case 3:
			m.signature = data
		case 4:
			m.text = data
		case 5:
			m.pemBytes = data
		}
	})
	return m, err
}

// verify checks an RSASSA-PKCS1-v1_5 or an ECDSA (ASN.1 DER) signature.
func (m verifySignature) verify() error {
	hashes := map[string]crypto.Hash{
		"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
	}
	hash, known := hashes[m.hash]
	if !known {
		return fmt.Errorf("%s is not supported.", m.hash) //nolint:revive,staticcheck // Envoy's words
	}
	der := m.key
	if len(m.pemBytes) > 0 {
		block, _ := pem.Decode(m.pemBytes)
		if block == nil {
			return errors.New("the public key is no PEM")
		}
		der = block.Bytes
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fmt.Errorf("the public key: %w", err)
	}
	digest := hash.New()
	digest.Write(m.text)
	sum := digest.Sum(nil)
	switch key := key.(type) {
	case *rsa.PublicKey:
		if err := rsa.VerifyPKCS1v15(key, hash, sum, m.signature); err != nil {
			return fmt.Errorf("verify the signature: %w", err)
		}
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, sum, m.signature) {
			return errors.New("verify the signature: it is not the key's")
		}
	default:
		return fmt.Errorf("a %T is not supported", key)
	}
	return nil
}

// encodeVerifyResult is VerifySignatureResult.
func encodeVerifyResult(err error) []byte {
	if err == nil {
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)
	}
	return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), err.Error())
}
