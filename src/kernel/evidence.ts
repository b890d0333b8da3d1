/** What a build did to a kernel and what it relied on, for the manifest. */

/** One run of bytes that differs between the distribution's kernel and the armed one. */
export interface KernelEdit {
  readonly what: string;
  /** Link-time virtual address for the kernel image, file offset for its setup header. */
  readonly address: string;
  readonly before: string;
  readonly after: string;
}

/** One fact about the primary kernel that arming relied on. */
export interface KernelFact {
  readonly name: string;
  readonly value: string;
  /** Where it was found: "kallsyms", "BTF struct smp_ops", "setup header", ... */
  readonly source: string;
}
