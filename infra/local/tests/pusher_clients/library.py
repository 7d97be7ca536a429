"""Makes one call of Pusher's library for Python for each line it is told, and answers with a line."""

import json
import sys

from pusher import Pusher, errors

STATUSES = {errors.PusherBadRequest: 400, errors.PusherBadAuth: 401, errors.PusherForbidden: 403}

pusher = Pusher(ssl=False, **json.loads(sys.argv[1]))

CALLS = {
    "trigger": lambda it: pusher.trigger(it["channels"], it["name"], it["data"], it.get("socket_id")),
    "batch": lambda it: pusher.trigger_batch(it["batch"]),
    "channels": lambda it: pusher.channels_info(it.get("prefix"), it.get("info", [])),
    "channel": lambda it: pusher.channel_info(it["channel"], it.get("info", [])),
    "users": lambda it: pusher.users_info(it["channel"]),
    "authorize": lambda it: pusher.authenticate(it["channel"], it["socket_id"], it.get("user")),
}


def answer(asked):
    try:
        return {"Ok": CALLS[asked["call"]](asked)}
    except errors.PusherBadStatus as error:
        status, body = str(error).split(": ", 1)
        return {"Err": {"status": int(status), "body": body}}
    except errors.PusherError as error:
        return {"Err": {"status": STATUSES[type(error)], "body": str(error)}}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
