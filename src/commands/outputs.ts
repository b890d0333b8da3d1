/** What --json prints, by command: saveoops-output.schema.json is made from these types (scripts/output-schema.mjs). */
import type { BuildResult } from '../library/build.js';
import type { Diagnosis } from '../library/doctor.js';
import type { Explanation } from '../library/explain.js';
import type { ImageResult } from '../library/make-image.js';
import type { RepackResult } from '../library/repack.js';
import type { TestResult } from '../library/test-payload.js';
import type { Manifest } from '../payload/manifest.js';
import type { Report } from '../report/report.js';
import type { BootedResult } from './booted.js';
import type { CapturesResult } from './captures.js';
import type { ConfigResult } from './config.js';
import type { SystemStatus } from './status.js';
import type { UpdateResult } from './update.js';

/** While `version` is the same, members are added, and none is changed. Of inspect the version is `format`. */
export interface Outputs {
  readonly booted: BootedResult;
  readonly build: BuildResult;
  readonly captures: CapturesResult;
  readonly config: ConfigResult;
  readonly doctor: Diagnosis;
  readonly explain: Explanation;
  readonly image: ImageResult;
  readonly inspect: Manifest;
  readonly repack: RepackResult;
  readonly report: Report;
  readonly status: SystemStatus;
  readonly test: TestResult;
  readonly update: UpdateResult;
}
