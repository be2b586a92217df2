"""Calls oxdpython as it is asked on stdin, one JSON object a line."""
import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import oxdpython


def plain(value):
    """The client tells str from unicode, as its own users' code does not."""
    if isinstance(value, unicode):
        return value.encode('utf-8')
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return dict((plain(k), plain(v)) for k, v in value.items())
    return value


client = oxdpython.Client(sys.argv[2])
for line in iter(sys.stdin.readline, ''):
    call = plain(json.loads(line))
    try:
        answer = {'result': getattr(client, call['method'])(**call['args'])}
    except Exception as e:
        answer = {'failure': type(e).__name__, 'message': str(e)}
    sys.stdout.write(json.dumps(answer) + '\n')
    sys.stdout.flush()
os._exit(0)
