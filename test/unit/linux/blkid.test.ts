import { describe, expect, it } from 'vitest';
import { readProbe } from '../../../src/linux/blkid.ts';

const result = { command: 'blkid', code: 0, stdout: '', stderr: '', timedOut: false, stuck: undefined };

describe('readProbe', () => {
  it('decodes the label from its encoded form, never from the raw one', () => {
    const stdout = [
      'ID_FS_LABEL=x_y',
      'ID_FS_LABEL_ENC=x\\x20\\xc3\\xbc\\x5c\\x0a',
      'ID_FS_TYPE=ext4',
      'ID_FS_USAGE=filesystem',
      'ID_FS_UUID_ENC=AB-CD',
      '',
    ].join('\n');
    expect(readProbe({ ...result, stdout })).toEqual({
      outcome: 'found',
      fileSystem: { type: 'ext4', usage: 'filesystem', label: 'x ü\\\n', uuid: 'AB-CD' },
    });
  });

  it('replaces bytes that are not UTF-8', () => {
    const probe = readProbe({ ...result, stdout: `ID_FS_TYPE=ext4\nID_FS_LABEL_ENC=${'\\xff'.repeat(3)}\n` });
    expect(probe).toMatchObject({ fileSystem: { label: '\ufffd\ufffd\ufffd' } });
  });

  it.each([
    ['nothing there', { ...result, code: 2 }, { outcome: 'nothing' }],
    ['a partition table', { ...result, stdout: 'ID_PART_TABLE_TYPE=dos\n' }, { outcome: 'nothing', table: 'dos' }],
    ['several signatures', { ...result, code: 8 }, { outcome: 'ambiguous' }],
    [
      'a device that cannot be read',
      { ...result, code: 2, stderr: 'blkid: error: disk-3: Input/output error\n' },
      { outcome: 'failed', detail: 'Input/output error' },
    ],
    [
      'a drive without a medium',
      { ...result, code: 2, stderr: 'blkid: error: disk-10: No medium found\n' },
      { outcome: 'no-medium' },
    ],
    [
      'a device that does not answer',
      { ...result, code: undefined, timedOut: true },
      { outcome: 'hung', stuck: undefined },
    ],
  ])('tells %s', (_, child, probe) => {
    expect(readProbe(child)).toEqual(probe);
  });
});
