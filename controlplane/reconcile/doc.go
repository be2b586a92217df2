// Package reconcile keeps the AS's resource registrations equal to the declared ones.
//
// [Reconciler.Plan] compares three things: what is declared, what the store says
// was registered, and what the AS has. It gives a [Plan], which `umagate plan`
// prints; [Reconciler.Apply] carries it out. `umagate serve` does both again and
// again.
//
// What is not in the store was not made by umagate and is left alone, unless
// [Desired.Adopt] asks for it, with one exception: a resource whose creation was
// announced (store.ResourcePending) and whose answer never was recorded. Before a
// creation is announced, the AS is
// asked whether it has a resource of that name; so one that is found under the
// name of an announced creation is the one that was created, and is adopted. A
// process killed at any point therefore registers nothing twice:
//
//	looked up, none there → announced in the store → created at the AS → recorded
//
// A name that is taken is a conflict, told and left to the operator.
//
// Sites may share a client, and so see each other's resources. Each resource_id is one
// site's: the store takes no other's record of it (store.ErrTaken), and an adoption is
// recorded, as pending with the id, before anything is changed at the AS. What another
// site has is [ErrOtherSite], whatever asked for it: a file, "umagate apply", or an
// application by the protocol of oxd.
package reconcile
