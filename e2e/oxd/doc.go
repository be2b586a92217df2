// Package oxd drives umagate with clients that were written for Gluu's oxd, as
// they were published: oxdpython (Python 2.7) and oxd-node. [Install] fetches them
// with pip and npm; the tests skip where they are missing, and fail with
// UMAGATE_REQUIRE_REAL=1.
package oxd
