#!/bin/sh
# Before removal: dpkg says "remove", rpm says how many are left. An upgrade is neither.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then systemctl disable --now umagate.service umagate-agent.service; fi
	;;
esac
