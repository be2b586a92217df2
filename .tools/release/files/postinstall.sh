#!/bin/sh
# After installation and upgrade. The service is not started: umagate.yaml is an
# example at first.
set -e
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers umagate.conf
elif ! getent passwd umagate >/dev/null; then
	useradd --system --user-group --no-create-home --home-dir /var/lib/umagate --shell /usr/sbin/nologin umagate
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart umagate.service umagate-agent.service
fi
