// Package route reads what a request is aimed at: the host ([CanonicalHost],
// [Hosts]), the path ([ParsePath]) and the condition's path template that it
// matches ([Template], [Table]).
//
// Its one rule: the path that is judged is the path that is forwarded, and a
// path that two parsers may read differently is not judged at all. [ParsePath]
// either accepts a path that is already canonical (RFC 3986 section 6.2.2), or
// refuses it, or, where asked to, rewrites it; what it rewrites must pass the
// strict reading afterwards.
//
// Everything here is safe for concurrent use once built, and nothing in the
// reading of an ordinary path allocates.
package route
