// Package uma reads and writes the wire forms the filter exchanges with clients
// and with the authorization server: bearer credentials (RFC 6750), introspection
// answers (RFC 7662 and UMA Federated Authorization section 5), permission
// requests (section 4) and the challenges of WWW-Authenticate (UMA Grant section
// 3.2.1).
//
// Reading is strict: a member of the wrong type, or one that is there twice,
// makes the whole answer unusable, because two parsers could read it differently.
// Members that are not known are ignored.
package uma
