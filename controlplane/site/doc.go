// Package site is the desired state: the model of umagate.yaml.
//
// [Load] and [Parse] read a file strictly and report every fault at once, each a
// [Fault] with its line, its column and a remedy. What they return is never
// changed afterwards and may be shared between goroutines.
//
// Some of what the filter needs is known at run time only: where the AS keeps its
// endpoints and which resource_id it gave to each resource. That is [Facts];
// [Compile] puts both together into the filter's own configuration.
//
// Files: file.go, entry.go and server.go are the model, with the types that the filter
// reads alike (plugin/config); decode*.go, environment.go
// and nearest.go read it; validate*.go judge it; compile.go translates it;
// schema.go and schemagen describe it to editors; as.go is what package as is given of
// it, and what it gives.
package site
