// Uses the event store at the connection string given with Node's official client: appends, conflicts, reads and subscribes.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { BACKWARDS, END, EventStoreDBClient, NO_STREAM, START, StreamNotFoundError, WrongExpectedVersionError, jsonEvent, streamNameFilter } from "@eventstore/db-client";

const client = EventStoreDBClient.connectionString(process.argv[2]);
const stream = `interop-${randomUUID()}`;
const events = [1, 2, 3].map((n) => jsonEvent({ type: "interop.happened.v1", data: { n }, metadata: { by: "node" } }));
const numbers = async (read) => {
  const all = [];
  for await (const { event } of read) all.push(event.data.n);
  return all;
};
// next takes n events of a subscription, 20 s at most.
const next = async (subscription, n) => {
  const all = [];
  const timer = setTimeout(() => subscription.unsubscribe(), 20_000);
  for await (const { event } of subscription) if (all.push(event.data.n) === n) break;
  clearTimeout(timer);
  assert.equal(all.length, n, "the subscription is silent");
  return all;
};

await assert.rejects(numbers(client.readStream(stream)), StreamNotFoundError);
const first = await client.appendToStream(stream, events, { expectedRevision: NO_STREAM });
assert.equal(first.nextExpectedRevision, 2n);
const again = await client.appendToStream(stream, events, { expectedRevision: NO_STREAM });
assert.equal(again.nextExpectedRevision, 2n, "a repeated append is not idempotent");
await assert.rejects(client.appendToStream(stream, [jsonEvent({ type: "interop.happened.v1", data: { n: 9 } })], { expectedRevision: NO_STREAM }), WrongExpectedVersionError);
assert.deepEqual(await numbers(client.readStream(stream, { fromRevision: START })), [1, 2, 3]);
assert.deepEqual(await numbers(client.readStream(stream, { direction: BACKWARDS, fromRevision: END, maxCount: 2 })), [3, 2]);

const one = client.subscribeToStream(stream, { fromRevision: START });
assert.deepEqual(await next(one, 3), [1, 2, 3]);
const all = client.subscribeToAll({ fromPosition: START, filter: streamNameFilter({ prefixes: [stream] }) });
const seen = next(all, 4);
await client.appendToStream(stream, [jsonEvent({ type: "interop.happened.v1", data: { n: 4 } })], { expectedRevision: 2n });
assert.deepEqual(await seen, [1, 2, 3, 4]);
console.log("Node's @eventstore/db-client appends, conflicts, repeats, reads both ways and subscribes, to a stream and to $all with a filter");
process.exit(0);
