/**
 * Saveoops as a library. Nothing here prints, ends the process or changes its directory; files are read and written where the caller
 * says. Every refusal is a {@link SaveoopsError}; any other error is a bug.
 *
 * Every function that reads or writes takes {@link RunOptions} last: an AbortSignal, and a callback for progress.
 *
 * @module
 */
export { build, type BuildRequest, type BuildResult } from './build.js';
export { makeImage, type ImageRequest, type ImageResult } from './make-image.js';
export { inspect, type Inspection } from './inspect.js';
export { explain, type Explanation, type Sure } from './explain.js';
export { doctor, type Diagnosis, type TaskNeeds } from './doctor.js';
export { repack, type RepackRequest, type RepackResult } from './repack.js';
export { testPayload, type TestLoader, type TestRequest, type TestResult } from './test-payload.js';
export { readCapture, report, reportHtml, reportText, type Capture } from './read-capture.js';
export type { Progress, RunOptions } from '../host/task.js';
export { renderError, SaveoopsError, type ErrorDetails, type ErrorKind } from '../errors.js';
export type { ComposeOptions } from '../compose/compose-options.js';
export type { BuildFormat } from '../compose/payload-files.js';
export type { DumpLevel, SaveOptions } from '../capture-initramfs/save-words.js';
export type { RowOptions } from '../capture-initramfs/in-a-row.js';
export type { Firmware } from '../machine/qemu-command.js';
export type { EfiLoader } from '../image/efi-loaders.js';
export type { Manifest, ManifestRegion } from '../payload/manifest.js';
export type { KernelEdit, KernelFact } from '../kernel/evidence.js';
export type { Report, ReportedDeath, ReportedEntry, ReportedLine, ReportedPlace } from '../report/report.js';
export type { CaptureInput, ReportInput } from '../report/report-input.js';
export type { CaptureRecord } from '../saved-captures/capture-record.js';
export type { DeathKind } from '../report/kinds-of-death.js';
export type { NextStep } from '../report/next-steps.js';
export type { Taint } from '../report/taint.js';
