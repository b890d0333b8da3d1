import { spawnSync } from 'node:child_process';

/** Whether strace, by which tests kill a program at a system call, may trace here. */
export const canTrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;
