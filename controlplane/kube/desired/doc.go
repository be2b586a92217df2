// Package desired makes sites of Kubernetes objects. It is pure: [Builder.Build] takes
// what is there, and gives the sites and a [Verdict] for each object.
//
// Files: desired.go puts it together; document.go has package site decode an object;
// reference.go follows a reference to an AS and to Secrets; target.go takes hosts and
// paths from Gateways, routes and services; claim.go says whose a host is.
package desired
