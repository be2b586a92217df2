// Package sampleapi is the API that the tests and the demo put behind the filter:
// the photo albums of two people, alice and bob. It knows nothing of tokens, and
// nothing in it changes for umagate: that is the point.
//
//	GET    /albums               every album
//	POST   /albums               create: {"owner","title"} → 201 and Location
//	GET    /albums/{id}          one album
//	PUT    /albums/{id}          create or replace: {"owner","title"}
//	DELETE /albums/{id}
//	GET    /albums/{id}/photos   its photos
//	POST   /albums/{id}/photos   add one: {"title"} → 201 and Location
//	GET    /healthz
//	*      /echo, /echo/**       what the request looked like on arrival
//
// The echo tells the request target byte for byte as it stood in the request
// line, so that a test can prove that the path that was judged is the path that
// was forwarded.
package sampleapi
