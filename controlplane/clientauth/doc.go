// Package clientauth is how a client proves to an authorization server (AS) who it
// is: a secret, an assertion that it signs, or a certificate.
//
// An [Auth] makes the [Proof] of one request. A [Key] is a client's own: it signs
// assertions, gives the JWKS that the AS is told of, and makes a certificate of its
// own. All of umagate makes and reads keys here.
//
// Sources: RFC 6749 section 2.3, RFC 7517, 7523, 7638, 8705, OpenID Connect Core
// section 9.
package clientauth
