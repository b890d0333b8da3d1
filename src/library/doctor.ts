/** What this machine lacks for what Saveoops does. The lists are those that the refusals of each command are made from. */
import {
  bootOncePrograms,
  capturePrograms,
  dumpPrograms,
  type CaptureProgram,
} from '../capture-initramfs/capture-files.js';
import { packageOf } from '../host/run-tool.js';
import { asTask, type RunOptions } from '../host/task.js';
import { loaderNeeds } from '../image/efi-disk.js';
import { efiLoaders } from '../image/efi-loaders.js';
import {
  diskImageNeeds,
  efiNeeds,
  installLine,
  isoImageNeeds,
  machineNeeds,
  missingOnHost,
  uefiMachineNeeds,
  type Requirement,
} from '../image/requirements.js';
import { imageReaderNeeds } from '../saved-captures/image-store.js';

/** One thing that Saveoops does, and what it lacks here. */
export interface TaskNeeds {
  /** As on the command line: "build", "image --iso". */
  readonly task: string;
  /** Whether it is one of build, image and test, which a machine should be able to do. */
  readonly essential: boolean;
  readonly missing: readonly { readonly name: string; readonly package: string }[];
}

/** `saveoops doctor --json` prints it. */
export interface Diagnosis {
  readonly version: 1;
  /** true: build, image and test lack nothing. */
  readonly ready: boolean;
  readonly tasks: readonly TaskNeeds[];
  /** The line that installs what build, image and test lack; null: nothing. */
  readonly install: string | null;
  /** The same for everything else. */
  readonly installMore: string | null;
}

const tools = (...names: readonly string[]): readonly Requirement[] =>
  names.map((program) => ({ package: packageOf[program] ?? program, program }));
const programs = (list: readonly CaptureProgram[]): readonly Requirement[] =>
  list.map(({ name, places, debianPackage }) => ({ package: debianPackage, program: name, places }));

/** Everything that Saveoops does, with what it takes. */
export const taskNeeds: readonly (Pick<TaskNeeds, 'task' | 'essential'> & {
  readonly needs: readonly Requirement[];
})[] = [
  // What Debian's kernels and modules are packed with; cpio and lz4 for what is written.
  {
    task: 'build',
    essential: true,
    needs: [...tools('xz', 'zstd', 'lz4', 'cpio'), ...programs(capturePrograms)],
  },
  { task: 'image', essential: true, needs: [...diskImageNeeds, ...efiNeeds] },
  { task: 'test', essential: true, needs: [...machineNeeds, ...diskImageNeeds, ...efiNeeds] },
  {
    task: 'build, of kernels packed with gzip, bzip2 or LZO',
    essential: false,
    needs: tools('gzip', 'bzip2', 'lzop'),
  },
  { task: 'build --save, for Syslinux', essential: false, needs: programs(bootOncePrograms) },
  { task: 'build --dump, --dump-key', essential: false, needs: programs(dumpPrograms) },
  { task: 'build --sign-key', essential: false, needs: tools('sbsign') },
  { task: 'image --iso', essential: false, needs: isoImageNeeds },
  { task: 'test --firmware uefi', essential: false, needs: uefiMachineNeeds },
  ...efiLoaders.map((name) => ({
    task: `test --loader ${name}`,
    essential: false,
    needs: [...uefiMachineNeeds, ...loaderNeeds(name)],
  })),
  {
    task: 'captures and report, of a disk image',
    essential: false,
    needs: [...tools('partx'), ...Object.values(imageReaderNeeds).flat()],
  },
  { task: 'report, of a photograph', essential: false, needs: tools('zbarimg') },
  { task: 'report --bundle', essential: false, needs: tools('tar') },
];

/**
 * Looks for every host tool and file that Saveoops uses. Nothing is run.
 *
 * @param path folders of programs, as in the environment variable PATH, which is the default
 */
export async function doctor(
  { path }: { readonly path?: string | undefined } = {},
  run: RunOptions = {},
): Promise<Diagnosis> {
  return await asTask(run, async () => {
    const found = await Promise.all(
      taskNeeds.map(async ({ needs, ...task }) => ({ ...task, missing: await missingOnHost(needs, path) })),
    );
    const lacking = (essential: boolean): readonly Requirement[] =>
      found.flatMap((each) => (each.essential === essential ? each.missing : []));
    const essential = lacking(true);
    const packages = new Set(essential.map((need) => need.package));
    const more = lacking(false).filter((need) => !packages.has(need.package));
    return {
      version: 1,
      ready: essential.length === 0,
      tasks: found.map((each) => ({
        ...each,
        missing: each.missing.map((need) => ({
          name: need.file ?? need.program ?? '',
          package: need.package,
        })),
      })),
      install: essential.length === 0 ? null : installLine(essential),
      installMore: more.length === 0 ? null : installLine(more),
    };
  });
}
