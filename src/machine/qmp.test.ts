import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { QmpClient } from './qmp.js';

/** A client, and the other end of its connection, which has answered the greeting. */
async function connected(): Promise<{
  readonly client: QmpClient;
  readonly peer: Socket;
  close: () => void;
}> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const attaching = QmpClient.attach(createConnection((server.address() as AddressInfo).port, '127.0.0.1'));
  const [peer] = await accepted;
  peer.once('data', () => peer.write('{"return": {}, "id": 1}\n'));
  const close = (): void => {
    peer.destroy();
    server.close();
  };
  return { client: await attaching, peer, close };
}

test('an event is awaited before it comes and after it has come, and no other one ends the wait', async () => {
  const { client, peer, close } = await connected();
  let came = false;
  const waiting = client.event('SUSPEND').then(() => {
    came = true;
  });
  peer.write('{"event": "RTC_CHANGE"}\n');
  await client.event('RTC_CHANGE');
  expect(came).toBe(false);
  peer.write('{"event": "SUSPEND"}\n');
  await waiting;
  await client.event('SUSPEND');
  client.close();
  close();
});

test('who waits for an event is told when QEMU ends', async () => {
  const { client, close } = await connected();
  const waiting = client.event('WAKEUP');
  close();
  await expect(waiting).rejects.toMatchObject({ kind: 'tool' });
  await expect(client.event('WAKEUP')).rejects.toMatchObject({ kind: 'tool' });
});
