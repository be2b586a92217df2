// Package instance looks after the instances of resources whose name has
// variables: "album-{id}" has one registration at the AS for each album, with an
// owner of its own.
//
// A [Manager] is one site's. Who asks it:
//
//	the filter, by [Handler]   which resource_id has this album? it was created, it was deleted
//	the control plane's API    register, list, remove
//
// What is asked for stands in the store first, as pending or removing, and is then
// done at the AS: at once where this process leads, and by [Manager.Run] of the one
// that does where it failed or another was asked. So nothing that was accepted is
// lost, and nothing is registered twice: whoever is at an instance has moved its
// due time, and who tries it again asks the AS by its name first.
//
// An instance is never removed because umagate.yaml does not have it: its owner's
// policies hang on it. One whose template is gone stays at the AS, unused, until
// somebody removes it.
//
// Files: template.go names instances, manager.go and work.go do what is asked for,
// find.go looks up, handler.go is for the filter.
package instance
