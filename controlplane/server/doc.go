// Package server is `umagate serve`: it keeps every site registered, its PAT
// fresh and its resources in step, and gives Envoys what follows from that.
//
// [Run] makes the parts, runs them, and owns every goroutine (server.go):
//
//	the sites                  the file in force, a worker for each of its sites (sites.go, worker.go)
//	the election               who of the replicas that share a store runs workers (lead.go)
//	the publisher              what all workers know → configuration → xDS (publish.go)
//	the reloader               umagate.yaml, on SIGHUP or when it changed (reload.go)
//	the sources                sites that stand in no file, from other protocols (source.go)
//	the xDS server             package xds
//	the API                    what package api makes of operations (api.go, operations.go, probes.go)
//
// A worker begins with what the store knows, and that is published before
// anything is asked of an AS: a control plane that starts while the AS is down
// serves what it served before.
//
// A replica that does not lead has workers that do not run: it reads what the
// leader writes, publishes that to its own Envoys, and asks nothing of an AS.
package server
