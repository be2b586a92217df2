// Package mcp drives umagate with clients of the Model Context Protocol as they were
// published: the Python package mcp, @modelcontextprotocol/sdk for TypeScript, and the Go
// SDK. It also has @modelcontextprotocol/conformance test a server with umagate before it, and
// without. [Install] fetches those that are no Go with pip and npm; the tests skip where they
// are missing, and fail with UMAGATE_REQUIRE_REAL=1.
package mcp
