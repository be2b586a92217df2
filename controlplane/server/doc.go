// Package server is `umagate serve`: it keeps every site registered, its PAT
// fresh and its resources in step, and gives Envoys what follows from that.
//
// [Run] wires the parts and owns every goroutine:
//
//	one worker for each site   discovering → registering → pat → syncing → serving (worker.go, steps_*.go)
//	the leadership             who of the replicas that share a store runs workers (lead.go)
//	the publisher              what all workers know → configuration → xDS (publish.go)
//	the reloader               umagate.yaml, on SIGHUP or when it changed (reload.go)
//	the xDS server             package xds
//	the API                    what package api makes of operations (api.go, operations.go, probes.go)
//
// A worker begins with what the store knows, and that is published before
// anything is asked of an AS: a control plane that starts while the AS is down
// serves what it served before. A step that fails is tried again, with growing
// waits, and takes nothing back of what is published.
//
// A replica that does not lead has workers that do not run: it reads what the
// leader writes, publishes that to its own Envoys, and asks nothing of an AS.
package server
