// node-redis: see test/clients/run.
import { createRequire } from 'node:module';
import { assert, killLeader, run, untilDone } from './story.mjs';

async function connect(createClient, host, port) {
  const client = createClient({
    RESP: 3,
    name: 'node-redis',
    socket: { host, port, reconnectStrategy: false, connectTimeout: 3000 },
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

run(async ({ name, host, follower, leader }) => {
  const { createClient } = await import(name);
  console.log(`version ${createRequire(import.meta.url)(`${name}/package.json`).version}, RESP3`);
  const client = await connect(createClient, host, follower);
  const atLeader = await connect(createClient, host, leader);

  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.clientGetName(), 'node-redis');
  assert.match(await client.info('server'), /redis_version:7/);
  assert.equal((await client.configGet('save')).save, '');
  assert.equal((await client.sendCommand(['HELLO', '3'])).proto, 3);

  assert.equal(await client.set('node-redis', 'wert äöü'), 'OK');
  assert.equal(await client.get('node-redis'), 'wert äöü');
  assert.equal(await atLeader.get('node-redis'), 'wert äöü');
  assert.equal(await client.get('node-redis-none'), null);
  assert.equal(await client.set('node-redis', 'x', { condition: 'NX' }), null);
  const large = 'x'.repeat(1024 * 1024);
  await client.set('node-redis-large', large);
  assert.equal(await client.get('node-redis-large'), large);
  await client.del(['node-redis-n', 'node-redis-large']);
  assert.deepEqual(await client.mGet(['node-redis', 'node-redis-none']), ['wert äöü', null]);
  await assert.rejects(client.incr('node-redis'), /not an integer/);

  // What is called without waiting goes out as one pipeline.
  const replies = [];
  for (let i = 1; i <= 200; i++)
    replies.push(client.incr('node-redis-n'), client.get('node-redis-n'));
  (await Promise.all(replies)).forEach((reply, i) => {
    const n = Math.floor(i / 2) + 1;
    assert.equal(reply, i % 2 === 0 ? n : String(n));
  });

  await client.set('node-redis-kept', 'before');
  await killLeader();
  await untilDone(() => client.set('node-redis-new', 'after'));
  assert.equal(await untilDone(() => client.get('node-redis-kept')), 'before');
  await assert.rejects(atLeader.get('node-redis-kept'));
  const again = await connect(createClient, host, follower);
  assert.equal(await untilDone(() => again.get('node-redis-new')), 'after');
  assert.equal(await untilDone(() => again.get('node-redis-n')), '200');
});
