// Uses the event store with one of Node's official clients: node store.mjs <package> <connection string>. Everything that happens is asserted;
// the last line says what. Both packages have the same functions under other names.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

const [name, connection] = process.argv.slice(2);
const api = await import(name);
const { ANY, BACKWARDS, END, NO_STREAM, START, STREAM_EXISTS, eventTypeFilter, excludeSystemEvents, jsonEvent, streamNameFilter } = api;
const client = (api.EventStoreDBClient ?? api.KurrentDBClient).connectionString(connection);
const run = randomUUID();
const expecting = (state) => (api.KurrentDBClient ? { streamState: state } : { expectedRevision: state });
const stream = (of) => `interop-${of}-${run}`;
const event = (n, more) => jsonEvent({ type: `interop.${n % 2 ? "odd" : "even"}.v1`, data: { n }, metadata: { by: "node" }, ...more });
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

// The Rust reader inside the KurrentDB client reports "unavailable" on a healthy connection now and then, about once in a hundred reads. It gets
// one more try there, and only there; how often is counted, printed and bounded.
let reads = 0;
let retries = 0;
const read = async (begin) => {
  const collect = async () => {
    const all = [];
    for await (const { event } of begin()) all.push(event.data.n);
    return all;
  };
  reads++;
  try {
    return await collect();
  } catch (error) {
    if (!(api.KurrentDBClient && error instanceof api.UnavailableError)) throw error;
    retries++;
    return collect();
  }
};
// until waits for a condition, 20 s at most.
const until = async (what, met) => {
  for (const end = Date.now() + 20_000; !(await met()); await new Promise((go) => setTimeout(go, 50))) assert.ok(Date.now() < end, what);
};
// next takes n events of a subscription, 20 s at most, does with each what is to be done with it, and leaves when settled.
const next = async (subscription, n, each = () => {}, settled = async () => {}) => {
  const all = [];
  const timer = setTimeout(() => subscription.unsubscribe(), 20_000);
  for await (const resolved of subscription) {
    all.push(resolved.event.data.n);
    await each(resolved);
    if (all.length === n) break;
  }
  clearTimeout(timer);
  await settled(); // an acknowledgement that is on its way when a call is cancelled is lost
  await subscription.unsubscribe(); // to leave the loop alone leaves the call open
  assert.equal(all.length, n, "the subscription is silent");
  return all;
};

const cases = {
  async appends() {
    const s = stream("append");
    await assert.rejects(read(() => client.readStream(s)), api.StreamNotFoundError);
    const first = await client.appendToStream(s, numbers(0, 2).map((n) => event(n)), expecting(NO_STREAM));
    assert.equal(first.nextExpectedRevision, 2n);
    assert.ok(first.position.commit > 0n);
    await assert.rejects(client.appendToStream(s, event(9), expecting(NO_STREAM)), api.WrongExpectedVersionError);
    await assert.rejects(client.appendToStream(s, event(9), expecting(7n)), (e) => e.type === api.ErrorType.WRONG_EXPECTED_VERSION && 2n === (e.actualVersion ?? e.actualState));
    await assert.rejects(client.appendToStream(stream("nowhere"), event(9), expecting(STREAM_EXISTS)), api.WrongExpectedVersionError);
    await assert.rejects(client.appendToStream(s, event(9, { data: { n: "x".repeat(2 << 20) } })), api.MaxAppendSizeExceededError);
    await client.appendToStream(s, event(3), expecting(STREAM_EXISTS));
    assert.deepEqual(await read(() => client.readStream(s)), [0, 1, 2, 3]);
  },

  async repeats() {
    const s = stream("repeat");
    const events = numbers(0, 2).map((n) => event(n, { id: randomUUID() }));
    const first = await client.appendToStream(s, events, expecting(NO_STREAM));
    const again = await client.appendToStream(s, events, expecting(NO_STREAM));
    assert.deepEqual([again.nextExpectedRevision, again.position], [first.nextExpectedRevision, first.position]);
    assert.equal((await client.appendToStream(s, events, expecting(ANY))).nextExpectedRevision, 2n);
    assert.deepEqual(await read(() => client.readStream(s)), [0, 1, 2]);
  },

  // Appends without credentials of their own travel over one BatchAppend stream, those with credentials each on a call.
  async "appends 300 times over one stream, and by call"() {
    const many = numbers(0, 299);
    const done = await Promise.all(many.map((n) => client.appendToStream(stream(`batch${n % 10}`), event(n), expecting(ANY))));
    assert.equal(new Set(done.map((d) => d.position.commit)).size, many.length);
    const seen = await Promise.all(numbers(0, 9).map((k) => read(() => client.readStream(stream(`batch${k}`)))));
    assert.deepEqual(seen.flat().sort((a, b) => a - b), many);
    const credentials = { username: "admin", password: "changeit" };
    const alone = await client.appendToStream(stream("call"), event(1), { ...expecting(NO_STREAM), credentials });
    assert.equal(alone.nextExpectedRevision, 0n);
    await assert.rejects(client.appendToStream(stream("call"), event(2), { ...expecting(NO_STREAM), credentials }), api.WrongExpectedVersionError);
  },

  async "reads both ways"() {
    const s = stream("read");
    await client.appendToStream(s, numbers(0, 9).map((n) => event(n)));
    assert.deepEqual(await read(() => client.readStream(s, { fromRevision: 4n, maxCount: 3 })), [4, 5, 6]);
    assert.deepEqual(await read(() => client.readStream(s, { direction: BACKWARDS, fromRevision: END, maxCount: 2 })), [9, 8]);
    assert.deepEqual(await read(() => client.readStream(s, { direction: BACKWARDS, fromRevision: 1n })), [1, 0]);
    assert.deepEqual(await read(() => client.readStream(s, { fromRevision: 10n })), []);
  },

  async "reads the log"() {
    const s = stream("log");
    const { position } = await client.appendToStream(s, event(0));
    const last = await client.appendToStream(s, [event(1), event(2)]);
    const mine = async (options, own = (e) => e.streamId === s) => {
      const all = [];
      for await (const { event } of client.readAll(options)) if (own(event)) all.push(event.data.n);
      return all;
    };
    const all = async (options) => {
      try {
        return await mine(options);
      } catch (error) {
        if (!(api.KurrentDBClient && error instanceof api.UnavailableError)) throw error;
        retries++;
        return mine(options);
      }
    };
    reads += 4;
    assert.deepEqual(await all({ fromPosition: position }), [0, 1, 2]);
    assert.deepEqual(await all({ fromPosition: START }), [0, 1, 2]);
    assert.deepEqual(await all({ direction: BACKWARDS, fromPosition: last.position }), [1, 0]);
    assert.deepEqual(await all({ direction: BACKWARDS, fromPosition: END, maxCount: 1 }), [2]);
  },

  async "follows a stream"() {
    const s = stream("follow");
    const early = client.subscribeToStream(s, { fromRevision: START });
    let caughtUp = false;
    early.on("caughtUp", () => (caughtUp = true));
    const seen = next(early, 4);
    await client.appendToStream(s, numbers(0, 1).map((n) => event(n)), expecting(NO_STREAM));
    await client.appendToStream(s, numbers(2, 3).map((n) => event(n)), expecting(1n));
    assert.deepEqual(await seen, [0, 1, 2, 3]);
    assert.ok(caughtUp, "never caught up");
    assert.deepEqual(await next(client.subscribeToStream(s, { fromRevision: 1n }), 2), [2, 3]);
  },

  async "follows the log filtered, with checkpoints"() {
    const s = stream("all");
    const checkpoints = [];
    const filter = streamNameFilter({ prefixes: [s], checkpointInterval: 1, maxSearchWindow: 2, checkpointReached: (_, position) => checkpoints.push(position) });
    const seen = next(client.subscribeToAll({ fromPosition: START, filter }), 4);
    for (const n of numbers(0, 3)) await client.appendToStream(s, event(n));
    assert.deepEqual(await seen, [0, 1, 2, 3]);
    assert.ok(checkpoints.length > 0, "no checkpoint");
    const odd = eventTypeFilter({ prefixes: ["interop.odd."] });
    const [position] = [(await client.appendToStream(s, event(4))).position];
    const later = next(client.subscribeToAll({ fromPosition: position, filter: odd }), 1);
    await client.appendToStream(s, [event(6), event(7)]);
    assert.deepEqual(await later, [7]);
    const user = client.subscribeToAll({ fromPosition: START, filter: excludeSystemEvents() });
    await next(user, 20, ({ event }) => assert.ok(!event.type.startsWith("$")));
  },

  async "deletes and buries"() {
    const s = stream("delete");
    await client.appendToStream(s, [event(0), event(1)]);
    await assert.rejects(client.deleteStream(s, { expectedRevision: 7n }), api.WrongExpectedVersionError);
    assert.ok((await client.deleteStream(s, { expectedRevision: 1n })).position.commit > 0n);
    await assert.rejects(read(() => client.readStream(s)), api.StreamNotFoundError);
    assert.equal((await client.appendToStream(s, event(2), expecting(NO_STREAM))).nextExpectedRevision, 2n);
    assert.deepEqual(await read(() => client.readStream(s)), [2]);
    await client.tombstoneStream(s, { expectedRevision: ANY });
    await assert.rejects(read(() => client.readStream(s)), api.StreamDeletedError);
    await assert.rejects(client.appendToStream(s, event(3)), api.StreamDeletedError);
  },

  async "keeps metadata"() {
    const s = stream("metadata");
    await client.appendToStream(s, numbers(0, 4).map((n) => event(n)));
    await client.setStreamMetadata(s, { maxCount: 2, acl: { readRoles: ["a", "b"] }, mine: 1 });
    const { metadata } = await client.getStreamMetadata(s);
    assert.deepEqual([metadata.maxCount, metadata.acl.readRoles, metadata.mine], [2, ["a", "b"], 1]);
    assert.deepEqual(await read(() => client.readStream(s)), [3, 4]);
  },

  async "works in a group on a stream"() {
    const [s, group] = [stream("group"), `group-${run}`];
    const settings = (more) => api.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, ...more });
    await client.createPersistentSubscriptionToStream(s, group, settings());
    await assert.rejects(client.createPersistentSubscriptionToStream(s, group, settings()), api.PersistentSubscriptionExistsError);
    await client.appendToStream(s, numbers(0, 9).map((n) => event(n)));
    const tries = new Map();
    const work = client.subscribeToPersistentSubscriptionToStream(s, group, { bufferSize: 4 });
    // 3 is tried twice, 5 is parked, 7 is skipped: eleven deliveries.
    const info = () => client.getPersistentSubscriptionToStreamInfo(s, group);
    const act = async (resolved) => {
      const { n } = resolved.event.data;
      tries.set(n, (tries.get(n) ?? 0) + 1);
      if (n === 3 && tries.get(n) === 1) return work.nack(api.RETRY, "again", resolved);
      if (n === 5) return work.nack(api.PARK, "later", resolved);
      if (n === 7) return work.nack(api.SKIP, "never", resolved);
      return work.ack(resolved);
    };
    const settled = () => until("all settled, one parked", async () => {
      const { stats } = await info();
      return stats.parkedMessageCount === 1n && stats.totalInFlightMessages === 0;
    });
    const seen = await next(work, 11, act, settled);
    assert.deepEqual(seen.toSorted((a, b) => a - b), [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]);
    const { groupName, eventSource } = await info();
    assert.deepEqual([groupName, eventSource], [group, s]);
    await client.replayParkedMessagesToStream(s, group);
    const again = client.subscribeToPersistentSubscriptionToStream(s, group);
    assert.deepEqual(await next(again, 1, (resolved) => again.ack(resolved)), [5], "the parked event was not replayed");
    await client.updatePersistentSubscriptionToStream(s, group, settings({ maxRetryCount: 3 }));
    assert.equal((await info()).settings.maxRetryCount, 3);
    assert.deepEqual((await client.listPersistentSubscriptionsToStream(s)).map((g) => g.groupName), [group]);
    await client.deletePersistentSubscriptionToStream(s, group);
    await assert.rejects(client.deletePersistentSubscriptionToStream(s, group), api.PersistentSubscriptionDoesNotExistError);
  },

  async "works in a group on the log, filtered"() {
    const [s, group] = [stream("group-all"), `all-${run}`];
    const settings = api.persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START });
    await client.createPersistentSubscriptionToAll(group, settings, { filter: streamNameFilter({ prefixes: [s] }) });
    await client.appendToStream(s, numbers(0, 2).map((n) => event(n)));
    const work = client.subscribeToPersistentSubscriptionToAll(group);
    assert.deepEqual(await next(work, 3, (resolved) => work.ack(resolved)), [0, 1, 2]);
    assert.ok((await client.listPersistentSubscriptionsToAll()).some((g) => g.groupName === group));
    await client.deletePersistentSubscriptionToAll(group);
  },
};

// The older client's reads of the log take no filter.
if (api.KurrentDBClient) {
  cases["reads the log filtered"] = async () => {
    const [a, b] = [stream("filter-a"), stream("filter-b")];
    await client.appendToStream(a, numbers(0, 3).map((n) => event(n)));
    await client.appendToStream(b, [event(4), event(5)]);
    const ours = (filter) => read(() => client.readAll({ fromPosition: START, filter }));
    assert.deepEqual(await ours(streamNameFilter({ prefixes: [a, b] })), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(await ours(streamNameFilter({ regex: `^interop-filter-[b-c]-${run}$` })), [4, 5]);
    assert.deepEqual(await read(() => client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1, filter: streamNameFilter({ prefixes: [a] }) })), [3]);
  };
}

for (const [what, test] of Object.entries(cases)) {
  await test().catch((error) => {
    throw new Error(`${name}: ${what}`, { cause: error });
  });
}
assert.ok(retries <= 1 + reads / 10, `${retries} of ${reads} reads were tried twice`);
console.log(`${name} ${Object.keys(cases).join("; ")} (${reads} reads, ${retries} of them tried again)`);
process.exit(0);
