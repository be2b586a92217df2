// Package protection is what an application protects with uma_rs_protect: its
// document, judged as oxd judged it, and the site that it means.
//
// A [Document] is the "resources" of the command (document.go). [Document.Validate]
// finds its faults in the order in which oxd looked for them (validate.go).
// [Document.Site] makes a site.Site of it, of the same kind as umagate.yaml's
// (site.go): one resource for each condition, under the name that oxd gave it
// ("[PUT, POST] /photo"), so that policies at the authorization server stay. A path
// is oxd's exact one, compared without case, or one of umagate's templates (path.go).
//
// Everything here is pure, and safe for concurrent use.
package protection
