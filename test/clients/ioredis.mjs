// ioredis: see test/clients/run.
import { createRequire } from 'node:module';
import { assert, killLeader, run, untilDone } from './story.mjs';

// The addresses are tried in turn: at each attempt to connect, the next one.
function connect(Redis, host, ports) {
  let attempts = 0;
  const client = new Redis({
    host,
    port: ports[0],
    connectionName: 'ioredis',
    maxRetriesPerRequest: null,
    retryStrategy() {
      client.options.port = ports[++attempts % ports.length];
      return 50;
    },
  });
  client.on('error', () => {});
  return client;
}

run(async ({ name, host, follower, leader }) => {
  const { Redis } = await import(name);
  const version = createRequire(import.meta.url)(`${name}/package.json`).version;
  const client = connect(Redis, host, [follower]);
  const atLeader = connect(Redis, host, [leader, follower]);

  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.client('GETNAME'), 'ioredis');
  assert.match(await client.info(), /redis_version:7/);
  console.log(`version ${version}, RESP${/resp=(\d)/.exec(await client.client('INFO'))[1]}`);

  assert.equal(await client.set('ioredis', 'wert äöü'), 'OK');
  assert.equal(await client.get('ioredis'), 'wert äöü');
  assert.equal(await atLeader.get('ioredis'), 'wert äöü');
  assert.equal(await client.get('ioredis-none'), null);
  const large = Buffer.alloc(1024 * 1024, '\0\r\n$');
  await client.set('ioredis-large', large);
  assert.deepEqual(await client.getBuffer('ioredis-large'), large);
  await client.del('ioredis-n', 'ioredis-large');
  assert.deepEqual(await client.mget('ioredis', 'ioredis-none'), ['wert äöü', null]);
  await assert.rejects(client.incr('ioredis'), /not an integer/);

  const pipeline = client.pipeline();
  for (let i = 1; i <= 200; i++)
    pipeline.incr('ioredis-n').get('ioredis-n');
  (await pipeline.exec()).forEach(([error, reply], i) => {
    const n = Math.floor(i / 2) + 1;
    assert.equal(error, null);
    assert.equal(reply, i % 2 === 0 ? n : String(n));
  });

  await client.set('ioredis-kept', 'before');
  await killLeader();
  await untilDone(() => client.set('ioredis-new', 'after'));
  assert.equal(await untilDone(() => client.get('ioredis-kept')), 'before');
  // It connects again by itself, at the other address.
  assert.equal(await untilDone(() => atLeader.get('ioredis-new')), 'after');
  assert.equal(await untilDone(() => atLeader.get('ioredis-n')), '200');
});
