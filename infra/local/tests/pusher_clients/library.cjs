// Makes one call of Pusher's library for Node for each line it is told, and answers with a line.
"use strict";

const readline = require("node:readline");
const Pusher = require("pusher");

const { app_id: appId, ...options } = JSON.parse(process.argv[2]);
const pusher = new Pusher({ appId, ...options });

const get = (path, { prefix, info } = {}) => {
  const params = {};
  if (prefix) params.filter_by_prefix = prefix;
  if (info) params.info = info.join(",");
  return pusher.get({ path, params });
};

const calls = {
  trigger: ({ channels, name, data, socket_id }) =>
    pusher.trigger(channels, name, data, socket_id && { socket_id }),
  batch: ({ batch }) => pusher.triggerBatch(batch),
  channels: (query) => get("/channels", query),
  channel: ({ channel, ...query }) => get(`/channels/${channel}`, query),
  users: ({ channel }) => get(`/channels/${channel}/users`),
  authorize: ({ socket_id, channel, user }) => pusher.authorizeChannel(socket_id, channel, user),
};

const answer = async ({ call, ...asked }) => {
  try {
    const made = await calls[call](asked);
    return { Ok: call === "authorize" ? made : await made.json() };
  } catch (error) {
    if (!error.status) throw error;
    return { Err: { status: error.status, body: error.body } };
  }
};

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(JSON.parse(line))));
  }
})();
