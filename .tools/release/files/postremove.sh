#!/bin/sh
# After removal. /var/lib/umagate stays, also with dpkg --purge: it has what the
# authorization servers know umagate by, and "umagate deregister" needs it.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
