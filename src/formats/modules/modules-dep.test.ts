import { describe, expect, test } from '@jest/globals';
import { renderError, SaveoopsError } from '../../errors.js';
import { moduleNameOf, parseModulesDep } from './modules-dep.js';

const sound = `kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko:
# a comment

kernel/lib/crc16.ko:
updates/dkms/my-raid.ko.xz: kernel/lib/crc16.ko
`;

function refusal(text: string): string {
  try {
    parseModulesDep(text, '/lib/modules/6.1/modules.dep');
  } catch (error) {
    if (error instanceof SaveoopsError && error.kind === 'format') return renderError(error);
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('parseModulesDep', () => {
  test('gives each module with what it needs, in the order of the file', () => {
    expect([...parseModulesDep(sound, 'x')]).toEqual([
      ['kernel/fs/ext4/ext4.ko', ['kernel/fs/jbd2/jbd2.ko', 'kernel/lib/crc16.ko']],
      ['kernel/fs/jbd2/jbd2.ko', []],
      ['kernel/lib/crc16.ko', []],
      ['updates/dkms/my-raid.ko.xz', ['kernel/lib/crc16.ko']],
    ]);
  });

  test.each([
    ['../../etc/shadow.ko:\n', '../../etc/shadow.ko'],
    ['kernel/../../../etc/x.ko:\n', 'kernel/../../../etc/x.ko'],
    ['/etc/x.ko:\n', '/etc/x.ko'],
    ['kernel//x.ko:\n', 'kernel//x.ko'],
    ['a.ko: ../b.ko\n', '../b.ko'],
    ['kernel/etc/passwd:\n', 'kernel/etc/passwd'],
    ['kernel/$(reboot).ko:\n', '$(reboot)'],
  ])('a path that is not one of a module in the folder is refused: %j', (text, named) => {
    expect(refusal(text)).toContain(named);
  });

  test.each([
    [
      'at the end of a line',
      sound.slice(0, sound.indexOf('\n')),
      'kernel/fs/jbd2/jbd2.ko, which has no line',
    ],
    ['in the middle of a name', sound.slice(0, 30), 'kernel'],
    ['before the colon', 'a.ko:\nkernel/b.k', 'line 2'],
    ['at the colon', ':\n', 'line 1'],
  ])('a file that was cut off %s is refused', (_, text, named) => {
    expect(refusal(text)).toContain(named);
  });
});

test.each([
  ['kernel/drivers/usb/storage/usb-storage.ko', 'usb_storage'],
  ['sd_mod.ko.xz', 'sd_mod'],
  ['x/3w-9xxx.ko.zst', '3w_9xxx'],
  ['lib/modules/6.1/ext4.ko.gz', 'ext4'],
  ['ext4.ko.gz.part', undefined],
  ['modules.dep', undefined],
  ['.ko', undefined],
])('the module in %s is %s', (path, name) => {
  expect(moduleNameOf(path)).toBe(name);
});
