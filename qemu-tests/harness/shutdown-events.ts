/** What QEMU tells of a machine: its events (qemu's qapi/run-state.json), why it ended among them (ShutdownCause). */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PeerListener } from '../../src/machine/socket.js';

/**
 * Runs `use` with QEMU options that open a second control socket, and gives, beside its result, the reasons of all
 * SHUTDOWN events: "guest-reset" for a reset (QEMU runs with -no-reboot), "guest-shutdown" for power off.
 */
export async function withShutdownReasons<T>(
  use: (extra: readonly string[]) => Promise<T>,
): Promise<{ readonly result: T; readonly reasons: readonly string[] }> {
  const { result, events } = await withEvents(use);
  const shutdowns = events.filter(({ event }) => event === 'SHUTDOWN');
  return { result, reasons: shutdowns.map(({ data }) => data?.reason ?? 'no reason') };
}

export interface MachineEvent {
  readonly event: string;
  readonly data?: { readonly reason?: string };
}

/** The same with all events, in order. */
export async function withEvents<T>(
  use: (extra: readonly string[]) => Promise<T>,
): Promise<{ readonly result: T; readonly events: readonly MachineEvent[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'svo-'));
  const listener = await PeerListener.open(join(folder, 'events'));
  try {
    const events = readEvents(listener);
    const result = await use(['-qmp', `unix:${listener.path}`]);
    // QEMU is gone, so the stream ends; a QEMU that never connected has failed the run already.
    return { result, events: parseEvents(await events) };
  } finally {
    listener.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function readEvents(listener: PeerListener): Promise<string> {
  const peer = await listener.peer.catch(() => undefined);
  if (peer === undefined) return '';
  peer.setEncoding('utf8');
  peer.write('{"execute": "qmp_capabilities"}\n');
  return await new Promise((resolve) => {
    let text = '';
    peer.on('data', (chunk: string) => (text += chunk));
    peer.on('error', () => undefined); // `close` follows.
    peer.on('close', () => {
      resolve(text);
    });
  });
}

function parseEvents(text: string): readonly MachineEvent[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Partial<MachineEvent>)
    .flatMap(({ event, data }) => (event === undefined ? [] : [{ event, ...(data && { data }) }]));
}
